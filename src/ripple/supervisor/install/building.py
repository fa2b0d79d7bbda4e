"""Programs that are compiled here: built once from a locked source, packed, and unpacked from then on.

The lock holds the source's digest. What was compiled from it is remembered in the cache under the lock entry and
the platform, so that a second installation and an offline bundle need neither network nor compiler.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread

from ripple.model.digest import digest_json
from ripple.model.errors import Unavailable
from ripple.model.system import LockedRoute, Route, this_platform
from ripple.supervisor.install.unpack import unpack
from ripple.supervisor.install.ways import Room

Build = Callable[[Path], Awaitable[None]]


def build_key(route: Route, locked: LockedRoute) -> str:
    """What a compiled program is known by: the route's wishes, the source's digests, the platform."""
    wishes = {"package": route.package, "also": list(route.also), "platform": this_platform()}
    return digest_json({**wishes, "files": [file.sha256 for file in locked.files]}).removeprefix("sha256:")


async def bring_built(route: Route, locked: LockedRoute, room: Room, build: Build) -> None:
    """Have the compiled programs in the cache: ``build`` leaves them in the folder it is given, when needed."""
    key = build_key(route, locked)
    known = room.downloads.built(key)
    if known and await room.downloads.find(known):
        return
    if room.downloads.offline:
        raise Unavailable(
            f"{route.package} was not compiled when the bundle was made; install it there, then bundle"
        )
    made = room.scratch / "built"
    made.mkdir()
    room.downloads.tell(f"compiling {route.package}", 0, None)
    await build(made)
    if not any(made.iterdir()):
        raise Unavailable(f"compiling {route.package} gave no program; it may be a library")
    packed = room.scratch / "built.tar.gz"
    await anyio.to_thread.run_sync(_pack, made, packed)
    room.downloads.remember_built(key, await room.downloads.keep(packed))


async def lay_built(route: Route, locked: LockedRoute, room: Room, root: Path) -> None:
    """The compiled programs in the tree's ``bin``."""
    known = room.downloads.built(build_key(route, locked))
    if known is None:
        raise Unavailable(f"{route.package} is not compiled yet; install it with the network once")
    kept = await room.downloads.need(known, f"the compiled {route.package}")
    await anyio.to_thread.run_sync(unpack, kept.path, root / "bin")


def _pack(folder: Path, target: Path) -> None:
    """The same programs give the same bytes: no time stands in the archive or around it."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.iterdir()):
            entry = tar.gettarinfo(path, path.name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            with path.open("rb") as file:
                tar.addfile(entry, file)
