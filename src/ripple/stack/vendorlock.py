"""``manifests/vendor.lock.json``: what every system is made of, by digest, for each platform.

- One file a line, everything sorted, so that two people's changes merge and a change can be read.
- A locked route belongs to the route of the row that it was resolved from: same kind, same package, same version.
- A route that failed when it was locked stands there without files: it was tried, and counts as not locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.model.errors import Invalid, RippleError
from ripple.model.purl import SCHEME, PackageUrl, parse_purl
from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind, System, VendorLock
from ripple.stack.files import write_whole
from ripple.stack.load import parse
from ripple.stack.systems import StackMap

NAME = "vendor.lock.json"
NEVER_LOCKED = frozenset({RouteKind.OCI, RouteKind.NIX})
"""Kinds of which nothing goes into a prefix, so that their routes have no entry."""

NOT_TRIED = "it is not locked"


@dataclass(frozen=True)
class Pair:
    """A route of a row and what the lock holds of it; ``why`` says why not, where it holds nothing that fits."""

    route: Route
    locked: LockedRoute | None
    why: str = ""


@dataclass(frozen=True)
class LockFinding:
    """A place where the lock and the map disagree."""

    system: str
    problem: str
    fix: str


def load_lock(manifests: Path) -> VendorLock:
    """The lock beside the manifests; an empty one if there is none yet.

    Raises:
        Invalid: it is not a lock.
    """
    path = manifests / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return VendorLock()
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot read {path}: {error}; take it from the repository again") from error
    return parse(VendorLock, data, str(path))


def update_lock(manifests: Path, platform: str, found: dict[str, tuple[LockedRoute, ...]]) -> VendorLock:
    """Put what was resolved into the lock and keep all else, also what another process puts there meanwhile."""
    with _alone(manifests):
        systems = dict(load_lock(manifests).systems)
        for system, routes in found.items():
            systems[system] = {**systems.get(system, {}), platform: routes}
        fresh = VendorLock(systems=systems)
        write_whole(manifests / NAME, lock_text(fresh))
    return fresh


def lock_text(lock: VendorLock) -> str:
    """The lock as it is written: sorted, one file a line."""
    systems = [
        f"  {_json(name)}: {{\n"
        + ",\n".join(_platform_text(*each) for each in sorted(platforms.items()))
        + "\n  }"
        for name, platforms in sorted(lock.systems.items())
    ]
    return f'{{"version": {lock.version}, "systems": {{\n' + ",\n".join(systems) + "\n}}\n"


def pairs(system: System, lock: VendorLock, platform: str) -> list[Pair]:
    """The row's routes for this platform, in order, each with what is locked of it."""
    known = lock.systems.get(system.id, {}).get(platform, ())
    return [_pair(route, known) for route in system.routes if not route.platforms or platform in route.platforms]


def merged(
    system: System, found: tuple[LockedRoute, ...], lock: VendorLock, platform: str
) -> tuple[LockedRoute, ...]:
    """What was resolved now, and for a route that failed the entry the lock had, if it still fits. Pure."""
    fresh = pairs(system, VendorLock(systems={system.id: {platform: found}}), platform)
    known = pairs(system, lock, platform)
    tried = {*found, *lock.systems.get(system.id, {}).get(platform, ())}
    failed = [one if (one := failed_entry(pair.route)) in tried else None for pair in fresh]
    taken = [new.locked or old.locked or none for new, old, none in zip(fresh, known, failed, strict=True)]
    return tuple(dict.fromkeys(one for one in taken if one is not None))


def failed_entry(route: Route) -> LockedRoute:
    """What the lock holds of a route that was tried and could not be had."""
    return LockedRoute(route=route.kind, version=route.version, signer="", package=route.package, also=route.also)


def is_locked(system: System, lock: VendorLock, platform: str) -> bool:
    """Whether the lock was made for the system on that platform, even if it found nothing."""
    return platform in lock.systems.get(system.id, {})


def check_lock(found: StackMap, lock: VendorLock, platform: str) -> list[LockFinding]:
    """Everything in which lock and map disagree, for one platform. Pure."""
    rows = {row.system.id: row.system for row in found.rows}
    findings = [
        LockFinding(name, "stands in the lock and not in the map", f"./ripple lock update --drop {name}")
        for name in sorted(set(lock.systems) - set(rows))
    ]
    for name, system in sorted(rows.items()):
        findings += [
            LockFinding(name, problem, f"./ripple lock update {name}")
            for problem in _problems(system, lock, platform)
        ]
    return findings


def drop_from_lock(manifests: Path, names: Iterable[str]) -> VendorLock:
    """Take systems out of the lock."""
    with _alone(manifests):
        gone = set(names)
        kept = {name: value for name, value in load_lock(manifests).systems.items() if name not in gone}
        fresh = VendorLock(systems=kept)
        write_whole(manifests / NAME, lock_text(fresh))
    return fresh


def _problems(system: System, lock: VendorLock, platform: str) -> Iterator[str]:
    routes = pairs(system, lock, platform)
    if not routes:
        return
    if not is_locked(system, lock, platform):
        yield f"has routes and is not locked for {platform}"
        return
    known = lock.systems[system.id][platform]
    used = [pair.locked or failed_entry(pair.route) for pair in routes]
    for route in (pair.route for pair in routes if pair.why == NOT_TRIED):
        if route.kind not in NEVER_LOCKED:
            yield f"has the route {route.kind.value} {route.package}, which nobody has tried to lock"
    for locked in known:
        if locked not in used:
            yield f"holds {locked.route.value} {_named(locked)}, which no route of the row asks for"
        for file in locked.files:
            if not _is_sound(file):
                yield f"names {file.url!r}, which is neither a package URL nor an https address"


def _pair(route: Route, known: Iterable[LockedRoute]) -> Pair:
    whys = []
    for locked in known:
        if not locked.files and locked == failed_entry(route):
            whys.append("it could not be had when it was locked")
        if locked.route == route.kind and _is_of(route, locked):
            why = _unmet(route, locked)
            if not why:
                return Pair(route, locked)
            whys.append(why)
    return Pair(route, None, whys[0] if whys else NOT_TRIED)


def _is_of(route: Route, locked: LockedRoute) -> bool:
    """Whether the locked files are of the route's package."""
    if not locked.files:
        return False
    if route.kind == RouteKind.URL:
        return locked.files[0].url == route.package
    purl = parse_purl(locked.files[0].url)
    match route.kind:
        case RouteKind.PYPI:
            return purl.name == _canonical(route.package)
        case RouteKind.DEBIAN:
            return purl.last == route.package
        case RouteKind.GO:
            return f"{route.package}/".startswith(f"{purl.name}/")
        case RouteKind.MAVEN:
            return _maven_name(purl) == _maven_parts(route.package)
        case _:
            return purl.name == route.package


def _maven_parts(package: str) -> list[str]:
    parts = package.split(":")
    return parts + ["jar", ""][len(parts) - 2 :] if 2 <= len(parts) <= 4 else parts


def _maven_name(purl: PackageUrl) -> list[str]:
    """Group, artifact, extension and classifier, as a route spells them."""
    group, _, artifact = purl.name.partition("/")
    return [group, artifact, purl.qualifiers.get("type", "jar"), purl.qualifiers.get("classifier", "")]


def _unmet(route: Route, locked: LockedRoute) -> str:
    """Why what is locked is not what the route asks for now; "" if it is."""
    if route.version and locked.version != route.version and route.version.strip("v^~=<>") != locked.version:
        return f"the lock holds {locked.version}, the row says {route.version}"
    names = {_names(parse_purl(file.url)) for file in locked.files if file.url.startswith(SCHEME)}
    if route.kind == RouteKind.GO:
        return ""
    for text in (one for one in route.also if not one.startswith("!")):
        name, version = _also(route.kind, text)
        held = {each for own, each in names if own == name}
        if not held:
            return f"the lock lacks {name}, which the row adds"
        if version and version[0].isdigit() and version not in held:
            return f"the lock holds {name} {', '.join(sorted(held))}, the row says {version}"
    return ""


def _also(kind: RouteKind, text: str) -> tuple[str, str]:
    if kind == RouteKind.PYPI:
        name, _, version = re.split(r"[;\s]", text)[0].partition("==")
        return _canonical(re.split(r"[<>=!~]", name)[0]), version
    at = text.find("=" if kind == RouteKind.DEBIAN else "@", 1)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def _names(purl: PackageUrl) -> tuple[str, str]:
    return (purl.last if purl.kind == "deb" else purl.name), purl.version


def _canonical(name: str) -> str:
    """A PyPI project's name as the index spells it (PEP 503), without extras."""
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()


def _named(locked: LockedRoute) -> str:
    return f"{locked.files[0].url if locked.files else locked.package or 'nothing'} {locked.version}"


def _is_sound(file: LockedFile) -> bool:
    if file.url.startswith("https://") or re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", file.url):
        return True
    try:
        parse_purl(file.url)
    except RippleError:
        return False
    return True


def _platform_text(platform: str, routes: tuple[LockedRoute, ...]) -> str:
    if not routes:
        return f"    {_json(platform)}: []"
    return f"    {_json(platform)}: [\n" + ",\n".join(map(_route_text, routes)) + "]"


def _route_text(route: LockedRoute) -> str:
    facts = {"route": route.route.value, "version": route.version, "signer": route.signer}
    tried = {"package": route.package, "also": list(route.also)}
    head = _json({**facts, **{name: value for name, value in tried.items() if value}})[:-1]
    files = ",\n".join(f"        {_json(file.model_dump(exclude_defaults=True))}" for file in route.files)
    return f'      {head}, "files": [' + (f"\n{files}" if files else "") + "]}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Alone, over all processes; the folder itself is held, so that no other file lies in it."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
