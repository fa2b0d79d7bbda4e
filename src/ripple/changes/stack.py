"""The operator's verbs on the stack, and the durable task that repairs a system."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any

from ripple.changes.applications import Applications
from ripple.changes.attempts import may_try_again, said
from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.journal import now
from ripple.changes.service import Flows
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.governance.governor import Governor
from ripple.model.errors import Conflict, NotFound
from ripple.model.governance import Principal
from ripple.model.paths import Home
from ripple.planes.objects import Objects
from ripple.supervisor.client import SupervisorClient

TASK = "repair"
RUNNING, DONE, FAILED = "running", "done", "failed"


class Stack:
    """What the console asks about the map, and the repairs it asks for."""

    def __init__(
        self, home: Home, governor: Governor, objects: Objects, flows: Flows, applications: Applications
    ) -> None:
        self._home = home
        self._governor = governor
        self._objects = objects
        self._flows = flows
        self._applications = applications

    async def whole(self, principal: Principal) -> dict[str, Any]:
        """Every layer with its systems, every role, what is proven and what drifts."""
        from ripple.changes.stackwork import whole_stack

        async with self._governor.act(principal, "system.read", "stack", data={}):
            return await whole_stack(self._home, await self._known(principal))

    async def one(self, principal: Principal, name: str) -> dict[str, Any]:
        """Everything about one system; NotFound names the nearest one."""
        from ripple.changes.stackwork import one_system

        async with self._governor.act(principal, "system.read", f"stack/{name}", data={}):
            known = await self._known(principal)
            return await one_system(self._home, known, name, await _kept(self._objects, name))

    async def repair(self, principal: Principal, name: str, verb: str) -> dict[str, Any]:
        """Start a repair of a system; returns at once, :meth:`one` shows what becomes of it.

        Asked for again while it goes on, it is the same repair; its flow is begun anew if nobody has.
        ``trace_id`` in the answer is the one of all it leaves in the audit log.

        Raises:
            Refused: policy says no.
            NotFound: there is no such system, or nothing of it runs that could be restarted.
            Conflict: another repair of it goes on.
            Unavailable: Temporal does not answer; nothing is begun.
        """
        from ripple.changes.stackwork import state_of

        row = state_of(self._home).map.get(name)
        action, resource = f"component.{verb}", f"stack/{name}"
        told: dict[str, Any] = {"verb": verb, "state": RUNNING, "reason": "", "at": now()}
        told["trace_id"] = secrets.token_hex(16)
        if verb == "restart":
            async with self._governor.act(principal, action, resource, data={}, trace_id=told["trace_id"]):
                if row.system.run is None:
                    raise NotFound(f"{name} is nothing that runs, so it cannot be restarted")
                await SupervisorClient(self._home).restart(row.system.run.id)
            return _answer({**told, "state": DONE})
        before = await _kept(self._objects, name)
        going = before if before and before["state"] == RUNNING else None
        if going and going["verb"] == verb:
            told |= going
        trace_id = told["trace_id"]
        async with self._governor.act(principal, action, resource, data={}, trace_id=trace_id, ends=False):
            if going and going["verb"] != verb:
                raise Conflict(f"{name} is being repaired ({going['verb']}); wait for its end")
            await self._begin(name, told, before, str(principal))
        return _answer(told)

    async def _begin(
        self, name: str, told: Mapping[str, Any], before: Mapping[str, Any] | None, asked_by: str
    ) -> None:
        """Start the flow of a repair; each has a name of its own, so none is taken for one that just ends."""
        going = before is not None and before["state"] == RUNNING
        await _keep(self._objects, name, told)
        call = StepCall(name, told["verb"], asked_by, trace_id=told["trace_id"])
        try:
            await self._flows.start_task(f"repair-{name}-{told['at']}", TASK, call)
        except BaseException as error:
            if not going:
                lost = {**told, "state": FAILED, "reason": f"it was not begun: {error}"}
                await asyncio.shield(_keep(self._objects, name, before or lost))
            raise

    async def _known(self, principal: Principal) -> dict[str, Any]:
        return {"applications": await self._applications.listed(principal)}


async def repair(rooms: Rooms, call: StepCall) -> StepResult:
    """Do one repair; what became of it is kept for the page."""
    from ripple.changes.stackwork import repair_system

    name, verb, reason = call.change_id, call.step, ""
    try:
        await repair_system(rooms, name, verb)
    except Exception as error:
        if may_try_again(error):
            raise
        reason = said(error, verb)
    end = {"asked_by": call.approved_by, **({"error": reason} if reason else {})}
    trace_id = call.trace_id or None
    await rooms.governor.ended(WORKER, f"component.{verb}", f"stack/{name}", data=end, trace_id=trace_id)
    told = {"verb": verb, "state": FAILED if reason else DONE, "reason": reason, "at": now()}
    await _keep(rooms.objects, name, {**told, "trace_id": call.trace_id})
    return StepResult(STOP, [reason]) if reason else StepResult(GO)


def _answer(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: told[key] for key in ("verb", "state", "trace_id")}


async def _kept(objects: Objects, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(await objects.get(f"repairs/{name}.json"))
    except NotFound:
        return None
    return found


async def _keep(objects: Objects, name: str, told: Mapping[str, Any]) -> None:
    await objects.put(f"repairs/{name}.json", json.dumps(told, ensure_ascii=False).encode())
