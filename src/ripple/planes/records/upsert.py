"""Insert or replace, in the dialect of the database that is asked. SQLite and PostgreSQL say it the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.model.errors import Invalid


async def put(connection: AsyncConnection, table: Table, keys: Sequence[str], row: Mapping[str, Any]) -> None:
    """Insert ``row``, or set its columns on the row that has the same ``keys``."""
    statement = _insert(connection, table).values(**row)
    await connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=dict(row)))


async def put_new(connection: AsyncConnection, table: Table, keys: Sequence[str], row: Mapping[str, Any]) -> None:
    """Insert ``row`` unless one with the same ``keys`` is there."""
    statement = _insert(connection, table).values(**row)
    await connection.execute(statement.on_conflict_do_nothing(index_elements=list(keys)))


def _insert(connection: AsyncConnection, table: Table) -> Any:
    match connection.dialect.name:
        case "sqlite":
            return sqlite.insert(table)
        case "postgresql":
            # Imported where it is wanted: its types cost every start on SQLite a twentieth of a second.
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table)
        case other:
            raise Invalid(f"records on {other} are not supported; use SQLite or PostgreSQL")
