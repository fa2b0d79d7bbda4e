"""Opening the database and the two ways to use it: ``read`` and ``write``.

Durability: WAL with ``synchronous=FULL``, so what was committed survives a power cut. Writers queue on SQLite's one
write lock (``BEGIN IMMEDIATE``) for at most ``BUSY_SECONDS``.
"""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ripple.model.errors import Broken, Unavailable
from ripple.planes.records.schema import HEAD, migrate

BUSY_SECONDS = 10


class Records:
    """One database. ``url`` is an async SQLAlchemy URL such as ``sqlite+aiosqlite:////path/ripple.db``."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine: AsyncEngine | None = None

    @classmethod
    def at(cls, database: Path) -> Records:
        """The SQLite file ``database``."""
        return cls(f"sqlite+aiosqlite:///{database}")

    async def open(self) -> None:
        """Create the file if needed and bring it to the newest shape; Broken when it is newer than this code."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = create_async_engine(self._url, pool_size=5, max_overflow=20)
        if self._url.get_backend_name() == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare)
            event.listen(self._engine.sync_engine, "begin", _begin)
        try:
            if await self._version() != HEAD:
                await self._migrate()
        except DatabaseError as error:
            raise Broken(f"cannot open the database {self._url.database}: {error.orig}; restore it from a backup") from error

    async def close(self) -> None:
        """Give the connections back."""
        if self._engine is not None:
            await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent snapshot."""
        async with self._opened().connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the write lock; committed at the end, undone by an exception."""
        async with self._opened().connect() as connection:
            await connection.execution_options(ripple_write=True)
            try:
                async with connection.begin():
                    yield connection
            except OperationalError as error:
                raise Unavailable(f"cannot write to {self._url.database}: {error.orig}; is the disk full?") from error

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise Unavailable("the database is not open yet")
        return self._engine

    async def _version(self) -> str | None:
        async with self.read() as connection:
            if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
                return None
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()

    async def _migrate(self) -> None:
        with _alone(Path(f"{self._url.database}.lock")):
            async with self._opened().connect() as connection:
                await connection.execution_options(ripple_write=True)
                async with connection.begin():
                    await connection.run_sync(migrate)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _prepare(connection: Any, record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("ripple_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
