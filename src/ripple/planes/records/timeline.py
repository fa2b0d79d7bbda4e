"""The timeline of a change: facts in the order they happened, numbered for the whole instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.planes.records.engine import Records
from ripple.planes.records.tables import timeline

PAGE = 500


@dataclass(frozen=True)
class Row:
    """One fact."""

    seq: int
    kind: str
    at: str
    data: Mapping[str, Any]


async def append(connection: AsyncConnection, change_id: str, kind: str, data: Mapping[str, Any]) -> int:
    """Add a fact inside the caller's transaction; returns its number."""
    values = {"change_id": change_id, "kind": kind, "at": datetime.now(UTC).isoformat(), "data": dict(data)}
    return int(
        (await connection.execute(insert(timeline).values(**values).returning(timeline.c.seq))).scalar_one()
    )


async def after(records: Records, change_id: str, seq: int) -> list[Row]:
    """The facts behind ``seq``, oldest first, at most 500."""
    query = (
        select(timeline.c.seq, timeline.c.kind, timeline.c.at, timeline.c.data)
        .where(timeline.c.change_id == change_id, timeline.c.seq > seq)
        .order_by(timeline.c.seq)
        .limit(PAGE)
    )
    async with records.read() as connection:
        return [Row(*row) for row in (await connection.execute(query)).all()]
