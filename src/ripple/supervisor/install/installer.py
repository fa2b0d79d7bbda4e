"""Installing a system from the lock, and saying for every route that did not work exactly why.

- The routes of a row are tried in order; the first that works makes the tree. A second call finds it.
- What is refused (other bytes than the lock names, a hostile archive) ends the whole call: it is no reason to try
  the next route.
- All that is fetched goes through the cache; a tree is made from the cache alone.
- Two processes that install the same system wait for each other; the second finds what the first has made.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread

from ripple.model.digest import digest_json
from ripple.model.errors import DeadlineExceeded, Invalid, NotFound, Refused, RippleError, Unavailable
from ripple.model.system import ID, LockedRoute, Route, RouteKind, System, VendorLock, this_platform
from ripple.stack.vendorlock import NEVER_LOCKED, Pair, failed_entry, is_locked, pairs
from ripple.supervisor.install.archives import ElsewhereWay, MavenWay, UrlWay
from ripple.supervisor.install.cache import Downloads
from ripple.supervisor.install.commands import INTERRUPTED
from ripple.supervisor.install.crates import CratesWay
from ripple.supervisor.install.debian import DebianWay
from ripple.supervisor.install.go import GoWay
from ripple.supervisor.install.names import settle_names
from ripple.supervisor.install.npm import NpmWay
from ripple.supervisor.install.prefix import Prefix, Tree
from ripple.supervisor.install.pypi import PypiWay
from ripple.supervisor.install.ways import Room, Way

_HOST = re.compile(r"https?://(?!(?:127\.0\.0\.1|localhost|\[::1\]))[^/\s\"'`)]+")
_BARE_HOST = re.compile(
    r"\b(?:[\w-]+\.)*(?:crates\.io|(?:proxy|sum)\.golang\.org|pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|docker\.io|ghcr\.io)\b"
)
LEFT_SECONDS = 86_400.0
NAMES_SECONDS = 120.0
LAYOUT = 2
"""Part of every tree's key: raised when a tree is laid out in another way."""
Progress = Callable[[str, int, int | None], None]
WAYS: dict[RouteKind, Way] = {
    RouteKind.PYPI: PypiWay(),
    RouteKind.NPM: NpmWay(),
    RouteKind.DEBIAN: DebianWay(),
    RouteKind.GO: GoWay(),
    RouteKind.CRATES: CratesWay(),
    RouteKind.MAVEN: MavenWay(),
    RouteKind.URL: UrlWay(),
    RouteKind.OCI: ElsewhereWay("an image is started by a container engine; none is pulled into the prefix"),
    RouteKind.NIX: ElsewhereWay("a package of Nix lives in a Nix store; none is copied into the prefix"),
}


class NotObtainable(Unavailable):
    """No route of a system works here; ``attempts`` holds each route with its exact error.

    ``unsure`` when one of them ran out of time or was ended from outside, so that it may work another time.
    """

    code = "not_obtainable"
    retryable = False

    def __init__(self, system: str, attempts: Sequence[str], *, unsure: bool = False) -> None:
        self.attempts, self.unsure = tuple(attempts), unsure
        super().__init__(f"{system} is not obtainable here: {'; '.join(attempts) or 'its row names no route'}")


@dataclass(frozen=True)
class Resolved:
    """What locking a system found: an entry for each route, and the errors of those that do not work."""

    routes: tuple[LockedRoute, ...]
    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Removed:
    """What was removed of a system; ``names`` are those another system has now, with its id.

    ``half_laid`` are the folders that a killed installation had left.
    """

    trees: tuple[Tree, ...]
    half_laid: tuple[Path, ...]
    names: Mapping[str, str]


class Installer:
    """Installs into ``prefix`` what ``lock`` says; ``assets`` is a bundle that replaces the network."""

    def __init__(
        self, prefix: Path, lock: VendorLock, *, assets: Path | None = None, progress: Progress | None = None
    ) -> None:
        self.prefix, self._lock = Prefix(prefix), lock
        self.downloads = Downloads(self.prefix.cache, progress or (lambda *_: None), assets)
        self._platform = this_platform()

    async def install(self, system: System) -> Tree:
        """The system's tree, made unless it is there. Idempotent.

        Raises:
            NotFound: the lock does not know the system (code ``not_locked``).
            NotObtainable: no route works.
            Refused: what came is not what the lock names.
        """
        if found := self.installed(system):
            return found
        self._need_locked(system)
        async with self._alone(system.id):
            if found := self.installed(system):
                return found
            return await self._install(system)

    def installed(self, system: System) -> Tree | None:
        """The system's tree as the lock says it must be, if it is there; reads receipts only."""
        for route, locked in self._locked(system):
            if found := self.prefix.read(self._folder(system, route, locked)):
                return found
        return None

    async def verify(self, system: System) -> list[str]:
        """What of the installed tree is not as it was installed; empty if it is whole.

        Raises:
            NotFound: it is not installed.
        """
        tree = self.installed(system)
        if tree is None:
            raise NotFound(f"{system.id} is not installed; ./ripple component install {system.id}")
        return await self._differences(tree)

    async def _differences(self, tree: Tree) -> list[str]:
        with self.downloads.telling(f"checking the files of {tree.system}"):
            look = partial(self.prefix.differences, tree, tell=self.downloads.tell)
            return await anyio.to_thread.run_sync(look)

    async def fix(self, system: System) -> tuple[Tree, list[str]]:
        """The system's whole tree, made again if anything of it differs; and what differed."""
        tree = self.installed(system)
        if tree is None:
            return await self.install(system), ["it was not installed"]
        if not await self.verify(system):
            return tree, []
        async with self._alone(system.id):
            # Another one may have mended it while this one waited, and what it made may be in use already.
            if (now := self.installed(system)) is None:
                return await self._install(system), ["it was gone"]
            if not (different := await self.verify(system)):
                return now, []
            fresh = await self._install(system)
            if fresh.root != now.root:
                await anyio.to_thread.run_sync(self.prefix.forget, now.root)
                await self._settle()
            return fresh, different

    async def remove(self, system: str) -> Removed:
        """Remove every tree of a system, half-laid ones too; what is in the cache stays.

        Raises:
            Invalid: that is no system's id.
        """
        if not re.fullmatch(ID, system):
            raise Invalid(f"{system!r} is no system's id")
        async with self._alone(system):
            trees, halves = self.prefix.trees(system), self.prefix.half_laid(system)
            with self.downloads.telling(f"removing {system}"):
                for folder in (*(tree.root for tree in trees), *halves):
                    await anyio.to_thread.run_sync(self.prefix.forget, folder)
            return Removed(tuple(trees), tuple(halves), await self._settle())

    async def resolve(self, system: System) -> Resolved:
        """Resolve every route of the system for this platform and fetch its files. Changes no tree and no lock."""
        routes, attempts = [], []
        for pair in pairs(system, VendorLock(), self._platform):
            async with self._room("resolving", system, pair.route) as room:
                try:
                    routes.append(await WAYS[pair.route.kind].lock(pair.route, room))
                except RippleError as error:
                    attempts.append(attempt(pair.route, error))
                    if pair.route.kind not in NEVER_LOCKED and not _is_unsure(error):
                        routes.append(failed_entry(pair.route))
        return Resolved(tuple(routes), tuple(attempts))

    async def bring(self, system: System) -> list[tuple[Route, LockedRoute]]:
        """Have everything in the cache that the system's first working route needs, as a bundle does."""
        attempts = []
        self._need_locked(system)
        for route, locked in self._locked(system):
            async with self._room("bringing the files of", system, route) as room:
                try:
                    await WAYS[route.kind].bring(route, locked, room)
                except Refused as error:
                    raise Refused(attempt(route, error)) from error
                except RippleError as error:
                    attempts.append(attempt(route, error))
                    continue
                return [(route, locked)]
        raise NotObtainable(system.id, attempts)

    def _need_locked(self, system: System) -> None:
        if system.routes and not is_locked(system, self._lock, self._platform):
            raise NotFound(
                f"{system.id} is not in the lock for {self._platform}; ./ripple lock update {system.id}",
                code="not_locked",
            )

    def _locked(self, system: System) -> list[tuple[Route, LockedRoute]]:
        found = pairs(system, self._lock, self._platform)
        return [(pair.route, pair.locked) for pair in found if pair.locked is not None]

    def _folder(self, system: System, route: Route, locked: LockedRoute) -> Path:
        facts = {
            "layout": LAYOUT,
            "route": route.model_dump(mode="json"),
            "locked": locked.model_dump(mode="json", exclude={"package"}),
        }
        return self.prefix.folder(system.id, locked.version, digest_json(facts).removeprefix("sha256:"))

    async def _install(self, system: System) -> Tree:
        found = pairs(system, self._lock, self._platform)
        errors: dict[int, RippleError] = {}
        for number, pair in enumerate(found):
            if pair.locked is None:
                continue
            try:
                return await self._lay(system, pair.route, pair.locked)
            except Refused as error:
                raise Refused(attempt(pair.route, error)) from error
            except RippleError as error:
                errors[number] = error
        # Only now: to say why a route is not locked takes resolving it.
        for number, pair in enumerate(found):
            if pair.locked is None:
                errors[number] = await self._explain(system, pair)
        attempts = [attempt(found[number].route, error) for number, error in sorted(errors.items())]
        raise NotObtainable(system.id, attempts, unsure=any(map(_is_unsure, errors.values())))

    async def _lay(self, system: System, route: Route, locked: LockedRoute) -> Tree:
        async with self._room("bringing the files of", system, route) as room:
            await WAYS[route.kind].bring(route, locked, room)
        try:
            return await self._make(system, route, locked)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.prefix.forget, self._folder(system, route, locked))
                await self._settle()
            raise

    async def _make(self, system: System, route: Route, locked: LockedRoute) -> Tree:
        folder, began = self._folder(system, route, locked), time.monotonic()
        async with self._names():  # So that nobody gives its names away while it is not there.
            await anyio.to_thread.run_sync(self.prefix.forget, folder)
            folder.mkdir(parents=True)
        async with self._room("installing", system, route) as room:
            python = await WAYS[route.kind].lay(route, locked, room, folder)
            await anyio.to_thread.run_sync(lambda: (folder / "bin").mkdir(exist_ok=True))
            tree = Tree(system.id, locked.version, route.kind, folder, python)
            facts = {"package": route.package, "platform": self._platform, "seconds": time.monotonic() - began}
            await anyio.to_thread.run_sync(self.prefix.finish, tree, facts)
        await self._settle()
        return tree

    def _alone(self, system: str) -> AbstractAsyncContextManager[None]:
        return self.downloads.alone(self.prefix.lock_file(system), f"installation of {system}")

    def _names(self) -> AbstractAsyncContextManager[None]:
        return self.downloads.alone(self.prefix.names_lock, "installation that links its programs", NAMES_SECONDS)

    async def _settle(self) -> dict[str, str]:
        async with self._names():
            return await anyio.to_thread.run_sync(settle_names, self.prefix)

    async def _explain(self, system: System, pair: Pair) -> RippleError:
        """Why a route that is not locked does not work: its error now, which the lock cannot hold."""
        if self.downloads.offline:
            return Unavailable(f"{pair.why}, and there is no network")
        async with self._room("resolving", system, pair.route) as room:
            try:
                await WAYS[pair.route.kind].lock(pair.route, room)
            except RippleError as error:
                return error
        return Unavailable(f"{pair.why}, but it can be had now; ./ripple lock update")

    @asynccontextmanager
    async def _room(self, doing: str, system: System, route: Route) -> AsyncIterator[Room]:
        """The cache and an empty folder beside it, so that files can be linked and renamed; says what is done."""
        place = self.prefix.root / "scratch"
        place.mkdir(parents=True, exist_ok=True)
        await anyio.to_thread.run_sync(_sweep, place)
        scratch = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="at-", dir=place)))
        try:
            with self.downloads.telling(f"{doing} {system.id}: {route.kind.value} {route.package}"):
                yield Room(self.downloads, scratch)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(scratch, ignore_errors=True))


def _sweep(place: Path) -> None:
    """Remove what a killed installation left a day ago or more."""
    for left in place.glob("at-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _is_unsure(error: RippleError) -> bool:
    """Whether another time the same may work: it ran out of time, or was ended from outside."""
    return isinstance(error, DeadlineExceeded) or error.code == INTERRUPTED


def attempt(route: Route, error: RippleError) -> str:
    """One route that did not work, in one line."""
    name = " ".join(filter(None, (route.kind.value, route.package, route.version)))
    return f"{name}: {_without_hosts(str(error))}"


def _without_hosts(text: str) -> str:
    """The text without the hosts of registries: they are the operator's settings, and evidence is published."""
    return _BARE_HOST.sub("(registry)", _HOST.sub("(registry)", text))
