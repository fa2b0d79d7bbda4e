"""What an operator or an agent can do with changes. Every call passes the governor; nothing decides by itself."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from typing import Any

import structlog

from ripple.changes.applications import Applications
from ripple.changes.calls import CHANGE_FLOW, TASK_FLOW, TASK_QUEUE, StepCall, take_back_id
from ripple.changes.journal import Journal, now
from ripple.changes.view import change_view, summary
from ripple.governance.governor import Governor
from ripple.model.change import ChangeState, Intent
from ripple.model.errors import Conflict, Invalid, RippleError, Unavailable
from ripple.model.governance import Principal
from ripple.model.release import ENVIRONMENTS
from ripple.planes.events import Events
from ripple.planes.records import Records, timeline

log = structlog.get_logger(__name__)
MAX_INTENT_CHARACTERS = 8_000
POLL_SECONDS = 1.0


class Flows:
    """Starts and signals durable flows; a Temporal outage is an Unavailable, never a hang.

    ``connect`` returns a client of Temporal; its SDK is loaded with the first one.
    """

    def __init__(self, connect: Any) -> None:
        self._connect = connect
        self._client: Any = None

    async def start_change(self, change_id: str) -> None:
        """Start the flow of a change; doing it again while it runs changes nothing.

        A flow that Temporal lost or ended without the change having ended is started anew: its steps have kept
        what they did.
        """
        await self._start(CHANGE_FLOW, change_id, [change_id])

    async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
        """Start one durable task; doing it again while it runs changes nothing."""
        await self._start(TASK_FLOW, flow_id, [name, call])

    async def signal(self, change_id: str, name: str, *arguments: str) -> None:
        """Send a signal to a running change; its flow is started by it where it has none yet.

        Raises:
            Conflict: the flow has ended.
            Unavailable: Temporal does not answer; the signal may be sent again.
        """
        client = await self._connected()
        from ripple.planes import flows

        if not await flows.signal(client, CHANGE_FLOW, change_id, TASK_QUEUE, (name, arguments)):
            raise Conflict(f"the flow of change {change_id} has ended; look at it again")

    async def _start(self, flow: str, flow_id: str, arguments: list[Any]) -> None:
        client = await self._connected()
        from ripple.planes import flows

        await flows.start(client, flow, flow_id, TASK_QUEUE, arguments)

    async def _connected(self) -> Any:
        if self._client is None:
            # Only here and in a thread: it takes a good part of the API's start, which everybody waits for.
            await asyncio.to_thread(import_module, "ripple.planes.flows")
            self._client = await self._connect()
        return self._client


class Changes:
    """The operator's verbs on changes."""

    def __init__(
        self, governor: Governor, journal: Journal, applications: Applications, flows: Flows, default_policy: str
    ) -> None:
        self._governor = governor
        self._journal = journal
        self._applications = applications
        self._flows = flows
        self.default_policy = default_policy

    async def submit(self, principal: Principal, intent: Intent) -> dict[str, Any]:
        """Record the change and start its flow; returns its summary.

        The row is committed before the flow starts: if Temporal is down now, the worker starts it later.
        """
        _check_intent(intent)
        await self._applications.ready(intent.application)
        trace_id = secrets.token_hex(16)
        row = _new_row(principal, intent, trace_id)
        data = {"change": row["id"], "policy": intent.policy, "intent": intent.text}
        resource = f"application/{intent.application}"
        async with self._governor.act(principal, "change.submit", resource, data=data, trace_id=trace_id):
            await self._journal.create(row)
        await self.resume(row["id"])
        return summary(row, None)

    async def resume(self, change_id: str) -> bool:
        """Make sure the flow of a running change exists; False when Temporal does not answer now."""
        try:
            await self._flows.start_change(change_id)
        except Unavailable as error:
            log.warning("flow_not_started", change=change_id, error=str(error))
            return False
        return True

    async def resume_all(self) -> None:
        """Start the flows of all running changes that have none yet."""
        for change_id in await self._journal.running():
            await self.resume(change_id)

    async def listed(self, principal: Principal, application: str | None, limit: int) -> list[dict[str, Any]]:
        """Summaries, newest first, at most 500."""
        async with self._governor.act(principal, "change.read", "changes", data={}):
            rows = await self._journal.listed(application, min(max(limit, 1), 500))
            steps = await self._journal.current_steps([row["id"] for row in rows])
        return [summary(row, steps.get(row["id"])) for row in rows]

    async def get(self, principal: Principal, change_id: str) -> dict[str, Any]:
        """Everything kept of one change."""
        async with self._governor.act(principal, "change.read", f"change/{change_id}", data={}):
            return await change_view(self._journal, self._applications, change_id)

    async def samples(self, principal: Principal, change_id: str, environment: str | None) -> list[dict[str, Any]]:
        """The canary samples of one change."""
        async with self._governor.act(principal, "change.read", f"change/{change_id}", data={}):
            return await self._journal.samples(change_id, environment)

    async def evidence(self, principal: Principal, change_id: str) -> list[dict[str, Any]]:
        """The signed envelopes of one change."""
        async with self._governor.act(principal, "change.read", f"change/{change_id}", data={}):
            return await self._journal.evidence(change_id)

    async def approve(self, principal: Principal, change_id: str, environment: str) -> dict[str, Any]:
        """Let a running change into an environment that waits for a person.

        An approval speaks of the release that waits there: nobody can give one before there is something to see.

        Raises:
            Invalid: there is no such environment.
            Conflict: the change does not wait for an approval there.
        """
        if environment not in ENVIRONMENTS:
            raise Invalid(f"{environment!r} is no environment; they are {', '.join(ENVIRONMENTS)}")
        change = await self._journal.change(change_id)
        step = await self._journal.step(change_id, f"promote/{environment}")
        waits = step is not None and step["state"] == "running" and bool(step["outputs"].get("awaiting_approval"))
        if not waits and not ChangeState(change["state"]).final:
            raise Conflict(
                f"change {change_id} does not wait for an approval in {environment}; wait until it does"
            )
        return await self._signal(principal, change_id, "approve", environment)

    async def cancel(self, principal: Principal, change_id: str) -> dict[str, Any]:
        """Ask a running change to end as cancelled."""
        return await self._signal(principal, change_id, "cancel")

    async def roll_back(self, principal: Principal, change_id: str) -> dict[str, Any]:
        """Undo a change: a running one ends rolled back, a promoted one is taken back in every environment."""
        change = await self._journal.change(change_id)
        if change["state"] == ChangeState.RUNNING:
            return await self._signal(principal, change_id, "roll_back")
        if change["state"] != ChangeState.PROMOTED:
            raise Conflict(f"change {change_id} is {change['state']}: nothing of it is deployed")
        await self._check_taken_back(change)
        resource = f"change/{change_id}"
        async with self._governor.act(
            principal, "change.roll_back", resource, data={}, trace_id=change["trace_id"]
        ):
            await self._flows.start_task(take_back_id(change_id), "take_back", StepCall(change_id))
        return summary(change, None)

    async def _check_taken_back(self, change: Mapping[str, Any]) -> None:
        """Conflict unless what the change brought runs now and nobody else is moving the application."""
        if not await self._applications.runs(change):
            raise Conflict(
                f"change {change['id']} runs nowhere any more: it was taken back, or a later change replaced it; "
                "ask for a change that undoes what it did"
            )
        holder = await self._applications.holder(change["application"])
        if holder not in (None, change["id"], take_back_id(change["id"])):
            raise Conflict(
                f"cannot take {change['id']} back now: {holder} is moving {change['application']}; "
                f"cancel that one or wait for its end"
            )

    async def _signal(self, principal: Principal, change_id: str, verb: str, *arguments: str) -> dict[str, Any]:
        change = await self._journal.change(change_id)
        if ChangeState(change["state"]).final:
            raise Conflict(f"change {change_id} has ended as {change['state']}; {verb} has no effect")
        data = {"arguments": list(arguments), "release": change["release"]}
        resource = f"change/{change_id}"
        trace_id = change["trace_id"]
        async with self._governor.act(principal, f"change.{verb}", resource, data=data, trace_id=trace_id):
            await self._flows.signal(change_id, verb, *arguments, str(principal))
        return summary(change, None)


class Feed:
    """The live timeline of one change: database rows, paced by NATS hints and a slow poll."""

    def __init__(self, records: Records, events: Events, journal: Journal) -> None:
        self._records = records
        self._events = events
        self._journal = journal

    async def follow(self, change_id: str, after: int) -> AsyncGenerator[tuple[int, str, Mapping[str, Any]]]:
        """Rows of the timeline behind ``after`` as they come, ending with one ``end`` after a final state.

        A pause without news yields ``(after, "", {})`` so that the caller can keep its connection alive.
        """
        news = asyncio.Event()
        listener = asyncio.create_task(self._listen(change_id, news))
        try:
            ended = False
            while not ended:
                news.clear()
                ended = ChangeState((await self._journal.change(change_id))["state"]).final
                while rows := await timeline.after(self._records, change_id, after):
                    for row in rows:
                        after = row.seq
                        yield row.seq, row.kind, row.data
                if not ended:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(news.wait(), POLL_SECONDS)
                    yield after, "", {}
        finally:
            listener.cancel()
        yield after, "end", {}

    async def _listen(self, change_id: str, news: asyncio.Event) -> None:
        with contextlib.suppress(RippleError):  # hints only: without them the rows are looked for every second
            async for _ in self._events.subscribe(f"ripple.changes.{change_id}"):
                news.set()


def _check_intent(intent: Intent) -> None:
    if not intent.text.strip():
        raise Invalid("the intent is empty; say in a sentence what should change")
    if len(intent.text) > MAX_INTENT_CHARACTERS:
        raise Invalid(f"the intent has {len(intent.text)} characters; at most {MAX_INTENT_CHARACTERS} are taken")
    if any("\ud800" <= character <= "\udfff" for character in intent.text):
        raise Invalid("the intent holds half of a character (a lone surrogate); send it as UTF-8")


def _new_row(principal: Principal, intent: Intent, trace_id: str) -> dict[str, Any]:
    return {
        "id": f"chg-{secrets.token_hex(6)}",
        "application": intent.application,
        "kind": intent.kind.value if intent.kind else None,
        "intent": intent.text,
        "policy": intent.policy,
        "principal": str(principal),
        "state": ChangeState.RUNNING.value,
        "trace_id": trace_id,
        "created_at": now(),
        "reasons": [],
    }
