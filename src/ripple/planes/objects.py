"""Objects: named bytes on whatever obstore speaks to. One seam, no driver of ours.

- ``file:///…`` is the embedded store, ``s3://bucket/prefix`` a real one; their guarantees are obstore's: a put is
  whole or not there, the newest wins, and a get that began before it still reads the old bytes.
- A local put is safe from a crash of the process, not from a power cut: obstore does not sync the disk.
- Keys are plain names between slashes; what could leave the folder is refused before any store sees it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from ripple.model.errors import DeadlineExceeded, Invalid, NotFound, Unavailable

MAX_BYTES = 512 << 20
MAX_LISTED = 100_000
DEADLINE_SECONDS = 60.0
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}){0,15}")


class Objects:
    """Bytes by key in one store, each call with a deadline and a size limit."""

    def __init__(self, store: ObjectStore, where: str) -> None:
        self._store = store
        self._where = where

    @classmethod
    def local(cls, folder: Path) -> Objects:
        """The embedded store: one file per object below ``folder``, which is made when missing.

        Raises:
            Unavailable: the folder cannot be made or read.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder), str(folder))
        except (OSError, BaseError) as error:
            raise Unavailable(
                f"cannot open the object store {folder}: {_first_line(error)}; check the folder's owner and mode"
            ) from error

    @classmethod
    def at(cls, url: str, config: Mapping[str, str] | None = None) -> Objects:
        """The store at ``url``; ``config`` holds obstore's keys for it (``endpoint``, ``access_key_id``, …).

        Nothing is reached yet. Plain HTTP is spoken only to an endpoint that ``config`` names with ``http://``.

        Raises:
            Invalid: the URL or a key of ``config`` is unknown to obstore.
        """
        given = dict(config or {})
        options: dict[str, Any] = {"config": given} if given else {}
        if any(value.startswith("http://") for value in given.values()):
            options["client_options"] = {"allow_http": True}
        try:
            return cls(from_url(url, **options), url)
        except (BaseError, ValueError, TypeError, OSError) as error:
            raise Invalid(
                f"cannot use {url} as object store: {_first_line(error)}; see obstore's stores"
            ) from error

    async def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, whole or not at all, replacing what was there.

        Raises:
            Invalid: the key is not plain, or ``data`` is longer than ``MAX_BYTES``.
            Unavailable: the store does not take it now.
        """
        _check(key)
        if len(data) > MAX_BYTES:
            raise Invalid(f"cannot keep {key}: it has {len(data)} bytes, at most {MAX_BYTES} are taken")
        async with self._outside("put", key):
            await obstore.put_async(self._store, key, data)

    async def get(self, key: str) -> bytes:
        """The bytes under ``key``.

        Raises:
            NotFound: nothing is there.
            Invalid: the key is not plain, or the object is longer than ``MAX_BYTES`` (nothing of it is read).
            Unavailable: the store does not answer now.
        """
        _check(key)
        async with self._outside("get", key):
            found = await obstore.get_async(self._store, key)
            if found.meta["size"] > MAX_BYTES:
                raise Invalid(
                    f"{key} in {self._where} has {found.meta['size']} bytes; at most {MAX_BYTES} are read"
                )
            return bytes(await found.bytes_async())

    async def exists(self, key: str) -> bool:
        """Whether something is under ``key``; Unavailable rather than a guess."""
        _check(key)
        try:
            async with self._outside("look up", key):
                await obstore.head_async(self._store, key)
        except NotFound:
            return False
        return True

    async def list(self, prefix: str = "") -> list[str]:
        """Every key below ``prefix`` (whole names: ``a/b`` holds ``a/b/c``, not ``a/bc``), sorted.

        Raises:
            Invalid: the prefix is not plain, or more than ``MAX_LISTED`` keys are below it.
            Unavailable: the store does not answer now.
        """
        if prefix:
            _check(prefix)
        keys: list[str] = []
        async with self._outside("list", prefix or "everything"):
            async for chunk in obstore.list(self._store, prefix or None):
                keys += [one["path"] for one in chunk]
                if len(keys) > MAX_LISTED:
                    raise Invalid(f"more than {MAX_LISTED} objects below {prefix!r} in {self._where}; list less")
        return sorted(keys)

    @asynccontextmanager
    async def _outside(self, verb: str, key: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                yield
        except FileNotFoundError as error:
            raise NotFound(f"no object {key} in {self._where}") from error
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"cannot {verb} {key} in {self._where} within {DEADLINE_SECONDS:g} s; check that the store answers"
            ) from error
        except (BaseError, OSError, ValueError) as error:
            raise Unavailable(f"cannot {verb} {key} in {self._where}: {_first_line(error)}") from error


def _check(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise Invalid(
            f"{key[:80]!r} is no object key: up to 16 names of letters, digits, '.', '_' and '-' between slashes, "
            "none beginning with '.'"
        )


def _first_line(error: BaseException) -> str:
    """Obstore appends a dump of its own structures to every message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
