"""Opening the database and the two ways to use it: ``read`` and ``write``.

Durability: WAL with ``synchronous=FULL``, so what was committed survives a power cut. Writers of one process queue
on a lock, so they are served in order; writers of several processes queue on SQLite's one write lock
(``BEGIN IMMEDIATE``). Both wait at most ``BUSY_SECONDS``. PostgreSQL takes the same calls.
"""

from __future__ import annotations

import asyncio
import fcntl
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, IntegrityError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ripple.model.errors import Broken, RippleError, Unavailable
from ripple.planes.records.schema import HEAD, KNOWN, migrate

BUSY_SECONDS = 10
MIGRATE_SECONDS = 60
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
UNREACHABLE = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_BUSY": f"another process kept it locked for {BUSY_SECONDS} s; try again",
    "SQLITE_LOCKED": "another connection keeps a table locked; try again",
    "SQLITE_READONLY": "it is read-only; check the owner and mode of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check the path and its permissions",
    "SQLITE_IOERR": "reading or writing the disk failed; check the disk",
    "SQLITE_PERM": "access is denied; check the owner and mode of the file",
}


class Records:
    """One database. ``url`` is an async SQLAlchemy URL such as ``sqlite+aiosqlite:////path/ripple.db``."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        self._engine: AsyncEngine | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def at(cls, database: Path) -> Records:
        """The SQLite file ``database``."""
        return cls(f"sqlite+aiosqlite:///{database}")

    @property
    def database(self) -> Path | None:
        """The file of a SQLite database, None for a server."""
        return Path(self._url.database) if self._sqlite and self._url.database else None

    async def open(self) -> None:
        """Create the database if needed and bring it to the newest shape. Safe from several processes at once.

        Raises:
            Broken: the file is damaged, no database, or written by a newer Ripple.
            Unavailable: the file or its folder cannot be read and written now.
        """
        self._engine = create_async_engine(self._url, pool_size=5, max_overflow=20)
        if self._sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare)
            event.listen(self._engine.sync_engine, "begin", _begin)
        try:
            if self.database is not None:
                self.database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if await self._version() != HEAD:
                await self._migrate()
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise Unavailable(f"cannot open the database {self._name}: {error}; check its folder") from error
            raise

    async def close(self) -> None:
        """Give the connections back."""
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one consistent snapshot."""
        with self._translated("read"):
            async with self._opened().connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the write lock; committed at the end, undone by an exception.

        A second one opened inside it waits for the first and fails after ``BUSY_SECONDS``.

        Raises:
            Unavailable: nothing was written: locked too long, disk full, read-only.
            Broken: the database is damaged.
        """
        await self._take_turn()
        try:
            with self._translated("write to"):
                async with self._opened().connect() as connection:
                    await connection.execution_options(ripple_write=True)
                    async with connection.begin():
                        yield connection
        finally:
            self._turn.release()

    @property
    def _name(self) -> str:
        return self._url.render_as_string(hide_password=True) if self.database is None else str(self.database)

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise Unavailable(f"the database {self._name} is not open; call open() first")
        return self._engine

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._turn.acquire()
        except TimeoutError as error:
            raise Unavailable(f"cannot write to {self._name}: {UNREACHABLE['SQLITE_BUSY']}") from error

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (DatabaseError, InterfaceError) as error:
            raise _named(error, verb, self._name) or error from error

    async def _version(self) -> str | None:
        async with self.read() as connection:
            if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
                return None
            version = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        if version is not None and version not in KNOWN:
            raise Broken(
                f"cannot open the database {self._name}: its version {version!r} is not known here, "
                "a newer Ripple wrote it; update this one"
            )
        return version

    async def _migrate(self) -> None:
        """Migrate unless another process did while we waited for the lock; PostgreSQL locks by itself."""
        lock = Path(f"{self.database}.lock") if self.database else None
        with await asyncio.to_thread(_locked, lock):
            if await self._version() == HEAD:
                return
            async with self.write() as connection:
                await connection.run_sync(migrate)


@contextmanager
def _released(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        if handle is not None:
            handle.close()


def _locked(lock: Path | None) -> Any:
    if lock is None:
        return _released(None)
    handle = lock.open("w")
    give_up = time.monotonic() + MIGRATE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                handle.close()
                raise Unavailable(f"another process keeps {lock} for {MIGRATE_SECONDS} s; end it") from None
            time.sleep(0.02)
        else:
            return _released(handle)


def _named(error: DatabaseError | InterfaceError, verb: str, name: str) -> RippleError | None:
    """What an engine error means to an operator; None for a mistake in our own SQL."""
    code = str(getattr(error.orig, "sqlite_errorname", ""))
    if code.startswith(DAMAGED) or "file is not a database" in str(error.orig):
        return Broken(f"cannot {verb} {name}: {error.orig}; restore the file from a backup")
    for known, hint in UNREACHABLE.items():
        if code.startswith(known):
            return Unavailable(f"cannot {verb} {name}: {error.orig}: {hint}")
    return Unavailable(f"cannot {verb} {name}: {error.orig}") if error.connection_invalidated else None


def _prepare(connection: Any, record: Any) -> None:
    # The driver's own BEGIN comes late and is never IMMEDIATE: take it over (SQLAlchemy, SQLite dialect notes).
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """SQLite does not wait here by itself: of two processes at a new database one is told BUSY at once."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("ripple_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
