"""What a change did, written once: rows and timeline in one transaction, then a hint to whoever watches.

The timeline in the database is the truth; the event on NATS only says that there is something new, so an outage
of NATS delays a watcher by its polling interval and loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.changes.view import summary
from ripple.model.change import StepState
from ripple.model.errors import NotFound, Unavailable
from ripple.planes.events import Events
from ripple.planes.records import Records, timeline, upsert
from ripple.planes.records import tables as t


def now() -> str:
    """The current time as ISO 8601 UTC text with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Journal:
    """Reads and writes the rows of changes. Every write of a visible fact also appends to the timeline."""

    def __init__(self, records: Records, events: Events) -> None:
        self._records = records
        self._events = events
        self._hints: set[asyncio.Task[None]] = set()

    async def create(self, row: Mapping[str, Any]) -> None:
        """Insert a change; the caller chose its id, so a repeated insert fails."""
        async with self._records.write() as connection:
            await connection.execute(insert(t.changes).values(**row))
            await timeline.append(connection, row["id"], "state", summary(row, None))
        self._hint(row["id"])

    async def change(self, change_id: str) -> dict[str, Any]:
        """The row of a change; NotFound names the id."""
        async with self._records.read() as connection:
            return await _change(connection, change_id)

    async def moment(self, change_id: str, step: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The row of a change, and at the same moment that of one step, None when it never began."""
        async with self._records.read() as connection:
            return await _change(connection, change_id), await _step(connection, change_id, step)

    async def set_change(self, change_id: str, **values: Any) -> None:
        """Update columns of a change and tell watchers its summary."""
        async with self._records.write() as connection:
            await connection.execute(update(t.changes).where(t.changes.c.id == change_id).values(**values))
            row = (await connection.execute(select(t.changes).where(t.changes.c.id == change_id))).mappings().one()
            await timeline.append(connection, change_id, "state", summary(dict(row), None))
        self._hint(change_id)

    async def step(self, change_id: str, step: str) -> dict[str, Any] | None:
        """The row of one step, or None when it never began."""
        async with self._records.read() as connection:
            return await _step(connection, change_id, step)

    async def steps(self, change_id: str) -> list[dict[str, Any]]:
        """All steps of a change in the order they began."""
        query = select(t.steps).where(t.steps.c.change_id == change_id).order_by(t.steps.c.started_at)
        async with self._records.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def put_step(self, row: Mapping[str, Any]) -> None:
        """Insert or replace one step."""
        await self.put_steps([row])

    async def put_steps(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or replace steps of one change, all at once: nobody sees the first without the last."""
        if not rows:
            return
        async with self._records.write() as connection:
            for row in rows:
                await upsert.put(connection, t.steps, ["change_id", "step"], row)
                await timeline.append(connection, row["change_id"], "step", dict(row))
        self._hint(rows[0]["change_id"])

    async def rebase(self, change_id: str, commit: str, steps: Sequence[str]) -> None:
        """Move the change to a new base and drop the steps that were made on the old one, in one transaction.

        So no crash can leave what was tried on one base to be taken for what was tried on another.
        """
        async with self._records.write() as connection:
            this = t.changes.c.id == change_id
            before = (await connection.execute(select(t.changes.c.base_commit).where(this))).scalar_one()
            dropped = t.steps.c.change_id == change_id, t.steps.c.step.in_(steps)
            await connection.execute(delete(t.steps).where(*dropped))
            await connection.execute(update(t.changes).where(this).values(base_commit=commit, consensus=None))
            row = (await connection.execute(select(t.changes).where(this))).mappings().one()
            await timeline.append(connection, change_id, "state", summary(dict(row), None))
            await timeline.append(connection, change_id, "rebase", {"from": before, "to": commit})
        self._hint(change_id)

    async def candidates(self, change_id: str) -> list[dict[str, Any]]:
        """All candidates of a change, by model name."""
        query = (
            select(t.candidates.c.data).where(t.candidates.c.change_id == change_id).order_by(t.candidates.c.model)
        )
        async with self._records.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).scalars()]

    async def put_candidates(self, change_id: str, *rows: Mapping[str, Any]) -> None:
        """Insert or replace candidates, all at once."""
        async with self._records.write() as connection:
            for data in rows:
                row = {"change_id": change_id, "model": data["model"], "data": dict(data)}
                await upsert.put(connection, t.candidates, ["change_id", "model"], row)
                await timeline.append(connection, change_id, "candidate", dict(data))
        self._hint(change_id)

    async def note(self, change_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Append a fact that has no row of its own to the timeline."""
        async with self._records.write() as connection:
            await timeline.append(connection, change_id, kind, dict(data))
        self._hint(change_id)

    async def sample(self, change_id: str, environment: str, data: Mapping[str, Any]) -> None:
        """Keep one canary sample and show it live."""
        at = now()
        async with self._records.write() as connection:
            row = {"change_id": change_id, "environment": environment, "at": at, "data": dict(data)}
            await connection.execute(insert(t.samples).values(**row))
            await timeline.append(connection, change_id, "sample", {"environment": environment, "at": at, **data})
        self._hint(change_id)

    async def samples(self, change_id: str, environment: str | None = None) -> list[dict[str, Any]]:
        """The kept canary samples in time order."""
        query = select(t.samples).where(t.samples.c.change_id == change_id).order_by(t.samples.c.id)
        if environment:
            query = query.where(t.samples.c.environment == environment)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [{"environment": row["environment"], "at": row["at"], **row["data"]} for row in rows]

    async def put_evidence(self, row: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
        """Append one signed statement and show its verdict."""
        async with self._records.write() as connection:
            await connection.execute(insert(t.evidence).values(**row))
            await timeline.append(connection, row["change_id"], "gate", dict(shown))
        self._hint(row["change_id"])

    async def statement(
        self, change_id: str, subject: str, gate: str, environment: str | None
    ) -> dict[str, Any] | None:
        """What a gate said of this subject in this change, None when it has not spoken yet."""
        wanted = (subject, gate, environment)
        rows = await self.evidence(change_id)
        return next((one for one in rows if (one["subject"], one["gate"], one["environment"]) == wanted), None)

    async def evidence(self, change_id: str) -> list[dict[str, Any]]:
        """All signed statements of a change, oldest first."""
        query = select(t.evidence).where(t.evidence.c.change_id == change_id).order_by(t.evidence.c.id)
        async with self._records.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def held(self, release: str | None) -> bool:
        """Whether the release may not be deployed until an operator says otherwise."""
        query = select(t.releases.c.held).where(t.releases.c.digest == release)
        async with self._records.read() as connection:
            return bool((await connection.execute(query)).scalar())

    async def current_steps(self, changes: Sequence[str]) -> dict[str, str]:
        """The step each of these changes is in now, where it is in one."""
        query = select(t.steps.c.change_id, t.steps.c.step).where(
            t.steps.c.change_id.in_(changes), t.steps.c.state == StepState.RUNNING.value
        )
        async with self._records.read() as connection:
            return {row.change_id: row.step for row in await connection.execute(query)}

    async def running(self) -> list[str]:
        """Ids of changes that have not ended."""
        query = select(t.changes.c.id).where(t.changes.c.state == "running")
        async with self._records.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def listed(self, application: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest changes, newest first."""
        query = select(t.changes).order_by(t.changes.c.created_at.desc()).limit(limit)
        if application:
            query = query.where(t.changes.c.application == application)
        async with self._records.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    def _hint(self, change_id: str) -> None:
        """Nobody waits for it: what was written is written."""
        task = asyncio.create_task(self._published(change_id), name="journal-hint")
        self._hints.add(task)
        task.add_done_callback(self._hints.discard)

    async def _published(self, change_id: str) -> None:
        with contextlib.suppress(Unavailable):
            await self._events.publish(f"ripple.changes.{change_id}", {"change": change_id})


async def _change(connection: AsyncConnection, change_id: str) -> dict[str, Any]:
    row = (await connection.execute(select(t.changes).where(t.changes.c.id == change_id))).mappings().first()
    if row is None:
        raise NotFound(f"no change {change_id!r}; ./ripple change list shows the known ones")
    return dict(row)


async def _step(connection: AsyncConnection, change_id: str, step: str) -> dict[str, Any] | None:
    query = select(t.steps).where(t.steps.c.change_id == change_id, t.steps.c.step == step)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None
