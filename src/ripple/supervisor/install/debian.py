"""The debian route: packages resolved by apt as if nothing were installed, unpacked below the tree, without root.

- What every Debian has and a prefix cannot use (the C library, dpkg, Perl's base) is left to the machine.
- No maintainer script runs; the wrappers in ``bin`` tell the dynamic linker where the tree's libraries stand.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import anyio.to_thread

from ripple.model.errors import Invalid, Unavailable
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.cache import Wanted
from ripple.supervisor.install.commands import Command, need_tool, run_tool
from ripple.supervisor.install.programs import find_program, wrap
from ripple.supervisor.install.unpack import unpack_deb
from ripple.supervisor.install.ways import Room, fetch_all, main_file, missing

SIGNER = "Debian archive: signed package lists"
ROOT = "root"
LEFT_TO_THE_MACHINE = frozenset({
    "libc6", "libc-bin", "libgcc-s1", "gcc-12-base", "dpkg", "perl-base", "debconf", "debconf-i18n", "adduser",
    "lsb-base", "sysvinit-utils", "init-system-helpers", "ucf", "passwd", "tar", "base-files", "base-passwd",
    "cdebconf", "libpam-runtime", "libpam-modules", "libpam-modules-bin", "libsemanage-common", "libsemanage2",
    "libsepol2", "libdebconfclient0", "mount", "util-linux", "systemd", "systemd-sysv", "libc-dev-bin", "dbus",
})  # fmt: skip
_PRINTED = re.compile(
    r"^'(?P<url>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})", re.MULTILINE
)
_APT = (
    "apt-get", "-o", "Dir::State::status=/dev/null", "-o", "Acquire::ForceHash=sha256", "-o", "Dpkg::Use-Pty=0",
    "--print-uris", "-y", "-q",
)  # fmt: skip
_LISTS = "the package lists of this machine may be missing or old: let its owner run apt-get update"


class DebianWay:
    """Debian packages below ``root``."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Resolve the package and ``also`` together, and fetch the packages."""
        need_tool("apt-get", "the debian route works on Debian and its relatives")
        wanted = [f"{route.package}={route.version}" if route.version else route.package, *route.also]
        printed = await _printed(["--no-install-recommends", "install", *wanted], room.scratch)
        asked = {name.partition("=")[0] for name in wanted}
        lines = [line for line in printed if line[0].last in asked or line[0].last not in LEFT_TO_THE_MACHINE]
        lines.sort(key=lambda line: (line[0].last != route.package, str(line[0])))
        if not lines or lines[0][0].last != route.package:
            raise Unavailable(f"apt knows no package {route.package}; {_LISTS}")
        kept = await fetch_all([wanted for _, wanted in lines], room.downloads)
        files = tuple(
            LockedFile(url=str(purl), sha256=one.sha256, size=one.size)
            for (purl, _), one in zip(lines, kept, strict=True)
        )
        return LockedRoute(route=RouteKind.DEBIAN, version=lines[0][0].version, signer=SIGNER, files=files)

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Fetch the locked packages that are not in the cache."""
        lacking = await missing(locked.files, room.downloads)
        if not lacking:
            return
        if room.downloads.offline:
            await room.downloads.need(lacking[0].sha256, lacking[0].url)
        need_tool("apt-get", "the debian route works on Debian and its relatives")
        purls = [parse_purl(file.url) for file in lacking]
        found = {
            wanted.digests["sha256"]: wanted
            for _, wanted in await _printed(
                ["download", *(f"{one.last}={one.version}" for one in purls)], room.scratch
            )
        }
        gone = next((file for file in lacking if file.sha256 not in found), None)
        if gone is not None:
            raise Unavailable(
                f"the archive no longer has {gone.url}; ./ripple lock update, and look at what changed"
            )
        await fetch_all([found[file.sha256] for file in lacking], room.downloads)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Unpack every package and wrap the programs."""
        for number, file in enumerate(locked.files):
            kept = await room.downloads.need(file.sha256, file.url)
            await anyio.to_thread.run_sync(unpack_deb, kept.path, root / ROOT)
            room.downloads.tell(f"unpacking {route.package}", number + 1, len(locked.files))
        main = await room.downloads.need(main_file(locked).sha256, main_file(locked).url)
        await anyio.to_thread.run_sync(_wrap_programs, route, main.path, room.scratch, root)
        return None


async def _printed(words: Iterable[str], folder: Path) -> list[tuple[PackageUrl, Wanted]]:
    """The packages apt would fetch, with where they are and their digests."""
    try:
        text = await run_tool(Command((*_APT, *words), folder))
    except Unavailable as error:
        raise Unavailable(f"{error}; {_LISTS}") from error
    distribution = await anyio.to_thread.run_sync(_distribution)
    found = []
    for line in _PRINTED.finditer(text):
        name, version, architecture = unquote(line["file"]).removesuffix(".deb").split("_")
        purl = PackageUrl("deb", f"{distribution}/{name}", version, {"arch": architecture})
        label = f"{name} {version}"
        wanted = Wanted(label, line["url"], {"sha256": line["sha256"]}, int(line["size"]), plain=True)
        found.append((purl, wanted))
    return found


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "debian")
    except OSError:
        return "debian"


def _wrap_programs(route: Route, main: Path, scratch: Path, root: Path) -> None:
    files = root / ROOT
    names = route.provides
    if not names:
        alone = scratch / "alone"
        unpack_deb(main, alone)
        folders = [alone / folder for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/games")]
        names = tuple(sorted(path.name for folder in folders if folder.is_dir() for path in folder.iterdir()))
    env = _environment(files)
    for name in names:
        try:
            wrap(root / "bin", name, [find_program(files, name)], env)
        except Invalid:
            if route.provides:
                raise


def _environment(files: Path) -> dict[str, str]:
    """Where the tree's libraries, programs and modules stand, before those of the machine."""
    libraries = _joined(_library_folders(files))
    programs = _joined(path for path in (files / "usr/bin", files / "bin", files / "usr/sbin") if path.is_dir())
    found = {}
    if libraries:
        found["LD_LIBRARY_PATH"] = f'{libraries}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"'
    if programs:
        found["PATH"] = f'{programs}":$PATH"'
    python = files / "usr/lib/python3/dist-packages"
    if python.is_dir():
        found["PYTHONPATH"] = f'{shlex.quote(str(python))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    perl = [path for path in (files / "usr/share/perl5", *files.glob("usr/lib/*/perl5/*")) if path.is_dir()]
    if perl:
        found["PERL5LIB"] = f'{_joined(perl)}"${{PERL5LIB:+:$PERL5LIB}}"'
    return found


def _library_folders(files: Path) -> list[Path]:
    """The folders of shared libraries: the triplet's, and those below it that hold some of their own."""
    tops = [*files.glob("usr/lib/*-linux-gnu*"), *files.glob("lib/*-linux-gnu*"), files / "usr/lib", files / "lib"]
    found = []
    for top in (path for path in tops if path.is_dir()):
        below = sorted(path for path in top.iterdir() if path.is_dir() and not path.is_symlink())
        found += [
            path
            for path in (top, *(below if top.name.endswith(("-gnu", "-gnueabihf")) else ()))
            if _has_libraries(path)
        ]
    return found


def _has_libraries(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(re.match(r"lib.+\.so(\.|$)", entry.name) for entry in entries)


def _joined(folders: Iterable[Path]) -> str:
    return shlex.quote(":".join(map(str, folders))) if (folders := list(folders)) else ""
