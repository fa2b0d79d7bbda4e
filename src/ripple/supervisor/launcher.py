"""The edge of the plan: turns rows into launches, starts them, finds again what an earlier supervisor started."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from ripple.model.component import Component
from ripple.model.paths import Home
from ripple.stack.root import project_root
from ripple.supervisor.environment import environment_of
from ripple.supervisor.journal import Journal, Started, new_mark
from ripple.supervisor.launch import Launch, resolve
from ripple.supervisor.places import MARK, log_file, socket_folder, write_whole
from ripple.supervisor.ports import Ports
from ripple.supervisor.process import (
    Process,
    adopt,
    boot_id,
    end_all,
    kill_marked,
    marked,
    spawn,
    start_ticks,
    tag_of,
)
from ripple.supervisor.templates import Names, render
from ripple.supervisor.trees import NO_TREES, Trees

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a supervisor is told: where it keeps its state, which code it is, what its children may inherit.

    ``trees`` are those its components run from; without them everything runs from Ripple's own environment.
    """

    home: Home
    build: str
    inherited: Mapping[str, str]
    pass_env: tuple[str, ...] = ()
    trees: Trees = NO_TREES


class Launcher:
    """Starts the processes of one instance. Owns its ports and its journal; one at a time per home."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.ports = Ports(settings.home.endpoints)
        self.journal = Journal(settings.home)
        self._settings = settings
        self._tag = tag_of(settings.home)
        self._run = socket_folder(settings.home)

    def resolve(self, component: Component) -> Launch:
        """The launch of a row with the ports as they are now.

        Raises:
            Invalid: a template does not hold.
            NotFound: its system is not installed.
        """
        folders = {name: value for name, value in self._folders(component).items() if name != "src"}
        names = Names(folders, self.ports.of(component.id), self.ports.table)
        return resolve(component, names, self._settings.build)

    def render(self, text: str) -> str:
        """A template that names peers only."""
        return render(text, Names({}, {}, self.ports.table).flat(), "the profile")

    def environment(self, launch: Launch, component: Component) -> dict[str, str]:
        """What the process of a launch finds in its environment; NotFound when its system is gone."""
        passed = (*component.pass_env, *(self._settings.pass_env if launch.own else ()))
        return environment_of(launch, self._settings.inherited, passed, self._folders(component))

    def start(self, launch: Launch, component: Component) -> Process:
        """Start the launch; what it is stands in the journal before and after.

        Raises:
            OSError: it cannot be executed, or its files cannot be written.
            NotFound: its system is gone.
        """
        env, state = self.environment(launch, component), self._prepare(launch)
        record = Started(
            component=launch.id,
            mark=new_mark(self._tag),
            digest=launch.digest,
            boot=boot_id(),
            began=time.time(),
            stop_signal=component.stop_signal,
            stop_seconds=component.stop_seconds,
        )
        self.journal.write(record)
        try:
            process = spawn(launch.command, {**env, MARK: record.mark}, state, log_file(self.home, launch.id))
        except OSError:
            self.journal.ended(launch.id)
            raise
        with contextlib.suppress(OSError):
            # Not being able to write this now leaves the first record, by whose mark the process is found too.
            self.journal.write(record.model_copy(update={"pid": process.pid, "ticks": start_ticks(process.pid)}))
        return process

    def note_ready(self, component: str, seconds: float) -> None:
        """Remember how long the start took, for whoever adopts the process."""
        for record in self.journal.started():
            if record.component == component and record.ready_seconds is None:
                with contextlib.suppress(OSError):
                    self.journal.write(record.model_copy(update={"ready_seconds": seconds}))

    def recover(self, known: Iterable[str]) -> dict[str, tuple[Started, Process]]:
        """The processes that still run, by component; all others of this instance are ended.

        Those that nobody knows any more are stopped as they wish to be, strays are killed.
        """
        records = {record.component: record for record in self.journal.started()}
        foreign = [record for name, record in records.items() if name not in set(known)]
        if foreign:
            log.info("unknown_processes_stopped", components=[record.component for record in foreign])
            end_all(foreign)
        found: dict[str, tuple[Started, Process]] = {}
        for name, record in records.items():
            process = None if record in foreign else adopt(record)
            if process is None:
                self.journal.ended(name)
            else:
                found[name] = (record, process)
        alive = {process.mark for _, process in found.values()}
        for mark in {mark for _, mark in marked(f"{self._tag}.")} - alive:
            log.info("stray_processes_killed", count=kill_marked(mark))
        return found

    def _prepare(self, launch: Launch) -> Path:
        state = self.home.state / launch.id
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in launch.files.items():
            path = state / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, text)
        for socket in launch.sockets:
            Path(socket).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A stale one would only keep its server from listening; anything else there is not ours to remove.
            if Path(socket).is_socket():
                Path(socket).unlink()
        return state

    def _folders(self, component: Component) -> dict[str, str]:
        return {
            **self._settings.trees.names(component),
            "python": sys.executable,
            "home": str(self.home.root),
            "state": str(self.home.state / component.id),
            "run": str(self._run),
            "src": str(project_root() / "src"),
        }


def signal_of(component: Component) -> signal.Signals:
    """The signal that asks a component to stop."""
    return signal.Signals[f"SIG{component.stop_signal}"]
