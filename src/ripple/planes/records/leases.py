"""Leases: one owner per name. They do not expire; the owner's flow releases them at its end, however it ends."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert

from ripple.planes.records.engine import Records
from ripple.planes.records.tables import leases


async def acquire(records: Records, name: str, owner: str) -> bool:
    """True when ``owner`` holds ``name`` now; it may ask again and again."""
    async with records.write() as connection:
        statement = insert(leases).values(name=name, owner=owner, at=datetime.now(UTC).isoformat())
        await connection.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
        holder = (await connection.execute(select(leases.c.owner).where(leases.c.name == name))).scalar_one()
    return bool(holder == owner)


async def release(records: Records, name: str, owner: str) -> None:
    """Give ``name`` back if ``owner`` holds it."""
    async with records.write() as connection:
        await connection.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))


async def holder(records: Records, name: str) -> str | None:
    """Who holds ``name``."""
    async with records.read() as connection:
        return (await connection.execute(select(leases.c.owner).where(leases.c.name == name))).scalar()
