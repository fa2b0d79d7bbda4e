"""The go route: programs compiled by the machine's Go from modules that Go's checksum database vouches for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import anyio.to_thread

from ripple.model.errors import Refused, RippleError, Unavailable
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind
from ripple.supervisor.install.building import bring_built, lay_built
from ripple.supervisor.install.cache import hash_file
from ripple.supervisor.install.commands import BUILD_SECONDS, Command, need_tool, run_tool
from ripple.supervisor.install.ways import Room, spec_of

SIGNER = "Go checksum database"
_LISTING = "loading deprecation"
_ADVICE = "install the system 'go' (./ripple component install go), or Go by your own means"


class GoWay:
    """Static programs, without C."""

    async def lock(self, route: Route, room: Room) -> LockedRoute:
        """Find the module of each package path and fetch it."""
        found = [await _module(path, version, room) for path, version in _wanted(route)]
        files = {facts["Path"]: await _file(facts) for _, facts in found}
        return LockedRoute(
            route=RouteKind.GO, version=found[0][1]["Version"], signer=SIGNER, files=tuple(files.values())
        )

    async def bring(self, route: Route, locked: LockedRoute, room: Room) -> None:
        """Compile the packages unless that was done before."""

        async def build(made: Path) -> None:
            for path, version in _wanted(route, main_version=locked.version):
                module, facts = await _module(path, version, room)
                await _check(module, facts, locked)
                await _build(path, facts, made, room)

        await bring_built(route, locked, room, build)

    async def lay(self, route: Route, locked: LockedRoute, room: Room, root: Path) -> Path | None:
        """The compiled programs in ``bin``."""
        await lay_built(route, locked, room, root)
        return None


def _wanted(route: Route, main_version: str = "") -> list[tuple[str, str]]:
    """The package paths and versions; a path of ``also`` without one is of the main module's version."""
    version = main_version or route.version or "latest"
    also = (spec_of(text, "@") for text in route.also)
    return [(route.package, version), *((path, own or version) for path, own in also)]


async def _module(path: str, version: str, room: Room) -> tuple[str, dict[str, Any]]:
    """The module that holds a package path: the longest beginning of it that is one."""
    first: RippleError | None = None
    for module in (path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")):
        if "/" not in module and module != path:
            break
        try:
            text = await _go(["mod", "download", "-json", f"{module}@{version}"], room.scratch)
        except Unavailable as error:
            first = first or error
            continue
        return module, json.loads(text)
    raise first or Unavailable(f"{path}@{version} is in no Go module")


async def _file(facts: Mapping[str, Any]) -> LockedFile:
    zipped = Path(facts["Zip"])
    digest = (await anyio.to_thread.run_sync(hash_file, zipped, {"sha256"}))["sha256"]
    size = await anyio.to_thread.run_sync(lambda: zipped.stat().st_size)
    purl = PackageUrl("golang", facts["Path"], facts["Version"])
    return LockedFile(url=str(purl), sha256=digest, size=size)


async def _check(module: str, facts: Mapping[str, Any], locked: LockedRoute) -> None:
    found = await _file(facts)
    known = next((file for file in locked.files if parse_purl(file.url).name == module), None)
    if known is None:
        raise Unavailable(f"the lock does not know the module {module}; ./ripple lock update")
    if found.sha256 != known.sha256:
        raise Refused(f"{found.url} has sha256 {found.sha256}, the lock says {known.sha256}; do not use it")


async def _build(path: str, facts: Mapping[str, Any], made: Path, room: Room) -> None:
    """Compile one package; a module with replacements of other modules is built as what its own go.mod says."""
    own = json.loads(await _go(["mod", "edit", "-json", facts["GoMod"]], room.scratch))
    replacements, excluded = own.get("Replace") or [], own.get("Exclude") or []
    common = ["-trimpath", "-p", "2"]
    env = {"GOBIN": str(made)}
    if not replacements and not excluded:
        try:
            await _go(["install", *common, f"{path}@{facts['Version']}"], room.scratch, env, build=True)
            return
        except Unavailable as error:
            # A proxy may serve a module and not the list of its versions, which only this way asks for.
            if _LISTING not in str(error):
                raise
    local = [one["Old"]["Path"] for one in replacements if not one["New"].get("Version")]
    if local:
        raise Unavailable(
            f"{facts['Path']}@{facts['Version']} replaces {', '.join(local[:3])} by folders of its own "
            "repository, so it cannot be built from published modules"
        )
    folder = room.scratch / "module"
    await anyio.to_thread.run_sync(_scratch_module, folder, facts, replacements, excluded)
    await _go(["install", "-mod=mod", *common, path], folder, env, build=True)


def _scratch_module(
    folder: Path, facts: Mapping[str, Any], replacements: list[dict[str, Any]], excluded: list[dict[str, Any]]
) -> None:
    """A module that needs the one to build and repeats the replaced and excluded ones, which Go else ignores."""
    folder.mkdir(exist_ok=True)
    lines = ["module scratch", "go 1.22", f"require {facts['Path']} {facts['Version']}"]
    for one in replacements:
        old = " ".join(filter(None, (one["Old"]["Path"], one["Old"].get("Version"))))
        lines.append(f"replace {old} => {one['New']['Path']} {one['New']['Version']}")
    lines.extend(f"exclude {one['Path']} {one['Version']}" for one in excluded)
    (folder / "go.mod").write_text("\n".join(lines) + "\n")


async def _go(words: list[str], cwd: Path, env: Mapping[str, str] | None = None, *, build: bool = False) -> str:
    program = need_tool("go", _ADVICE)
    flags = " ".join(filter(None, (os.environ.get("GOFLAGS", ""), "-buildvcs=false")))
    own = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GO111MODULE": "on", "GOFLAGS": flags, "GOWORK": "off"}
    seconds = BUILD_SECONDS if build else 600.0
    return await run_tool(Command([program, *words], cwd, {**own, **(env or {})}, seconds, gentle=build))
