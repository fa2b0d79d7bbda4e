"""The pypi route: wheels only, resolved by uv with the operator's index settings, in an environment of its own."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio.to_thread
import uv
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from ripple.model.errors import Unavailable
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.cache import Wanted
from ripple.supervisor.install.commands import Command, run_tool
from ripple.supervisor.install.ways import Room, fetch_all, missing, spec_of

SIGNER = "PyPI: the index's digests"
_RESOLVE = ("pip", "compile", "--format", "pylock.toml", "--only-binary", ":all:", "--no-header", "--quiet")


class PypiWay:
    """Wheels in a virtual environment."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Resolve the package and ``also`` together, and fetch the wheels."""
        python = await _interpreter(route.python, room.scratch)
        wanted = f"{route.package}=={route.version}" if route.version else route.package
        wheels = await _resolve([wanted, *route.also], python, room)
        kept = await fetch_all([wheel for _, wheel in wheels], room.downloads)
        files = [
            LockedFile(url=str(purl), sha256=one.sha256, size=one.size)
            for (purl, _), one in zip(wheels, kept, strict=True)
        ]
        main = canonicalize_name(spec_of(route.package, "[")[0])
        files.sort(key=lambda file: (parse_purl(file.url).name != main, file.url))
        return LockedRoute(
            route=RouteKind.PYPI, version=parse_purl(files[0].url).version, signer=SIGNER, files=tuple(files)
        )

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Fetch the locked wheels that are not in the cache."""
        lacking = await missing(locked.files, room.downloads)
        if not lacking:
            return
        if room.downloads.offline:
            await room.downloads.need(lacking[0].sha256, lacking[0].url)
        python = await _interpreter(_python_of(route, locked), room.scratch)
        names = [f"{purl.name}=={purl.version}" for purl in (parse_purl(file.url) for file in lacking)]
        files = frozenset(parse_purl(file.url).qualifiers["file_name"] for file in lacking)
        resolved = await _resolve(names, python, room, "--no-deps", prefer=files)
        found = {str(purl): wheel for purl, wheel in resolved}
        await fetch_all([_locked(file, found.get(file.url)) for file in lacking], room.downloads)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """An environment in ``root`` with the locked wheels."""
        python = await _interpreter(_python_of(route, locked), room.scratch)
        inside = root / "bin" / "python"
        words = (uv.find_uv_bin(), "venv", "--quiet", "--no-config", "--no-project", "--python", python, str(root))
        await run_tool(Command(words, room.scratch))
        wheels = [await self._named(file, room) for file in locked.files]
        await run_tool(Command(
            (
                uv.find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--offline", "--no-index",
                "--no-deps", "--cache-dir", str(room.scratch / "uv"), "--link-mode", "hardlink",
                "--python", str(inside), *wheels,
            ), room.scratch,
        ))  # fmt: skip
        return inside

    async def _named(self, file: LockedFile, room: Room) -> str:
        """The wheel under the name that says what it is for."""
        kept = await room.downloads.need(file.sha256, file.url)
        link = room.scratch / parse_purl(file.url).qualifiers["file_name"]
        link.symlink_to(kept.path)
        return str(link)


def _python_of(route: Route, locked: LockedRoute) -> str:
    """The Python the locked wheels are for, where they are for one only and it is not Ripple's."""
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for file in locked.files:
        tags = parse_wheel_filename(parse_purl(file.url).qualifiers["file_name"])[3]
        bound = {tag.interpreter for tag in tags if tag.interpreter.startswith("cp3") and tag.abi != "abi3"}
        if bound and own not in bound and all(tag.interpreter in bound for tag in tags):
            return route.python or f"3.{min(bound).removeprefix('cp3')}"
    return route.python


async def _interpreter(wanted: str, folder: Path) -> str:
    """The Python a route asks for, or the one Ripple runs on; never the one of Ripple's own environment."""
    if not wanted:
        own = getattr(sys, "_base_executable", "") or sys.executable
        return str(await anyio.to_thread.run_sync(lambda: Path(own).resolve()))
    try:
        found = await run_tool(Command(
            (uv.find_uv_bin(), "python", "find", "--no-config", "--no-project", "--no-python-downloads", wanted),
            folder,
        ))  # fmt: skip
    except Unavailable as error:
        raise Unavailable(f"it needs Python {wanted}, which this machine lacks: {error}") from error
    return found.strip()


async def _resolve(
    wanted: Sequence[str], python: str, room: Room, *flags: str, prefer: frozenset[str] = frozenset()
) -> list[tuple[PackageUrl, Wanted]]:
    """The closure of some requirements as uv finds it: one wheel per package, for that interpreter.

    A wheel of those ``prefer`` names is taken whatever others there are: what is locked may not be the best here.
    """
    asked, without = room.scratch / "requirements.in", room.scratch / "without.in"
    kept, left_out = [[name for name in wanted if name.startswith("!") is out] for out in (False, True)]
    await anyio.to_thread.run_sync(asked.write_text, "".join(f"{name}\n" for name in kept))
    never = "".join(f"{name[1:]} ; python_version < '0'\n" for name in left_out)
    await anyio.to_thread.run_sync(without.write_text, never)
    words = (uv.find_uv_bin(), *_RESOLVE, *flags, "--override", str(without), "--python", python, str(asked))
    found = tomllib.loads(await run_tool(Command(words, room.scratch)))
    ask = "import sys; print(*sys.version_info[:2])"
    major, minor = (await run_tool(Command((python, "-c", ask), room.scratch))).split()
    tags = _tags((int(major), int(minor)))
    return [_wheel(package, tags, prefer) for package in found.get("packages", ())]


def _tags(version: tuple[int, int]) -> dict[Tag, int]:
    """The tags that interpreter can use, each with its rank; the best is 0."""
    tags = [*cpython_tags(version), *compatible_tags(version, f"cp{version[0]}{version[1]}")]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def _wheel(package: dict[str, Any], tags: dict[Tag, int], prefer: frozenset[str]) -> tuple[PackageUrl, Wanted]:
    ranked = [(rank, wheel) for wheel in package.get("wheels", ()) if (rank := _rank(wheel, tags)) is not None]
    name, version = package["name"], package.get("version", "")
    if not ranked:
        raise Unavailable(
            f"{name} {version} has only a source distribution for this machine; wheels are taken only"
        )
    wheel = min(ranked, key=lambda each: (_file_name(each[1]) not in prefer, each[0]))[1]
    purl = PackageUrl("pypi", canonicalize_name(name), version, {"file_name": _file_name(wheel)})
    return purl, Wanted(
        f"{name} {version}", wheel["url"], {"sha256": wheel["hashes"]["sha256"]}, wheel.get("size")
    )


def _rank(wheel: dict[str, Any], tags: dict[Tag, int]) -> int | None:
    try:
        own = parse_wheel_filename(_file_name(wheel))[3]
    except InvalidWheelFilename:
        return None
    return min((tags[tag] for tag in own if tag in tags), default=None)


def _file_name(wheel: dict[str, Any]) -> str:
    return str(wheel.get("name") or unquote(urlsplit(wheel["url"]).path).rpartition("/")[2])


def _locked(file: LockedFile, found: Wanted | None) -> Wanted:
    if found is None:
        raise Unavailable(f"the index no longer has {file.url}; ./ripple lock update, and look at what changed")
    return Wanted(found.label, found.url, {"sha256": file.sha256}, file.size)
