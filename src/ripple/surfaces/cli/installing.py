"""What the verbs about installed systems share: the map, the lock, the prefix, and progress that keeps quiet."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from ripple.model.paths import Home
from ripple.model.system import VendorLock
from ripple.stack.root import project_root
from ripple.stack.systems import Placed, StackMap, load_map
from ripple.stack.vendorlock import load_lock
from ripple.supervisor.install import Installer
from ripple.supervisor.install.bundle import usable_bundle
from ripple.supervisor.install.cache import FETCHING
from ripple.surfaces.cli.output import progress

Assets = Annotated[
    Path | None, typer.Option("--assets-dir", help="A folder made by ./ripple bundle create; no network is used.")
]
QUIET_SECONDS = 2.0


def manifests() -> Path:
    """The checkout's manifests."""
    return project_root() / "manifests"


def the_map() -> StackMap:
    """Every system."""
    return load_map(manifests())


def chosen(names: Sequence[str], found: StackMap) -> list[Placed]:
    """The systems of those ids, or all of them."""
    return [found.get(name) for name in names] if names else list(found.rows)


@contextmanager
def installer(*, quiet: bool, assets: Path | None = None) -> Iterator[Installer]:
    """An installer into this instance's prefix that shows what takes longer than two seconds."""
    lock: VendorLock = load_lock(manifests())
    place = usable_bundle(assets.expanduser().absolute()).folder if assets else None
    with shown_progress(quiet=quiet) as tell:
        yield Installer(Home.of().prefix, lock, assets=place, progress=tell)


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Shown]:
    """Progress on standard error, which begins only after a while."""
    bars = Progress(TextColumn("{task.description}"), BarColumn(), Amount(), console=progress, transient=True)
    shown = Shown(bars, quiet=quiet)
    try:
        yield shown
    finally:
        shown.stop()


class Amount(ProgressColumn):
    """How much of it is done: in bytes for what is fetched, else a count, or the time it takes already."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._count, self._time = DownloadColumn(), MofNCompleteColumn(), TimeElapsedColumn()

    def render(self, task: Task) -> Text:
        """The text of one line."""
        if task.description.startswith(FETCHING):
            return self._bytes.render(task)
        return self._time.render(task) if task.total is None else self._count.render(task)


class Shown:
    """Receives progress from any thread; one bar per thing."""

    def __init__(self, bars: Progress, *, quiet: bool) -> None:
        self._bars, self._quiet = bars, quiet
        self._tasks: dict[str, TaskID] = {}
        self._timer = threading.Timer(QUIET_SECONDS, bars.start)
        self._timer.daemon = True
        if not quiet:
            self._timer.start()

    def __call__(self, label: str, done: int, total: int | None) -> None:
        """``label`` has come to ``done`` of ``total``."""
        if self._quiet:
            return
        if total is not None and done >= total:
            if label in self._tasks:
                self._bars.remove_task(self._tasks.pop(label))
            return
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total)
        self._bars.update(self._tasks[label], completed=done, total=total)

    def stop(self) -> None:
        """Take the bars off the screen."""
        self._timer.cancel()
        if self._bars.live.is_started:
            self._bars.stop()
