"""The server of a smoke test: started as the supervisor starts it, awaited by its own probe, stopped whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ripple.model.component import Component
from ripple.model.errors import Invalid
from ripple.supervisor.environment import environment_of
from ripple.supervisor.launch import Launch, resolve
from ripple.supervisor.places import MARK
from ripple.supervisor.probes import ask
from ripple.supervisor.templates import Names

TAIL_CHARACTERS = 1500
_DEAD_SECONDS = 5.0


@dataclass(frozen=True)
class Surroundings:
    """What a server finds: the names of its templates, the PATH, the mark of its run, and the run's end."""

    names: Mapping[str, str]
    path: str
    mark: str
    deadline: float


class NotServing(Exception):
    """The server did not get ready, or did not stay."""


class Server:
    """A running server; ``ready_seconds`` is how long it took."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self.log = process, log
        self.ready_seconds = 0.0

    def check(self) -> None:
        """NotServing if it has ended meanwhile."""
        if self.process.returncode is not None:
            raise NotServing(f"the server ended with status {self.process.returncode}: {tail_of(self.log)}")

    async def stop(self, number: int, seconds: float) -> None:
        """End its process group: as it likes to be asked first."""
        for sent, patience in ((number, seconds), (signal.SIGKILL, _DEAD_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sent)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), patience)


@contextlib.asynccontextmanager
async def serving(
    component: Component, ports: Mapping[str, int], surroundings: Surroundings
) -> AsyncIterator[Server]:
    """The component while the block runs, ready at its beginning.

    Raises:
        NotServing: it ended, cannot be executed, or its probe did not succeed before the deadline.
        Invalid: one of its templates names something unknown.
    """
    names = surroundings.names
    launch = resolve(component, Names(names, ports), "")
    env = environment_of(launch, {"PATH": surroundings.path, "LANG": "C.UTF-8"}, (), names)
    env |= {MARK: surroundings.mark} if surroundings.mark else {}
    server = await _start(launch, env, Path(names["state"]), Path(names["home"]) / "server.log")
    try:
        began = time.monotonic()
        await _wait_until_ready(server, launch, env, surroundings.deadline)
        server.ready_seconds = time.monotonic() - began
        yield server
        server.check()
    finally:
        await server.stop(signal.Signals[f"SIG{component.stop_signal}"], component.stop_seconds)


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A free loopback port for each name, all different."""
    with contextlib.ExitStack() as held:
        found = {}
        for name in names:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found[name] = int(one.getsockname()[1])
        return found


def tail_of(*files: Path) -> str:
    """The end of what was written to the files, in their order."""
    share = TAIL_CHARACTERS // len(files)
    said = "\n".join(file.read_bytes()[-share:].decode(errors="replace").strip() for file in files)
    return said.strip()


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts below ``folder``.

    Raises:
        Invalid: a path leads out of the folder.
    """
    for name, text in files.items():
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise Invalid(f"the file {name!r} lies outside {folder}; name it below")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


async def _start(launch: Launch, env: Mapping[str, str], state: Path, log: Path) -> Server:
    write_files(state, launch.files)
    for path in launch.sockets:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command, env=dict(env), cwd=state, stdin=asyncio.subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NotServing(f"the server cannot be started: {error}") from error
    return Server(process, log)


async def _wait_until_ready(server: Server, launch: Launch, env: Mapping[str, str], deadline: float) -> None:
    if launch.ready is None:
        return
    while wrong := await ask(launch.ready, env):
        server.check()
        if time.monotonic() > deadline:
            raise NotServing(f"the server was not ready in time: {wrong}: {tail_of(server.log)}")
        await asyncio.sleep(launch.ready.period_seconds)
