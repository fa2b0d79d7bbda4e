"""The routes whose package is one file: an archive, a program or a jar, from Maven's repository or from a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from ripple.model.errors import Invalid, Refused, Unavailable
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.cache import Kept, Wanted
from ripple.supervisor.install.commands import Command, need_tool, run_tool
from ripple.supervisor.install.programs import find_program, wrap
from ripple.supervisor.install.unpack import is_archive, unpack
from ripple.supervisor.install.ways import Room, main_file

APP = "app"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


class MavenWay:
    """An artifact ``group:artifact:extension[:classifier]``, brought by the machine's Maven."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Fetch the artifact."""
        purl = _purl(route)
        kept = await room.downloads.keep(await _copy(purl, room))
        file = LockedFile(url=str(purl), sha256=kept.sha256, size=kept.size)
        signer = "Maven repository: its checksums"
        return LockedRoute(route=RouteKind.MAVEN, version=route.version, signer=signer, files=(file,))

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Fetch the artifact unless it is in the cache; another one than the locked is refused."""
        file = main_file(locked)
        if await room.downloads.find(file.sha256):
            return
        if room.downloads.offline:
            await room.downloads.need(file.sha256, file.url)
        kept = await room.downloads.keep(await _copy(parse_purl(file.url), room))
        _same(file, kept)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Unpack it; a jar stays one and is started with Java."""
        file = main_file(locked)
        kept = await room.downloads.need(file.sha256, file.url)
        purl = parse_purl(file.url)
        name = f"{purl.last}.{purl.qualifiers.get('type', 'jar')}"
        await anyio.to_thread.run_sync(lay_file, route, kept.path, root, name)
        return None


class UrlWay:
    """A file at an https address of the row; the lock holds what it was when it was locked."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Fetch the file."""
        kept = await room.downloads.fetch(Wanted(route.package, route.package, {}))
        file = LockedFile(url=route.package, sha256=kept.sha256, size=kept.size)
        signer = "the server's certificate, when it was locked"
        return LockedRoute(route=RouteKind.URL, version=route.version, signer=signer, files=(file,))

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Fetch the file unless it is in the cache."""
        file = main_file(locked)
        await room.downloads.fetch(Wanted(file.url, file.url, {"sha256": file.sha256}, file.size))

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Unpack it, or take it as the program it is."""
        file = main_file(locked)
        kept = await room.downloads.need(file.sha256, file.url)
        name = unquote(urlsplit(file.url).path).rpartition("/")[2]
        await anyio.to_thread.run_sync(lay_file, route, kept.path, root, name)
        return None


class ElsewhereWay:
    """A kind of route that ends in no tree; it only says why."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Unavailable, with the reason."""
        raise Unavailable(self._why)

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Unavailable, with the reason."""
        raise Unavailable(self._why)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Unavailable, with the reason."""
        raise Unavailable(self._why)


def lay_file(route: Route, file: Path, root: Path, name: str) -> None:
    """The tree of one file: an archive without its only top folder, a jar, or the program itself."""
    folder = root / APP
    if name.endswith(".jar"):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(file.read_bytes())
        for program in route.provides:
            wrap(root / "bin", program, ["java", "-jar", folder / name])
        return
    if not is_archive(file):
        target = root / "bin" / (route.provides[0] if route.provides else name)
        target.parent.mkdir(parents=True)
        target.write_bytes(file.read_bytes())
        target.chmod(0o755)
        return
    unpack(file, folder)
    inside = list(folder.iterdir())
    home = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    for program in route.provides:
        wrap(root / "bin", program, [find_program(home, program)])


def _purl(route: Route) -> PackageUrl:
    parts = route.package.split(":")
    if not 2 <= len(parts) <= 4 or not route.version:
        raise Invalid(f"{route.package!r} is no group:artifact:extension with a version; mend the row")
    group, artifact, kind, classifier = (*parts, *("jar", "")[len(parts) - 2 :])
    return PackageUrl("maven", f"{group}/{artifact}", route.version, {"type": kind, "classifier": classifier})


async def _copy(purl: PackageUrl, room: Room) -> Path:
    """The artifact's file, brought by Maven with the operator's own settings."""
    maven = need_tool("mvn", "install Maven, or use another route")
    group, _, artifact = purl.name.partition("/")
    kind, classifier = purl.qualifiers.get("type", "jar"), purl.qualifiers.get("classifier", "")
    folder = room.scratch / "maven"
    spelled = ":".join(filter(None, (group, artifact, purl.version, kind, classifier)))
    words = (maven, "-B", "-q", _COPY, f"-Dartifact={spelled}", f"-DoutputDirectory={folder}")
    await run_tool(Command(words, room.scratch, seconds=1800.0))
    found = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if len(found) != 1:
        raise Invalid(f"Maven gave {len(found)} files for {purl}; one was expected")
    return found[0]


def _same(file: LockedFile, kept: Kept) -> None:
    if kept.sha256 != file.sha256:
        kept.path.unlink(missing_ok=True)
        raise Refused(
            f"{file.url} has sha256 {kept.sha256}, the lock says {file.sha256}; it was removed: do not use it"
        )
