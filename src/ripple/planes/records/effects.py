"""Effects that happen once: a key is done when its result is stored.

A crash between start and done runs the effect again, so it must itself be repeatable (a commit with fixed dates, a
deployment by digest). What the ledger adds: after done, it never runs again. One effect at a time per key is the
caller's business; the flow runs one attempt of a step at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from ripple.planes.records.engine import Records
from ripple.planes.records.tables import effects
from ripple.planes.records.upsert import put


async def once(records: Records, key: str, effect: Callable[[], Awaitable[Any]]) -> Any:
    """The JSON result of ``effect``, run unless ``key`` is done already.

    An exception of ``effect`` passes through and leaves the key not done: the next call runs it again.
    """
    async with records.read() as connection:
        query = select(effects.c.state, effects.c.result).where(effects.c.key == key)
        row = (await connection.execute(query)).first()
    if row is not None and row.state == "done":
        return row.result
    await _put(records, key, "started", None)
    result = await effect()
    await _put(records, key, "done", result)
    return result


async def _put(records: Records, key: str, state: str, result: Any) -> None:
    row = {"key": key, "state": state, "result": result, "at": datetime.now(UTC).isoformat()}
    async with records.write() as connection:
        await put(connection, effects, ["key"], row)
