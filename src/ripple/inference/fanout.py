"""Ask the planned voters at once; each answer is handed on the moment it is there, whatever it is worth.

- A voter that gives no answer within its time is absent, and a reserve of the plan takes its place if it may.
- An answer that cannot be read is spoiled. Nothing a voter does ends the fan-out or touches another voter.
- Voters on this machine wait for a core; their time starts when they have one.
- Where the policy wants every response kept, one that cannot be kept does not vote.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog

from ripple.inference.adapters import Adapter, Call, Reply
from ripple.inference.answer import answer_row, parse_answer
from ripple.inference.catalogue import LOOPBACK
from ripple.inference.keys import Keyring
from ripple.inference.request import Request
from ripple.inference.voters import Plan, Voter
from ripple.model.candidate import Candidate, Standing
from ripple.model.digest import digest_bytes
from ripple.model.errors import DeadlineExceeded, Invalid, RippleError, Unavailable

__all__ = ["Asking", "Fanout", "Request"]

Keep = Callable[[Candidate], Awaitable[None]]
May = Callable[[Voter], Awaitable[object]]
Archive = Callable[[str, bytes], Awaitable[object]]
log = structlog.get_logger(__name__)
REDACTED = "[key]"
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Asking:
    """What one fan-out is about: whom, with what, and what becomes of the raw responses."""

    plan: Plan
    request_for: Callable[[Voter], Request]
    keep: Keep
    trace_id: str | None = None
    archive: Archive | None = None
    may: May | None = None
    """Asked right before a voter is; it raises Refused when the voter may not be asked."""


@dataclass(frozen=True)
class Fanout:
    """Asks voters through ``adapters`` with the keys of ``keyring``; shared by all changes of one process."""

    adapters: Mapping[str, Adapter]
    keyring: Keyring
    cores: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(os.cpu_count() or 1))
    turns: dict[tuple[str, str], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self, asking: Asking) -> None:
        """Return when everyone has answered or is absent and every candidate was handed to ``keep``.

        An exception of ``keep`` ends the fan-out: what it did not keep is asked again by whoever resumes.
        """
        used = set(asking.plan.names)
        try:
            async with asyncio.TaskGroup() as group:
                for voter in asking.plan.voters:
                    group.create_task(self._seat(asking, voter, used))
        except BaseExceptionGroup as error:
            raise error.exceptions[0] from error

    async def reply(self, call: Call, archive: Archive | None = None) -> Reply:
        """One voter's reply within its time, its key struck from every word of it, and kept by ``archive``.

        Raises:
            RippleError: there is none; the message says why.
        """
        adapter = self.adapters.get(call.voter.adapter)
        if adapter is None:
            raise Invalid(f"no adapter {call.voter.adapter!r}; add {call.voter.name} again with a known one")
        async with self._place(call.voter):
            reply = _struck(await _asked(adapter, call), call)
        if archive:
            await archive(f"responses/{digest_bytes(reply.raw).replace(':', '-')}", reply.raw)
        return reply

    def call(self, voter: Voter, request: Request, trace_id: str | None) -> Call:
        """The call of one voter, with its key and a span of the trace."""
        key = self.keyring.get(voter.key_name) if voter.key_name else None
        return Call(voter, request, key, _traceparent(trace_id))

    async def _seat(self, asking: Asking, voter: Voter, used: set[str]) -> None:
        """Fill one place: ask, and while the one asked is absent, the next reserve."""
        sitting: Voter | None = voter
        while sitting is not None:
            candidate = await self._candidate(asking, sitting)
            await asking.keep(candidate)
            if candidate.standing is not Standing.ABSENT:
                return
            sitting = asking.plan.replacement(sitting, used)
            if sitting is not None:
                used.add(sitting.name)

    async def _candidate(self, asking: Asking, voter: Voter) -> Candidate:
        began = time.monotonic()
        try:
            if asking.may:
                await asking.may(voter)
            call = self.call(voter, asking.request_for(voter), asking.trace_id)
            reply = await self.reply(call, asking.archive)
        except RippleError as error:
            log.info("voter_absent", voter=voter.name, reason=str(error))
            return _made(voter, began, Standing.ABSENT, str(error))
        return await _judged(voter, began, reply)

    @asynccontextmanager
    async def _place(self, voter: Voter) -> AsyncIterator[None]:
        """A core for a voter of this machine, and its model for itself: the server answers one at a time."""
        if urlsplit(voter.base_url or "").hostname not in LOOPBACK or voter.tier.value != "local":
            yield
            return
        async with self.turns[voter.base_url or "", voter.model], self.cores:
            yield


async def _asked(adapter: Adapter, call: Call) -> Reply:
    """The adapter's reply within the voter's time; whatever else happens is a reason without the key in it."""
    seconds = call.voter.timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            return await adapter.ask(call)
    except TimeoutError as error:
        raise DeadlineExceeded(f"timeout: no answer within {seconds:g} s") from error
    except (RippleError, OSError) as error:
        raise Unavailable(_without(str(error), call)) from error


async def _judged(voter: Voter, began: float, reply: Reply) -> Candidate:
    if reply.problem:
        return _made(voter, began, Standing.SPOILED, reply.problem, reply)
    try:
        answer = await asyncio.to_thread(parse_answer, reply.text)  # repairing takes seconds on the worst of texts
    except Invalid as error:
        return _made(voter, began, Standing.SPOILED, str(error), reply)
    return _made(voter, began, Standing.COUNTED, "", reply, answer_row(answer))


def _made(
    voter: Voter,
    began: float,
    standing: Standing,
    reason: str,
    reply: Reply | None = None,
    answer: Mapping[str, object] | None = None,
) -> Candidate:
    return Candidate(
        model=voter.name,
        tier=voter.tier,
        lineage=voter.lineage,
        weight=voter.weight,
        latency_seconds=round(time.monotonic() - began, 3),
        standing=standing,
        reasons=(reason,) if reason else (),
        answer=answer,
        response_digest=digest_bytes(reply.raw) if reply else None,
        tokens_in=reply.tokens_in if reply else None,
        tokens_out=reply.tokens_out if reply else None,
    )


def _traceparent(trace_id: str | None) -> str | None:
    if trace_id is None or not _TRACE_ID.fullmatch(trace_id):
        return None
    return f"00-{trace_id}-{secrets.token_hex(8)}-01"


def _struck(reply: Reply, call: Call) -> Reply:
    """A server that echoes the key does not get it into our records."""
    key = call.key.get_secret_value() if call.key else ""
    if not key or key.encode() not in reply.raw + reply.problem.encode():
        return reply
    raw = reply.raw.replace(key.encode(), REDACTED.encode())
    return Reply(raw, _without(reply.text, call), reply.tokens_in, reply.tokens_out, _without(reply.problem, call))


def _without(text: str, call: Call) -> str:
    return text.replace(call.key.get_secret_value(), REDACTED) if call.key else text
