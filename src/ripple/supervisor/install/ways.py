"""What a way to get a system is: a route's kind knows how to lock it, to bring it and to lay it out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio

from ripple.model.errors import Invalid, RippleError
from ripple.model.system import LockedFile, LockedRoute, Route
from ripple.supervisor.install.cache import Downloads, Kept, Wanted

AT_ONCE = 4


@dataclass(frozen=True)
class Room:
    """What a way works with: the cache, and an empty folder on the prefix's file system."""

    downloads: Downloads
    scratch: Path


class Way(Protocol):
    """One kind of route."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Resolve the route for this machine and fetch its files into the cache."""

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Have in the cache all that :meth:`lay` needs."""

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Make the tree in ``root`` from the cache alone; returns the tree's interpreter if it has one."""


async def missing(files: Iterable[LockedFile], downloads: Downloads) -> list[LockedFile]:
    """Those files that are not in the cache."""
    return [file for file in files if await downloads.find(file.sha256) is None]


async def fetch_all(wanted: Sequence[Wanted], downloads: Downloads) -> list[Kept]:
    """Fetch files beside each other, in order; after an error nothing new is begun."""
    slots = anyio.CapacityLimiter(AT_ONCE)
    found: dict[int, Kept] = {}
    errors: list[RippleError] = []

    async def one(number: int, each: Wanted) -> None:
        async with slots:
            if not errors:
                try:
                    found[number] = await downloads.fetch(each)
                except RippleError as error:
                    errors.append(error)

    async with anyio.create_task_group() as group:
        for number, each in enumerate(wanted):
            group.start_soon(one, number, each)
    if errors:
        raise errors[0]
    return [found[number] for number in range(len(wanted))]


def spec_of(text: str, mark: str) -> tuple[str, str]:
    """The name and version of ``name==1.0`` or ``@scope/name@1.0``; the version may be left out."""
    at = text.find(mark, 1)
    return (text, "") if at < 0 else (text[:at], text[at + len(mark) :])


def main_file(locked: LockedRoute) -> LockedFile:
    """The file of the route's own package; it stands first."""
    if not locked.files:
        raise Invalid(f"the lock names no file for {locked.route.value} {locked.version}; ./ripple lock update")
    return locked.files[0]
