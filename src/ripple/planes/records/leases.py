"""Leases: one owner per name. They do not expire; the owner's flow releases them at its end, however it ends."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete, select

from ripple.planes.records.engine import Records
from ripple.planes.records.tables import leases
from ripple.planes.records.upsert import put_new


async def acquire(records: Records, name: str, owner: str) -> bool:
    """True when ``owner`` holds ``name`` now; it may ask again and again."""
    row = {"name": name, "owner": owner, "at": datetime.now(UTC).isoformat()}
    async with records.write() as connection:
        await put_new(connection, leases, ["name"], row)
        holder = (await connection.execute(select(leases.c.owner).where(leases.c.name == name))).scalar_one()
    return bool(holder == owner)


async def release(records: Records, name: str, owner: str) -> None:
    """Give ``name`` back if ``owner`` holds it; else nothing changes."""
    async with records.write() as connection:
        await connection.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))


async def holder(records: Records, name: str) -> str | None:
    """Who holds ``name``, None when nobody does."""
    async with records.read() as connection:
        return (await connection.execute(select(leases.c.owner).where(leases.c.name == name))).scalar()
