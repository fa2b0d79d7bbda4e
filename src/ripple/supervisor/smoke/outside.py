"""Running a smoke test: what the sandbox is given to see, its limits, and the result that comes back.

- Inside, the root file system and the systems' trees can only be read; one scratch folder can be written, and
  there is no network but an own loopback.
- A row that says ``isolation: host`` runs the same program as an ordinary process, ended whole afterwards.
- Anything but a whole result is a failure: the sandbox's own words say which limit was met.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio.to_thread
import psutil
from pydantic import ValidationError

from ripple.model.system import Smoke, System
from ripple.planes.sandbox import DEFAULT_PATH, Limits, Sandbox, SandboxSpec
from ripple.stack.root import project_root
from ripple.stack.systems import as_component
from ripple.supervisor.install import Tree
from ripple.supervisor.install.npm import node_program
from ripple.supervisor.places import MARK
from ripple.supervisor.process import kill_marked
from ripple.supervisor.smoke.__main__ import MARK as RESULT
from ripple.supervisor.smoke.names import Own, Place, search_path, template_names
from ripple.supervisor.smoke.task import SmokeResult, Task

INSIDE = "/work"
OVERHEAD_SECONDS = 20.0
MEMORY_BYTES = 6 << 30
DISK_BYTES = 4 << 30
PROCESSES = 4096
_ETC = ("java-*", "fonts", "perl", "ssl/openssl.cnf", "ssl/certs", "ca-certificates", "mime.types", "magic")
"""Settings of interpreters that Debian keeps below /etc; nothing in them is a secret."""


class Smoker:
    """Runs smoke tests in ``sandbox``, several at a time if asked to."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def run(
        self, system: System, smoke: Smoke, tree: Tree | None, others: Mapping[str, Tree]
    ) -> SmokeResult:
        """Use the system as its row says; ``tree`` is None for what Ripple's own environment holds.

        Raises:
            Refused: no sandbox works on this machine.
            Unavailable: the sandbox could not be started.
        """
        folder = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="ripple-smoke-")))
        try:
            if smoke.isolation == "host":
                task = task_of(system, smoke, tree, others, str(folder))
                marked = task.model_copy(update={"mark": f"smoke.{secrets.token_hex(8)}"})
                return await anyio.to_thread.run_sync(_on_host, marked, folder)
            spec = sandbox_spec(task_of(system, smoke, tree, others, INSIDE), folder, tree, others)
            done = await self._sandbox.run(spec)
            return _result(done.stdout, done.stderr, done.reason, done.duration_seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove, folder)


def task_of(system: System, smoke: Smoke, tree: Tree | None, others: Mapping[str, Tree], base: str) -> Task:
    """What the program inside is told; ``base`` is the folder of the run as that program sees it."""
    own = Own(Path(sys.executable), project_root() / "src", Path(node_program()))
    place = _place(tree) if tree is not None else Place(Path(sys.prefix), Path(sys.executable).parent)
    places = {name: _place(other) for name, other in others.items()}
    names = template_names(place, places, own, base)
    standing = os.environ.get("PATH", os.defpath) if smoke.isolation == "host" else DEFAULT_PATH
    modules = place.root / "node_modules"
    return Task(
        system=system.id,
        smoke=smoke,
        component=as_component(system) if smoke.serve else None,
        names=names,
        path=search_path(place, places, own, standing),
        base=base,
        python=names["venv"],
        source=str(own.source),
        modules=str(modules) if modules.is_dir() else "",
        seconds=smoke.timeout_seconds,
    )


def sandbox_spec(task: Task, folder: Path, tree: Tree | None, others: Mapping[str, Tree]) -> SandboxSpec:
    """The sandbox of one test: the trees, Ripple's own environment, and ``folder`` to write in."""
    trees = [one for one in (tree, *others.values()) if one is not None]
    shown = {one.root for one in trees} | {_interpreter(one) for one in trees if one.python is not None}
    shown |= {Path(sys.prefix), project_root() / "src", Path(task.names["node"]).resolve().parents[1]}
    shown |= {path for name in _ETC for path in Path("/etc").glob(name)}
    outside_system = sorted(path for path in shown if not path.is_relative_to("/usr"))
    seconds = task.seconds + OVERHEAD_SECONDS
    return SandboxSpec(
        (sys.executable, "-m", "ripple.supervisor.smoke"),
        folder,
        read_only=tuple((path, str(path)) for path in outside_system),
        env={"PYTHONPATH": task.source, "PYTHONDONTWRITEBYTECODE": "1"},
        limits=Limits(
            cpu_seconds=seconds * (os.cpu_count() or 1),
            memory_bytes=min(MEMORY_BYTES, psutil.virtual_memory().total // 2),
            processes=PROCESSES,
            wall_seconds=seconds,
            disk_bytes=DISK_BYTES,
        ),
        stdin=task.model_dump_json().encode(),
    )


def _place(tree: Tree) -> Place:
    return Place(tree.root, tree.bin, tree.python)


def _interpreter(tree: Tree) -> Path:
    """The folder of the interpreter that a tree's own one leads to."""
    assert tree.python is not None
    return tree.python.resolve().parents[1]


def _on_host(task: Task, folder: Path) -> SmokeResult:
    """The same program without a sandbox; every process it leaves is found by its mark and killed."""
    env = {**os.environ, "PYTHONPATH": task.source, MARK: task.mark}
    child = subprocess.Popen(
        (sys.executable, "-m", "ripple.supervisor.smoke"), env=env, cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    reason = ""
    try:
        out, err = child.communicate(task.model_dump_json().encode(), task.seconds + OVERHEAD_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        reason = f"still ran after {task.seconds + OVERHEAD_SECONDS:g} s"
    finally:
        kill_marked(task.mark)
    return _result(out, err, reason, 0.0)


def _result(out: bytes, err: bytes, reason: str, seconds: float) -> SmokeResult:
    """The result the program inside wrote, or why there is none."""
    for line in _lines(out):
        if line.startswith(RESULT) and not reason:
            with contextlib.suppress(ValidationError):
                return SmokeResult.model_validate_json(line.removeprefix(RESULT))
    said = (err or out)[-1500:].decode(errors="replace").strip()
    why = reason or "ended without a result"
    return SmokeResult(seconds=round(seconds, 3), reason=f"the smoke test {why}{': ' + said if said else ''}")


def _lines(out: bytes) -> Iterator[str]:
    yield from reversed(out.decode(errors="replace").splitlines())


def _remove(folder: Path) -> None:
    """A step may have made folders that even their owner cannot enter."""
    for path, names, _ in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                child = Path(path) / name
                if not child.is_symlink():
                    child.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
