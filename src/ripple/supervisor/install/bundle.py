"""Bundles: a folder from which systems are installed with no network at all.

    sha256/HEX        every file the systems need, under its digest
    vendor.lock.json  the part of the lock that the systems are in
    bundle.json       what the bundle holds, written last: without it the folder is no bundle

The checkout's own lock, not the bundle's, decides what is installed. Only what was compiled is not in that lock;
its digest stands in ``bundle.json``, so whoever carries a bundle carries the digest of that file beside it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.model.errors import Broken, Invalid, RippleError
from ripple.model.system import LockedRoute, Route, RouteKind, System, VendorLock, this_platform
from ripple.stack.files import write_whole
from ripple.stack.vendorlock import NAME, lock_text
from ripple.supervisor.install.building import build_key
from ripple.supervisor.install.cache import BUNDLE, Tell, hash_file, is_digest
from ripple.supervisor.install.installer import Installer

COMPILED = frozenset({RouteKind.GO, RouteKind.CRATES})


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds. ``digest`` is the SHA-256 of its ``bundle.json``, which holds all others.

    ``built`` says which file holds the programs that were compiled for a locked route, by the route's build key.
    """

    folder: Path
    systems: tuple[dict[str, str], ...]
    files: tuple[dict[str, Any], ...]
    built: dict[str, str]
    platform: str
    digest: str

    @property
    def size_bytes(self) -> int:
        """The bytes of its files."""
        return sum(int(file["size"]) for file in self.files)


async def create_bundle(installer: Installer, systems: Sequence[System], target: Path) -> Bundle:
    """A bundle of ``systems`` in ``target``; files that are there already are kept. Equal files, equal bytes.

    A bundle that is there stays whole until the new one is.

    Raises:
        Invalid: the folder holds something that is no bundle.
        NotObtainable: a system's files cannot be had.
    """
    await anyio.to_thread.run_sync(_prepare, target)
    files: dict[str, dict[str, Any]] = {}
    told, locked_part, built = [], {}, {}
    for system in sorted(systems, key=lambda one: one.id):
        for route, locked in await installer.bring(system):
            needed = _needed(installer, route, locked)
            for done, (sha256, url) in enumerate(needed, 1):
                kept = await installer.downloads.need(sha256, url)
                await anyio.to_thread.run_sync(_copy, kept.path, target / "sha256" / sha256)
                installer.downloads.tell(f"copying the files of {system.id}", done, len(needed))
                files[sha256] = {"sha256": sha256, "size": kept.size, "url": url}
            if locked.route in COMPILED:
                built[build_key(route, locked)] = _compiled(installer, route, locked)
            told.append({"id": system.id, "version": locked.version, "route": route.kind.value})
            locked_part[system.id] = {this_platform(): (locked,)}
    write_whole(target / NAME, lock_text(VendorLock(systems=locked_part)))
    ordered = [files[name] for name in sorted(files)]
    whole = {"version": 1, "platform": this_platform(), "systems": told, "files": ordered, "built": built}
    write_whole(target / BUNDLE, json.dumps(whole, indent=1) + "\n")
    return read_bundle(target)


def read_bundle(folder: Path) -> Bundle:
    """What a bundle says it holds; Invalid if the folder is no bundle."""
    try:
        data = json.loads((folder / BUNDLE).read_text(encoding="utf-8"))
        systems, files, built = tuple(data["systems"]), tuple(data["files"]), dict(data["built"])
        platform = str(data["platform"])
        for digest in (*(file["sha256"] for file in files), *built.values()):
            if not is_digest(digest):
                raise ValueError(f"{digest!r} is no SHA-256")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{folder} is no bundle ({error}); make one with ./ripple bundle create DIR") from error
    return Bundle(folder, systems, files, built, platform, hash_file(folder / BUNDLE, {"sha256"})["sha256"])


def usable_bundle(folder: Path) -> Bundle:
    """The bundle, if it was made for a machine like this one.

    Raises:
        Invalid: the folder is no bundle, or one for another platform.
    """
    bundle = read_bundle(folder)
    if bundle.platform != this_platform():
        raise Invalid(
            f"{folder} was made for {bundle.platform}, this is {this_platform()}; make one on such a machine"
        )
    return bundle


def check_bundle(folder: Path, tell: Tell | None = None) -> Bundle:
    """The bundle, with every file of it hashed; ``tell`` hears how far that is.

    Raises:
        Broken: a file is missing or is not what ``bundle.json`` says.
    """
    bundle = read_bundle(folder)
    for done, file in enumerate(bundle.files):
        if tell:
            tell(f"checking the files of {folder}", done, len(bundle.files))
        path = folder / "sha256" / str(file["sha256"])
        found = hash_file(path, {"sha256"})["sha256"] if path.is_file() else "nothing"
        if found != file["sha256"]:
            raise Broken(f"{path} holds {found}; copy the bundle again, or make it again")
    if strange := set(bundle.built.values()) - {file["sha256"] for file in bundle.files}:
        raise Broken(f"{folder / BUNDLE} names {min(strange)}, which it does not hold; make the bundle again")
    return bundle


def _prepare(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise Invalid(f"{target} is a file; name a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / "sha256").is_dir():
        raise Invalid(f"{target} holds something that is no bundle; name an empty folder or a new one")
    (target / "sha256").mkdir(parents=True, exist_ok=True)


def _needed(installer: Installer, route: Route, locked: LockedRoute) -> list[tuple[str, str]]:
    """The digests a route needs to be laid out, each with what it is: files, or what was compiled of them."""
    if locked.route not in COMPILED:
        return [(file.sha256, file.url) for file in locked.files]
    return [(_compiled(installer, route, locked), f"compiled of {locked.files[0].url}")]


def _compiled(installer: Installer, route: Route, locked: LockedRoute) -> str:
    """The digest of what was compiled for a route."""
    built = installer.downloads.built(build_key(route, locked))
    if built is None:
        raise RippleError(f"the compiled {route.package} is not in the cache; install it first")
    return built


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and hash_file(target, {"sha256"})["sha256"] == target.name:
        return
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, fresh)
    fresh.replace(target)
