"""The sandbox plane: run a command over a worktree, without network, within limits, seeing nothing else.

- The worktree appears as ``/work``, the only place besides ``/tmp`` that can be written.
- A rung of isolation that is asked for and not available refuses the run; a weaker one is never taken instead.
- Every way a run can end has its own :class:`Outcome`; only ``exited`` says anything about the command itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from ripple.model.errors import Invalid, Refused, RippleError, Unavailable
from ripple.planes.sandbox.spec import DEFAULT_PATH, Limits, Outcome, SandboxResult, SandboxSpec

__all__ = ["DEFAULT_PATH", "Limits", "Outcome", "Sandbox", "SandboxDriver", "SandboxResult", "SandboxSpec"]

TEARDOWN_SECONDS = 30.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name of another form would be lost on the way through a shell."""


class SandboxDriver(Protocol):
    """What a sandbox must do. A driver cleans up every process of a run before it returns or is cancelled."""

    async def rungs(self) -> tuple[str, ...]:
        """The isolation rungs that a probe really ran on, strongest first; () when none."""
        ...

    async def run(self, spec: SandboxSpec) -> SandboxResult:
        """Run ``spec`` to its end."""
        ...

    def wrap(self, spec: SandboxSpec, socket: Path, port: int) -> tuple[str, ...]:
        """The argv of a long-running sandboxed service whose TCP ``port`` inside answers on ``socket`` outside."""
        ...


Permit = Callable[[SandboxSpec, tuple[str, ...]], Awaitable[object]]
"""Asked before each run, with the rungs there are; it raises Refused when the run may not start."""


class Sandbox:
    """The one sandbox the rest of Ripple sees: checks the spec, holds the deadline, turns failures into errors."""

    def __init__(self, driver: SandboxDriver, permit: Permit | None = None) -> None:
        self._driver = driver
        self._permit = permit

    async def rungs(self) -> tuple[str, ...]:
        """The isolation rungs this machine really offers, strongest first; () when none."""
        return await self._driver.rungs()

    async def run(self, spec: SandboxSpec) -> SandboxResult:
        """Run ``spec`` to its end; a breached limit is a result, not an error.

        Raises:
            Invalid: the spec is unusable.
            Refused: the wanted rung, or any rung at all, is not available here, or ``permit`` says no.
            Unavailable: the driver failed.
        """
        _check(spec)
        available = await self.rungs()
        if not available or (spec.rung is not None and spec.rung not in available):
            raise Refused(_no_rung(spec.rung, available))
        if self._permit is not None:
            await self._permit(spec, available)
        try:
            async with asyncio.timeout(spec.limits.wall_seconds + TEARDOWN_SECONDS):
                return await self._driver.run(spec)
        except RippleError:
            raise
        except (OSError, ValueError, TimeoutError) as error:
            raise Unavailable(
                f"cannot run {spec.command[0]} in the sandbox: {error}; run ./ripple doctor"
            ) from error

    def wrap(self, spec: SandboxSpec, socket: Path, port: int) -> tuple[str, ...]:
        """The argv of a long-running sandboxed service, and nothing of it started.

        The service gets ``PORT``; requests reach it through the unix ``socket`` (a folder of its own, made here).
        It stops on SIGTERM to its process group, and dies with the process that started it. Of the limits,
        memory, processes and the size of one file hold; CPU and wall clock do not apply.

        Raises:
            Invalid: the spec or the socket's path is unusable.
            Refused: no sandbox is installed.
        """
        _check(spec)
        if len(bytes(socket)) > 100:
            raise Invalid(f"socket path {socket} is longer than 100 bytes; set RIPPLE_HOME to a shorter folder")
        return self._driver.wrap(spec, socket, port)


def _check(spec: SandboxSpec) -> None:
    if not spec.command or not spec.worktree.is_dir():
        raise Invalid(f"cannot run {list(spec.command)} over {spec.worktree}: no command, or not a folder")
    strings = [
        *spec.command,
        *spec.env,
        *spec.env.values(),
        spec.working_dir,
        *(inside for _, inside in spec.read_only),
    ]
    if any("\0" in one for one in strings) or not all(_NAME.fullmatch(name) for name in spec.env):
        raise Invalid(f"cannot run {spec.command[0]!r}: a NUL byte, or an environment name no shell would take")


def _no_rung(wanted: str | None, available: tuple[str, ...]) -> str:
    asked = f"isolation {wanted!r} is not" if wanted else "no isolation is"
    return (
        f"{asked} available on this machine (it offers: {', '.join(available) or 'none'}); allow unprivileged "
        "user namespaces (sysctl kernel.unprivileged_userns_clone=1) or run ./ripple doctor"
    )
