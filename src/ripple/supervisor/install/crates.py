"""The crates route: programs compiled by the machine's cargo, with the versions of the crate's own lock."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio.to_thread

from ripple.model.errors import Refused, Unavailable
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.building import bring_built, lay_built
from ripple.supervisor.install.cache import hash_file
from ripple.supervisor.install.commands import BUILD_SECONDS, Command, need_tool, run_tool
from ripple.supervisor.install.ways import Room, spec_of

SIGNER = "crates index: its checksums"
JOBS = "2"
INDEX = "crates-io"
"""Cargo's name for its registry; named, because otherwise a replaced source is refused."""


class CratesWay:
    """Programs of crates."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Fetch the crate and those of ``also``; the versions must be exact."""
        files = [await _file(name, version, room) for name, version in _wanted(route)]
        return LockedRoute(route=RouteKind.CRATES, version=route.version, signer=SIGNER, files=tuple(files))

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Compile the crates unless that was done before."""

        async def build(made: Path) -> None:
            for file in locked.files:
                await _build(file, made, room)

        await bring_built(route, locked, room, build)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """The compiled programs in ``bin``."""
        await lay_built(route, locked, room, root)
        return None


def _wanted(route: Route) -> list[tuple[str, str]]:
    wanted = [(route.package, route.version), *(spec_of(text, "@") for text in route.also)]
    loose = [name for name, version in wanted if not version]
    if loose:
        raise Unavailable(f"the crate {loose[0]} needs an exact version; write it into the row")
    return wanted


async def _file(name: str, version: str, room: Room) -> LockedFile:
    """The crate's file, which cargo fetches and checks against its index when asked about it."""
    await _cargo(["info", "--quiet", "--color", "never", "--registry", INDEX, f"{name}@{version}"], room)
    path = await anyio.to_thread.run_sync(_crate, name, version)
    digest = (await anyio.to_thread.run_sync(hash_file, path, {"sha256"}))["sha256"]
    return LockedFile(url=str(PackageUrl("cargo", name, version)), sha256=digest, size=path.stat().st_size)


def _crate(name: str, version: str) -> Path:
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    found = sorted(
        (home / "registry" / "cache").glob(f"*/{name}-{version}.crate"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        raise Unavailable(f"cargo kept no file of {name} {version} below {home}; cargo 1.82 or newer is needed")
    return found[-1]


async def _build(locked: LockedFile, made: Path, room: Room) -> None:
    """Compile one crate; what was compiled before it ended early is used again within the day."""
    purl = parse_purl(locked.url)
    found = await _file(purl.name, purl.version, room)
    if found.sha256 != locked.sha256:
        raise Refused(f"{found.url} has sha256 {found.sha256}, the lock says {locked.sha256}; do not use it")
    root, target = room.scratch / "cargo", room.scratch.with_name(f"at-{purl.name}-{purl.version}")
    words = ["install", "--locked", "--quiet", "--color", "never", "--no-track", "--force", "--jobs", JOBS]
    words += ["--target-dir", str(target), "--version", purl.version, "--root", str(root), purl.name]
    await _cargo(words, room, build=True)
    await anyio.to_thread.run_sync(lambda: shutil.rmtree(target, ignore_errors=True))
    for program in sorted((root / "bin").iterdir()):
        program.replace(made / program.name)


async def _cargo(words: list[str], room: Room, *, build: bool = False) -> None:
    program = need_tool("cargo", "install Rust by your own means")
    seconds = BUILD_SECONDS if build else 600.0
    await run_tool(Command([program, *words], room.scratch, {"CARGO_NET_RETRY": "3"}, seconds, gentle=build))
