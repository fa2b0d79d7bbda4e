"""The download cache: every file under its own digest, checked before it gets its name and again when it is used.

- ``sha256/HEX`` is a whole file; ``parts/`` holds what interrupted fetches brought; a wrong file is removed.
- ``built/KEY.json`` says which file holds the programs that were compiled for a locked route; a bundle's say so in
  its ``bundle.json``.
- A folder of assets stands before the network: with one, nothing is fetched at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from ripple.model.errors import Broken, DeadlineExceeded, Invalid, Refused, Unavailable
from ripple.supervisor.install.fetch import CHUNK_BYTES, fetch_url, forget_part

Tell = Callable[[str, int, int | None], None]
PATIENCE_SECONDS = 3600.0
POLL_SECONDS = 0.05
TRIES = 3
FETCHING = "fetching "
"""How the label of something begins that is told in bytes."""
BUNDLE = "bundle.json"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINAL = re.compile(r"HTTP 4(?!08|16|29)")
"""Not too slow, not a range that is no longer there, not too many: asking again would change nothing."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: where, and which digests (algorithm → hex) and size it must have."""

    label: str
    url: str
    digests: Mapping[str, str]
    size: int | None = None
    plain: bool = False


@dataclass(frozen=True)
class Kept:
    """A file of the cache."""

    path: Path
    sha256: str
    size: int


class Downloads:
    """The cache in ``folder``; ``assets`` is a bundle's folder, which replaces the network."""

    def __init__(self, folder: Path, tell: Tell, assets: Path | None = None) -> None:
        self._folder, self._tell, self._assets = folder, tell, assets
        self._checked: dict[str, tuple[int, int, int, int]] = {}

    @property
    def offline(self) -> bool:
        """Whether nothing may be fetched."""
        return self._assets is not None

    def path(self, sha256: str) -> Path:
        """Where the file with that digest stands once it is there; Broken if that is no digest."""
        if not is_digest(sha256):
            raise Broken(f"{sha256!r} is no SHA-256; make the lock or the bundle that says so again")
        return self._folder / "sha256" / sha256

    def tell(self, label: str, done: int, total: int | None) -> None:
        """Say how far something is; ``total`` None where nobody knows."""
        self._tell(label, done, total)

    def alone(self, file: Path, what: str, seconds: float = PATIENCE_SECONDS) -> AbstractAsyncContextManager[None]:
        """Alone on ``file`` (:func:`held`); waiting for another ``what`` is told."""
        return held(file, seconds, lambda: told(self._tell, f"waiting for another {what}"))

    def telling(self, label: str) -> AbstractContextManager[None]:
        """Say that something is done, for as long as it is."""
        return told(self._tell, label)

    async def find(self, sha256: str) -> Kept | None:
        """The whole file, from the cache or the assets, checked now; None if it must be fetched."""
        return await anyio.to_thread.run_sync(self._found, sha256)

    async def need(self, sha256: str, label: str) -> Kept:
        """The whole file; Unavailable if it is in neither the cache nor the assets."""
        found = await self.find(sha256)
        if found is None:
            where = self._assets or self._folder
            raise Unavailable(f"{label} is not in {where}; make the bundle again, or install with the network")
        return found

    async def fetch(self, wanted: Wanted) -> Kept:
        """The file, fetched unless it is there.

        Raises:
            Refused: it has another digest; what was fetched is removed.
            Unavailable: it cannot be fetched; what arrived is kept and the next call goes on from there.
        """
        known = wanted.digests.get("sha256")
        if known and (found := await self.find(known)):
            return found
        if self.offline:
            raise Unavailable(f"{wanted.label} is not in {self._assets}; make the bundle again")
        key = known or hashlib.sha256(wanted.url.encode()).hexdigest()
        part = self._folder / "parts" / key
        async with self.alone(part.with_name(f"{key}.lock"), f"download of {wanted.label}"):
            if known and (found := await self.find(known)):
                return found
            await self._bring(wanted, part)
            return await self._name(part, wanted.digests, wanted.label)

    async def keep(self, file: Path) -> Kept:
        """Move a file that was made here into the cache."""
        return await self._name(file, {}, file.name)

    def built(self, key: str) -> str | None:
        """The digest of the file that holds what was compiled under ``key``."""
        try:
            own = json.loads((self._folder / "built" / f"{key}.json").read_text())["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return self._brought.get(key)
        usable = is_digest(own) and self.path(own).is_file()
        return own if usable else self._brought.get(key)

    @functools.cached_property
    def _brought(self) -> dict[str, str]:
        """What the bundle holds compiled: ``bundle.json`` says it, so its digest vouches for it."""
        try:
            found = json.loads((self._assets / BUNDLE).read_text())["built"].items() if self._assets else ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return {key: sha256 for key, sha256 in found if is_digest(sha256)}

    def remember_built(self, key: str, kept: Kept) -> None:
        """Say which file holds what was compiled under ``key``."""
        target = self._folder / "built" / f"{key}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"sha256": kept.sha256, "size": kept.size}) + "\n")
        fresh.replace(target)

    async def _bring(self, wanted: Wanted, part: Path) -> None:
        tell = partial(self._said, wanted)
        for left in range(TRIES - 1, -1, -1):
            try:
                await fetch_url(wanted.url, part, tell, wanted.size, plain=wanted.plain)
            except (Refused, Invalid):
                await anyio.to_thread.run_sync(forget_part, part)
                raise
            except Unavailable as error:
                if not left or _FINAL.search(str(error)):
                    raise
            else:
                return

    def _said(self, wanted: Wanted, done: int) -> None:
        self._tell(f"{FETCHING}{wanted.label}", done, wanted.size)

    async def _name(self, part: Path, digests: Mapping[str, str], label: str) -> Kept:
        names = {"sha256", *digests}
        found = await anyio.to_thread.run_sync(hash_file, part, names)
        for name, expected in digests.items():
            if found[name] != expected:
                await anyio.to_thread.run_sync(forget_part, part)
                raise Refused(
                    f"{label} has {name} {found[name]}, {expected} was expected; it was removed: do not use it, "
                    "and find out who changed it at its source"
                )
        target = self.path(found["sha256"])
        await anyio.to_thread.run_sync(_settle, part, target)
        return Kept(target, found["sha256"], await anyio.to_thread.run_sync(lambda: target.stat().st_size))

    def _found(self, sha256: str) -> Kept | None:
        path = self.path(sha256)
        if path.is_file():
            now = _touched(path)
            if self._checked.get(sha256) == now or hash_file(path, {"sha256"})["sha256"] == sha256:
                self._checked[sha256] = now
                return Kept(path, sha256, now[1])
            path.unlink(missing_ok=True)
        asset = self._assets / "sha256" / sha256 if self._assets else None
        if asset is None or not asset.is_file():
            return None
        copy = self._folder / "parts" / f"{sha256}.{os.getpid()}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(asset, copy)
            found = hash_file(copy, {"sha256"})["sha256"]
        except OSError:
            copy.unlink(missing_ok=True)
            raise
        if found != sha256:
            copy.unlink()
            raise Refused(f"{asset} is not the file it is named after; make the bundle again")
        _settle(copy, path)
        return Kept(path, sha256, path.stat().st_size)


def is_digest(text: object) -> bool:
    """Whether that is a SHA-256 in hex, and so a plain file name."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def hash_file(path: Path, names: set[str]) -> dict[str, str]:
    """The file's digests by those algorithms, in hex."""
    found = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            for one in found.values():
                one.update(chunk)
    return {name: one.hexdigest() for name, one in found.items()}


@contextlib.contextmanager
def told(tell: Tell, label: str) -> Iterator[None]:
    """Say that something is done, for as long as it is."""
    tell(label, 0, None)
    try:
        yield
    finally:
        tell(label, 1, 1)


@contextlib.asynccontextmanager
async def held(
    file: Path,
    seconds: float = PATIENCE_SECONDS,
    waiting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> AsyncIterator[None]:
    """Alone on ``file``, over all processes; the kernel lets go when its holder dies.

    ``waiting`` is entered while somebody else is.

    Raises:
        DeadlineExceeded: another process goes on holding it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(number):
            with waiting():
                await _wait(number, file, seconds)
        yield
    finally:
        os.close(number)


async def _wait(number: int, file: Path, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not _taken(number):
        if time.monotonic() > give_up:
            raise DeadlineExceeded(f"another process has held {file} for {seconds:g} s; end it")
        await anyio.sleep(POLL_SECONDS)


def _touched(path: Path) -> tuple[int, int, int, int]:
    """Changes when the file does, unless the clock is set back."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _taken(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _settle(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(target)
    forget_part(part)
