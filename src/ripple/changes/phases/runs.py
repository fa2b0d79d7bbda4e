"""Runs of the phases: what each task saw, kept as objects, and a signed statement per phase that passed.

- One run at a time; asking for the same one again while it runs follows it.
- Every task's result is kept before the next starts, so a run that was cut short goes on behind it.
- A phase's statement is about the digest of the manifests it was passed with: other manifests, no evidence.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ripple.changes.calls import StepCall
from ripple.changes.journal import now
from ripple.changes.service import Flows
from ripple.governance.evidence import sign_statement, verify_envelope
from ripple.governance.governor import Governor
from ripple.governance.keys import NodeKey
from ripple.model.errors import Conflict, NotFound, Refused, RippleError
from ripple.model.governance import Principal
from ripple.planes.objects import Objects
from ripple.stack.phases import Plan

TASK, ACTION = "phases", "phases.run"
PREDICATE = "urn:ripple:predicate:phase:v1"
CURRENT = "phases/current.json"
RUNNING, PASSED, FAILED, BLOCKED, WAITING = "running", "passed", "failed", "blocked", "waiting"


@dataclass
class Seen:
    """What became of one task."""

    state: str
    reasons: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    at: str = ""


@dataclass(frozen=True)
class Run:
    """One run of the phases from ``first`` to ``last``."""

    id: str
    first: str
    last: str
    principal: str
    started_at: str
    state: str = RUNNING
    ended_at: str = ""
    manifests: str = ""
    """The digest of the manifests it runs on (``sha256:…``); the worker sets it when it begins."""
    trace_id: str = ""
    """What its beginning and its end are written down under."""

    @property
    def resource(self) -> str:
        """What the audit log calls it."""
        return f"phases/{self.first}-{self.last}"


class Runs:
    """What is kept of the runs."""

    def __init__(self, objects: Objects, key: NodeKey) -> None:
        self._objects = objects
        self._key = key

    async def current(self) -> Run | None:
        """The newest run."""
        found = await self._read(CURRENT)
        return Run(**found) if found else None

    async def put(self, run: Run) -> None:
        """Keep a run as the newest."""
        await self._write(CURRENT, asdict(run))

    async def seen(self, run: Run, task: str) -> Seen | None:
        """What became of a task of the run; None while nobody has begun it."""
        found = await self._read(f"phases/{run.id}/{task}.json")
        return Seen(**found) if found else None

    async def keep(self, run: Run, task: str, seen: Seen) -> None:
        """Keep what became of a task."""
        await self._write(f"phases/{run.id}/{task}.json", asdict(seen))

    async def attest(self, phase: str, manifests: str, found: Mapping[str, Any]) -> None:
        """Sign that ``phase`` passed with the manifests of that digest (``sha256:…``)."""
        envelope = sign_statement(self._key, "manifests", manifests, PREDICATE, {"phase": phase, **found})
        await self._write(f"phases/evidence/{phase}.json", envelope)

    async def proof(self, phase: str, manifests: str) -> Mapping[str, Any]:
        """What was attested of ``phase`` with these manifests.

        Raises:
            Refused: nothing was, for other manifests, or by nobody this node knows.
        """
        envelope = await self._read(f"phases/evidence/{phase}.json")
        if envelope is None:
            raise Refused(f"{phase} has left no evidence; ./ripple phases run --to {phase}")
        try:
            statement = verify_envelope(envelope, self._key.public_pem, subject=manifests)
        except RippleError as error:
            raise Refused(f"the evidence of {phase} does not hold for these manifests: {error}") from error
        predicate: Mapping[str, Any] = statement["predicate"]
        if statement["predicateType"] != PREDICATE or predicate.get("phase") != phase:
            raise Refused(f"the statement kept for {phase} speaks of something else")
        return predicate

    async def _read(self, key: str) -> Any:
        try:
            return json.loads(await self._objects.get(key))
        except NotFound:
            return None

    async def _write(self, key: str, value: Any) -> None:
        await self._objects.put(key, json.dumps(value, ensure_ascii=False).encode())


class Phases:
    """The operator's verbs on the phases."""

    def __init__(self, governor: Governor, runs: Runs, flows: Flows, plan: Plan) -> None:
        self._governor = governor
        self._runs = runs
        self._flows = flows
        self._plan = plan

    async def run(self, principal: Principal, first: str, last: str) -> dict[str, Any]:
        """Start a run, or follow the one that runs; returns it as :meth:`shown` does.

        Raises:
            Conflict: a run of other phases goes on.
            Unavailable: Temporal does not answer; nothing is begun.
        """
        self._plan.part(first, last)
        run = Run(secrets.token_hex(6), first, last, principal.id, now(), trace_id=secrets.token_hex(16))
        resource, going = run.resource, await self._going()
        if going and going.resource == resource:
            run = going
        trace_id = run.trace_id or None
        async with self._governor.act(principal, ACTION, resource, data={}, trace_id=trace_id, ends=False):
            if going and run is not going:
                raise Conflict(f"a run of {going.first} to {going.last} goes on; wait for its end, then ask again")
            await self._begin(run, str(principal), fresh=going is None)
        return await self._shown(run)

    async def _going(self) -> Run | None:
        run = await self._runs.current()
        return run if run and run.state == RUNNING else None

    async def _begin(self, run: Run, asked_by: str, *, fresh: bool) -> None:
        if fresh:
            await self._runs.put(run)
        call = StepCall(run.id, approved_by=asked_by, trace_id=run.trace_id)
        try:
            await self._flows.start_task(f"phases-{run.id}", TASK, call)
        except BaseException:
            if fresh:
                # Nothing goes on that anybody would have to wait for.
                await asyncio.shield(self._runs.put(replace(run, state=FAILED, ended_at=now())))
            raise

    async def shown(self, principal: Principal) -> dict[str, Any]:
        """The newest run and its tasks; before the first one, the plan alone."""
        async with self._governor.act(principal, "system.read", "phases", data={}):
            return await self._shown(await self._runs.current())

    async def _shown(self, run: Run | None) -> dict[str, Any]:
        tasks = self._plan.part(run.first, run.last) if run else self._plan.tasks
        rows = []
        for task in tasks:
            seen = await self._runs.seen(run, task.id) if run else None
            named = {"id": task.id, "phase": task.phase, "title": task.title, "needs": list(task.needs)}
            rows.append({**named, **asdict(seen or Seen(WAITING))})
        return {
            "run": asdict(run) if run else None,
            "phases": [{"id": one.id, "title": one.title, "what": one.what} for one in self._plan.phases],
            "tasks": rows,
        }
