"""The program inside the sandbox: starts the server, runs the steps in order, stops everything.

- The first step that does not do what it must ends the test; nothing after it is run.
- A step's output goes to files: what it left behind cannot keep the test waiting, and is killed with its group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ripple.model.errors import RippleError
from ripple.model.system import Step
from ripple.supervisor.smoke.names import step_environment
from ripple.supervisor.smoke.server import (
    NotServing,
    Server,
    Surroundings,
    free_ports,
    serving,
    tail_of,
    write_files,
)
from ripple.supervisor.smoke.task import SmokeResult, StepResult, Task
from ripple.supervisor.templates import Names, render

OUTPUT_BYTES = 1 << 20
_SUFFIXES = {"python": "py", "node": "js", "shell": "sh"}


async def prove(task: Task) -> SmokeResult:
    """Run the task to its end. Never raises for what a system did, and never takes longer than the task allows."""
    began = time.monotonic()
    inside = _Inside(task, began + task.seconds)
    reason = ""
    try:
        await inside.run()
    except (NotServing, RippleError, OSError) as error:
        reason = str(error)
    reason = reason or next((step.reason for step in inside.steps if step.reason), "")
    return SmokeResult(
        seconds=round(time.monotonic() - began, 3),
        ready_seconds=inside.ready_seconds,
        reason=reason,
        steps=tuple(inside.steps),
    )


@dataclass(frozen=True)
class _Command:
    kind: str
    argv: tuple[str, ...]
    own: bool = False


class _Inside:
    """The state of one run."""

    def __init__(self, task: Task, deadline: float) -> None:
        self.task, self.deadline = task, deadline
        self.steps: list[StepResult] = []
        self.ready_seconds: float | None = None

    async def run(self) -> None:
        """The server while the steps run, or the steps alone."""
        _make_folders(self.task.names)
        component = self.task.component
        if not self.task.smoke.serve or component is None:
            await self._steps({}, None)
            return
        ports = free_ports(component.ports)
        surroundings = Surroundings(self.task.names, self.task.path, self.task.mark, self.deadline)
        async with serving(component, ports, surroundings) as server:
            self.ready_seconds = round(server.ready_seconds, 3)
            await self._steps(ports, server)

    async def _steps(self, ports: Mapping[str, int], server: Server | None) -> None:
        names = Names(self.task.names, ports).flat()
        where = f"the smoke test of {self.task.system}"
        files = {name: render(text, names, where) for name, text in self.task.smoke.files.items()}
        write_files(Path(names["work"]), files)
        for number, step in enumerate(self.task.smoke.steps, 1):
            found = await self._step(number, step, names)
            self.steps.append(found)
            if server is not None:
                server.check()
            if not found.ok:
                return

    async def _step(self, number: int, step: Step, names: Mapping[str, str]) -> StepResult:
        where = f"step {number} of the smoke test of {self.task.system}"
        command = self._command(number, step, names, where)
        env = step_environment(names, self.task.path, self.task.mark)
        env |= {"PYTHONPATH": self.task.source} if command.own and self.task.source else {}
        env |= {"NODE_PATH": self.task.modules} if self.task.modules else {}
        began = time.monotonic()
        out, err = (Path(names["home"]) / f"step{number}.{kind}" for kind in ("out", "err"))
        code = await self._execute(command, env, render(step.stdin, names, where), out, err)
        said = _read(out)
        reason = _judged(step, code, said)
        return StepResult(
            kind=command.kind,
            exit=code,
            seconds=round(time.monotonic() - began, 3),
            reason=f"step {number} ({command.kind}) {reason}: {tail_of(out, err)}" if reason else "",
            tail=tail_of(out, err),
        )

    def _command(self, number: int, step: Step, names: Mapping[str, str], where: str) -> _Command:
        """The step as something to execute; a script is written where the modules of the tree are found beside."""
        if step.run:
            return _Command("run", tuple(render(part, names, where) for part in step.run))
        kind = next(one for one in _SUFFIXES if getattr(step, one))
        file = Path(names["home"]) / f"step{number}.{_SUFFIXES[kind]}"
        file.write_text(getattr(step, kind), encoding="utf-8")
        if kind == "python":
            own = self.task.python == names["python"]
            return _Command(kind, (self.task.python, str(file)), own)
        if kind == "shell":
            return _Command(kind, ("/bin/sh", "-eu", str(file)), own=True)
        link = file.with_name("node_modules")
        if self.task.modules and not link.is_symlink():
            link.symlink_to(self.task.modules)
        return _Command(kind, (names["node"], str(file)))

    async def _execute(
        self, command: _Command, env: Mapping[str, str], stdin: str, out: Path, err: Path
    ) -> int | None:
        """The exit status, None when the time was up."""
        given = out.with_suffix(".in")
        given.write_text(stdin, encoding="utf-8")
        with given.open("rb") as source, out.open("wb") as said, err.open("wb") as complained:
            process = await asyncio.create_subprocess_exec(
                *command.argv, env=dict(env), cwd=env["WORK"], stdin=source, stdout=said, stderr=complained,
                start_new_session=True,
            )  # fmt: skip
            try:
                return await asyncio.wait_for(process.wait(), max(0.0, self.deadline - time.monotonic()))
            except TimeoutError:
                return None
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def _make_folders(names: Mapping[str, str]) -> None:
    for name in ("work", "home", "state", "run"):
        Path(names[name]).mkdir(parents=True, exist_ok=True)


def _judged(step: Step, code: int | None, said: str) -> str:
    """What is wrong with a step, empty when nothing is."""
    if code is None:
        return "was still running when its time was up"
    if code != step.exit:
        return f"exited with status {code}, not {step.exit}"
    if step.expect and not re.search(step.expect, said, re.MULTILINE):
        return f"did not print what matches {step.expect!r}"
    return ""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(OUTPUT_BYTES).decode(errors="replace")
