"""The append-only audit log: every decision and action, hash-chained, durable before ``append`` returns.

- Appends that wait at the same time share one transaction (group commit), so throughput does not cost durability.
- The head is read inside the write transaction, so several processes extend one chain.
- A cancelled or crashed append is wholly there or not at all; one that returned is there.
- A log that cannot be written refuses: ``append`` raises, and the governor lets nothing happen unrecorded.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.governance.anchor import Anchor
from ripple.governance.chain import Break, Head, follow, seal
from ripple.model.digest import canonical_json, digest_bytes
from ripple.model.errors import Broken, DeadlineExceeded, Invalid, RippleError, Unavailable, unknown_key
from ripple.model.governance import AuditEntry, Decision, Principal
from ripple.planes import telemetry
from ripple.planes.records import Records
from ripple.planes.records.tables import audit as table

log = structlog.get_logger(__name__)
MAX_BATCH = 512
MAX_WAITING = 20_000
MAX_DATA_BYTES = 64 << 10
"""Longer data is kept as its digest and size: the log says what happened, the objects hold the bytes."""
APPEND_SECONDS = 30.0
ANCHOR_SECONDS = 1.0
VERIFY_PAGE = 2_000
FILTERS = ("principal", "action", "resource", "outcome", "trace_id", "decision_id")


@dataclass(frozen=True)
class AuditDraft:
    """What to write down; number, time and hashes are added by the log. ``data`` is JSON."""

    principal: Principal
    action: str
    resource: str
    outcome: str
    decision: Decision | None = None
    trace_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditVerdict:
    """What checking the whole log found. ``broken_at`` is the number of the first entry that does not fit."""

    ok: bool
    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Waiting:
    body: Mapping[str, Any]
    written: asyncio.Future[AuditEntry]


class Audit:
    """The audit log of one database. ``anchor`` defaults to ``audit.head`` beside a SQLite file."""

    def __init__(self, records: Records, anchor: Path | None = None) -> None:
        self._records = records
        beside = records.database.with_name("audit.head") if records.database else None
        self._anchor = Anchor(chosen) if (chosen := anchor or beside) else None
        self._anchored_at = 0.0
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, draft: AuditDraft) -> AuditEntry:
        """Write one entry; it is durable and chained when this returns.

        Raises:
            Invalid: ``data`` is not JSON.
            Unavailable: it could not be written; the caller must not go on.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(f"the audit log has {MAX_WAITING} entries waiting; slow down and try again")
        waiting = _Waiting(_body(draft), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            # An empty context: the writer serves everyone and must not inherit the first caller's trace.
            self._writer = asyncio.create_task(self._write_all(), context=contextvars.Context())
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                return await waiting.written
        except TimeoutError as error:
            what = f"{draft.action} on {draft.resource}"
            raise DeadlineExceeded(
                f"the audit log did not take {what} in {APPEND_SECONDS:g} s; try again"
            ) from error

    async def close(self) -> None:
        """Finish what waits and bring the anchor up to date."""
        if self._writer is not None:
            await self._writer
        async with self._records.read() as connection:
            head = await _head(connection)
        await self._move_anchor(head)

    async def head(self) -> Head:
        """Number and hash of the newest entry."""
        async with self._records.read() as connection:
            return await _head(connection)

    async def verify(self) -> AuditVerdict:
        """Check every entry and the anchor, page by page, over one snapshot of the log."""
        try:
            kept = await asyncio.to_thread(self._anchor.read) if self._anchor else Head()
        except Broken as error:
            return AuditVerdict(False, 0, Head().hash, None, str(error))
        head, anchored = Head(), kept.entries == 0
        async with self._records.read() as connection:
            while rows := await _after(connection, head.entries):
                found = await asyncio.to_thread(follow, head, rows)
                if isinstance(found, Break):
                    return AuditVerdict(False, found.at - 1, head.hash, found.at, found.reason)
                anchored = anchored or any(row["seq"] == kept.entries and row["hash"] == kept.hash for row in rows)
                head = found
        if anchored:
            return AuditVerdict(True, head.entries, head.hash)
        reason = f"the log once had {kept.entries} entries ending in {kept.hash}, now entry {kept.entries} is "
        missing = head.entries < kept.entries
        reason += f"missing: its tail was cut off after entry {head.entries}" if missing else "another one"
        return AuditVerdict(False, head.entries, head.hash, min(head.entries + 1, kept.entries), reason)

    async def page(
        self, before: int | None = None, limit: int = 100, filters: Mapping[str, str] | None = None
    ) -> list[AuditEntry]:
        """Entries newest first, at most 500, with numbers below ``before``.

        ``filters`` compares columns exactly (principal, action, resource, outcome, trace_id, decision_id); the key
        ``q`` looks for a text in any of them.
        """
        query = select(table).order_by(table.c.seq.desc()).limit(min(max(limit, 1), 500))
        if before is not None:
            query = query.where(table.c.seq < before)
        for key, value in (filters or {}).items():
            if key == "q":
                query = query.where(or_(*(table.c[name].icontains(value, autoescape=True) for name in FILTERS)))
            elif key in FILTERS:
                query = query.where(table.c[key] == value)
            else:
                raise unknown_key(key, (*FILTERS, "q"), "audit filters")
        async with self._records.read() as connection:
            return [AuditEntry(**row) for row in (await connection.execute(query)).mappings()]

    async def _write_all(self) -> None:
        while self._waiting:
            batch = [one for one in self._waiting[:MAX_BATCH] if not one.written.cancelled()]
            del self._waiting[:MAX_BATCH]
            try:
                entries = await self._write(batch)
            except Exception as error:
                _fail(batch, error)
                continue
            for one, entry in zip(batch, entries, strict=True):
                if not one.written.done():
                    one.written.set_result(entry)
            if entries and time.monotonic() - self._anchored_at >= ANCHOR_SECONDS:
                await self._move_anchor(Head(entries[-1].seq, entries[-1].hash))

    async def _write(self, batch: Sequence[_Waiting]) -> list[AuditEntry]:
        if not batch:
            return []
        async with self._records.write() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
            entries = seal(await _head(connection), [one.body for one in batch])
            await connection.execute(insert(table), [asdict(entry) for entry in entries])
        telemetry.AUDIT_APPENDS.inc(len(entries))
        return entries

    async def _move_anchor(self, head: Head) -> None:
        """Failing here loses no entry, so it is logged and tried again with the next batch."""
        if self._anchor is None:
            return
        self._anchored_at = time.monotonic()
        try:
            known = await asyncio.to_thread(self._anchor.read)
            if head.entries > known.entries and await self._contains(known):
                await asyncio.to_thread(self._anchor.advance, known, head)
        except (RippleError, OSError) as error:
            log.warning("audit_anchor_not_moved", error=str(error))

    async def _contains(self, known: Head) -> bool:
        if known.entries == 0:
            return True
        async with self._records.read() as connection:
            query = select(table.c.hash).where(table.c.seq == known.entries)
            found = (await connection.execute(query)).scalar()
        if found != known.hash:
            log.error("audit_log_lost_entries", anchor=known.entries, expected=known.hash, found=found)
        return bool(found == known.hash)


async def _head(connection: AsyncConnection) -> Head:
    query = select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)
    row = (await connection.execute(query)).first()
    return Head(row.seq, row.hash) if row else Head()


async def _after(connection: AsyncConnection, seq: int) -> list[dict[str, Any]]:
    query = select(table).where(table.c.seq > seq).order_by(table.c.seq).limit(VERIFY_PAGE)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


def _body(draft: AuditDraft) -> dict[str, Any]:
    """The draft as fields that can be hashed and stored, checked here so that one bad draft spoils no batch."""
    body: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "principal": str(draft.principal),
        "action": draft.action,
        "resource": draft.resource,
        "outcome": draft.outcome,
        "decision_id": draft.decision.id if draft.decision else None,
        "policy_revision": draft.decision.revision if draft.decision else None,
        "trace_id": draft.trace_id,
        "data": dict(draft.data),
    }
    try:
        data = canonical_json(body["data"])
        if len(data) > MAX_DATA_BYTES:
            body["data"] = {"digest": digest_bytes(data), "bytes": len(data)}
        canonical_json(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the audit entry {draft.action!r} on {draft.resource!r} is not JSON: {error}") from error
    return body


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    """Each waiter gets its own exception: a shared one would gather the tracebacks of all."""
    for one in batch:
        if not one.written.done():
            failure = Unavailable(f"the audit log cannot be written: {error}")
            failure.__cause__ = error
            one.written.set_exception(failure)
