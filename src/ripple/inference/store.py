"""The model files of this installation: each whole, checked against its hash, and locked to it.

- A file gets its name only after its bytes were checked; until then it lies in a scratch folder of its own.
- ``models.lock.json`` keeps the hash each model had when it was first installed. One that comes with another hash
  later is refused, also when the catalogue does not know its hash.
- One process at a time fetches a model; a second one waits and finds it installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.inference.catalogue import ModelRow
from ripple.inference.fetching import FETCH_SECONDS, fetch_packages
from ripple.inference.gguf import check_gguf
from ripple.model.errors import Broken, DeadlineExceeded, NotFound, Refused, RippleError, Unavailable
from ripple.supervisor.install.fetch import CHUNK_BYTES, fetch_url

LOCK = "models.lock.json"
WAIT_SECONDS = 0.1
SPARE_BYTES = 256 << 20


@dataclass
class Fetching:
    """How far a model came: bytes here, and why it failed when it did."""

    have_bytes: int = 0
    failed: str = ""


class Store:
    """Model files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetching: dict[str, Fetching] = {}

    def path(self, row: ModelRow) -> Path:
        """Where the model's file lies once it is installed."""
        return self._folder / row.file

    def installed(self, row: ModelRow) -> bool:
        """Whether the model is here, checked when it came."""
        return self.path(row).is_file() and row.name in self._locked()

    def sha256(self, row: ModelRow) -> str | None:
        """The hash the model is locked to, None before it was ever installed."""
        found = self._locked().get(row.name, {}).get("sha256")
        return str(found) if found else row.sha256

    def shown(self, row: ModelRow) -> dict[str, Any]:
        """The model as the API shows it."""
        going = self._fetching.get(row.name)
        locked = self._locked().get(row.name, {})
        state, reason = ("installed" if self.installed(row) else "available"), row.note
        if going and going.failed:
            state, reason = "failed", going.failed
        elif going:
            state, reason = "downloading", _told(going.have_bytes, row.size_bytes)
        return {
            "name": row.name,
            "lineage": row.lineage,
            "licence": row.licence,
            "size_bytes": row.size_bytes or locked.get("size_bytes"),
            "state": state,
            "set": row.set,
            "reason": reason,
        }

    def failed(self, row: ModelRow, reason: str) -> None:
        """Show the model as failed until it is added again."""
        self._fetching[row.name] = Fetching(failed=reason)

    async def fetch(self, row: ModelRow) -> Path:
        """The installed file; fetched when it is not here, otherwise nothing happens.

        Raises:
            Refused: the bytes are not those the catalogue or the lock names.
            Unavailable: they cannot be fetched or written now; the next call goes on where this one stopped.
        """
        going = self._fetching[row.name] = Fetching()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            async with self._alone(row):
                if not self.installed(row):
                    await self._install(row, going)
        except BaseException as error:
            going.failed = (
                str(error) if isinstance(error, RippleError) else "the fetch was interrupted; add it again"
            )
            if isinstance(error, OSError):
                raise _named(error, row) from error
            raise
        del self._fetching[row.name]
        return self.path(row)

    async def verify(self, row: ModelRow) -> str:
        """The hash of the installed file, which is the locked one; read only when the file was touched since.

        Raises:
            NotFound: it is not installed.
            Broken: its bytes have changed.
        """
        if not self.installed(row):
            raise NotFound(f"model {row.name} is not installed; ./ripple models add {row.name}")
        locked = self._locked()[row.name]
        if _touched(self.path(row)) != locked.get("touched"):
            found = await anyio.to_thread.run_sync(_sha256, [self.path(row)], None)
            if found != locked["sha256"]:
                raise Broken(
                    f"{self.path(row)} has changed since it was installed; delete it and add the model again"
                )
            self._lock(row, found)
        return str(locked["sha256"])

    async def _install(self, row: ModelRow, going: Fetching) -> None:
        self._check_room(row)
        scratch = self._folder / f".fetching-{row.name}"
        scratch.mkdir(exist_ok=True)

        def progress(have_bytes: int) -> None:
            going.have_bytes = have_bytes

        whole = scratch / "whole.gguf"
        if row.url is not None:
            parts = [scratch / "download"]
            await fetch_url(row.url, parts[0], progress, row.size_bytes)
        else:
            parts = await fetch_packages(row, scratch, progress)
        try:
            found = await anyio.to_thread.run_sync(_sha256, parts, whole)
            self._check(row, found)
            check_gguf(whole)
        except RippleError:
            # These bytes are wrong, so nothing of them may be gone on with.
            await anyio.to_thread.run_sync(shutil.rmtree, scratch)
            raise
        whole.replace(self.path(row))
        self._lock(row, found)
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(scratch, ignore_errors=True))

    def _check(self, row: ModelRow, found: str) -> None:
        for said, source in ((row.sha256, "the catalogue"), (self.sha256(row), f"{LOCK}, from its first use,")):
            if said is not None and found != said:
                raise Refused(f"model {row.name} came with sha256 {found[:16]}…, but {source} says {said[:16]}…")

    def _check_room(self, row: ModelRow) -> None:
        # Parts and the whole lie beside each other for a moment.
        wanted = 2 * (row.size_bytes or 0) + SPARE_BYTES
        free = shutil.disk_usage(self._folder).free
        if free < wanted:
            raise Unavailable(
                f"model {row.name} needs {_mb(wanted)} of disk, {_mb(free)} are free; free some space"
            )

    @asynccontextmanager
    async def _alone(self, row: ModelRow) -> AsyncIterator[None]:
        number = os.open(self._folder / f".{row.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            give_up = time.monotonic() + FETCH_SECONDS
            while not _taken(number):
                if time.monotonic() > give_up:
                    raise DeadlineExceeded(f"another process fetches {row.name} for {FETCH_SECONDS:g} s; end it")
                await asyncio.sleep(WAIT_SECONDS)
            yield
        finally:
            os.close(number)

    def _locked(self) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / LOCK).read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            what = f"cannot read {self._folder / LOCK}: {error}"
            raise Broken(f"{what}; restore it, or delete it and add the models again") from error
        return dict(found)

    def _lock(self, row: ModelRow, sha256: str) -> None:
        path, source = self.path(row), row.url or [f"{one.name}=={one.version}" for one in row.packages]
        with _held(self._folder / f".{LOCK}.lock"):
            rows = self._locked()
            rows[row.name] = {
                "sha256": sha256,
                "size_bytes": path.stat().st_size,
                "source": source,
                "at": rows.get(row.name, {}).get("at", datetime.now(UTC).isoformat()),
                "touched": _touched(path),
            }
            fresh = self._folder / f".{LOCK}.{os.getpid()}"
            fresh.write_text(json.dumps(rows, indent=1) + "\n")
            fresh.replace(self._folder / LOCK)


def _sha256(parts: Sequence[Path], whole: Path | None) -> str:
    """The hash of ``parts`` one after the other, which are also written to ``whole`` when it is given."""
    found = hashlib.sha256()
    with whole.open("wb") if whole else contextlib.nullcontext() as file:
        for part in parts:
            with part.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    found.update(chunk)
                    if file:
                        file.write(chunk)
        if file:
            file.flush()
            os.fsync(file.fileno())
    return found.hexdigest()


def _touched(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _told(have_bytes: int, size_bytes: int | None) -> str:
    return f"{_mb(min(have_bytes, size_bytes or have_bytes))}{f' of {_mb(size_bytes)}' if size_bytes else ''}"


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _named(error: OSError, row: ModelRow) -> Unavailable:
    hint = (
        "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder's owner and mode"
    )
    return Unavailable(f"cannot keep model {row.name}: {error}; {hint}")


def _taken(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _held(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
