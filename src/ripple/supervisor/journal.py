"""What must outlive the supervisor: which processes it started, and which components were added while it ran.

A process's record is written before it is started and again once its pid is known. Between the two the process can
still be found: its environment carries the record's launch mark. Processes do not survive the machine, so their
records need not survive a loss of power; added components do.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from ripple.model.component import Component
from ripple.model.paths import Home
from ripple.supervisor.places import sync_folder, write_whole

log = structlog.get_logger(__name__)
T = TypeVar("T", bound=BaseModel)


class Started(BaseModel):
    """One process: its launch mark, the digest of what it was started with, and who it is to the kernel."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    component: str
    mark: str
    digest: str
    boot: str
    began: float
    stop_signal: str = "TERM"
    stop_seconds: float = 5.0
    pid: int | None = None
    ticks: int | None = None
    ready_seconds: float | None = None


class Journal:
    """The records of one instance."""

    def __init__(self, home: Home) -> None:
        self._processes = home.run / "processes"
        self._components = home.state / "supervisor" / "components"
        for folder in (self._processes, self._components):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def started(self) -> list[Started]:
        """Every process that was started and not seen to end, oldest first."""
        found = [record for path in self._processes.glob("*.json") if (record := _read(Started, path))]
        return sorted(found, key=lambda record: record.began)

    def write(self, record: Started) -> None:
        """Keep the record of a component's process in place of the one before."""
        write_whole(self._processes / f"{record.component}.json", record.model_dump_json())

    def ended(self, component: str) -> None:
        """The component's process is gone."""
        (self._processes / f"{component}.json").unlink(missing_ok=True)

    def components(self) -> list[Component]:
        """The components that were added and not removed."""
        paths = sorted(self._components.glob("*.json"))
        return [component for path in paths if (component := _read(Component, path))]

    def add(self, component: Component) -> None:
        """Start the component again with the instance from now on."""
        write_whole(self._components / f"{component.id}.json", component.model_dump_json(), durable=True)

    def remove(self, component: str) -> None:
        """Never start the component again."""
        (self._components / f"{component}.json").unlink(missing_ok=True)
        sync_folder(self._components)


def new_mark(tag: str) -> str:
    """A launch mark of the instance ``tag``."""
    return f"{tag}.{secrets.token_hex(8)}"


def _read(kind: type[T], path: Path) -> T | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        log.error("record_unreadable", path=str(path), error=str(error))
        return None
