"""The operator's verbs on the stack, and the durable task that repairs a system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.changes.applications import Applications
from ripple.changes.attempts import may_try_again, said
from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.journal import now
from ripple.changes.service import Flows
from ripple.changes.steps.rooms import Rooms
from ripple.delivery.proof import Bench, prove
from ripple.delivery.stackstate import Stackstate, compare_all, instance_of
from ripple.delivery.stackview import VERBS, StackSeen, one, whole
from ripple.governance.governor import Governor
from ripple.model.errors import Conflict, Invalid, NotFound
from ripple.model.governance import Principal
from ripple.model.paths import Home
from ripple.planes.objects import Objects
from ripple.stack.drift import Comparison
from ripple.stack.load import load_manifest
from ripple.stack.root import project_root
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.smoke import Smoker

TASK = "repair"
RUNNING, DONE, FAILED = "running", "done", "failed"


class Stack:
    """What the console and the command line ask about the map, and the repairs they ask for."""

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
        async with self._governor.act(principal, "system.read", "stack", data={}):
            return whole(await self._seen(principal))

    async def one(self, principal: Principal, name: str) -> dict[str, Any]:
        """Everything about one system; NotFound names the nearest one."""
        async with self._governor.act(principal, "system.read", f"stack/{name}", data={}):
            seen = await self._seen(principal)
            row = seen.map.get(name)
            return one(seen, row, await _kept(self._objects, name), self._state().signer(name))

    async def repair(self, principal: Principal, name: str, verb: str) -> dict[str, Any]:
        """Start a repair of a system; returns at once, :meth:`one` shows what becomes of it.

        Raises:
            Refused: policy says no.
            NotFound: there is no such system, or nothing of it runs that could be restarted.
            Conflict: another repair of it goes on.
        """
        if verb not in VERBS:
            raise Invalid(f"cannot {verb} a system; there are: {', '.join(VERBS)}")
        row = self._state().map.get(name)
        async with self._governor.act(principal, f"component.{verb}", f"stack/{name}", data={}):
            if verb == "restart":
                if row.system.run is None:
                    raise NotFound(f"{name} is nothing that runs, so it cannot be restarted")
                await SupervisorClient(self._home).restart(row.system.run.id)
                return {"verb": verb, "state": DONE}
            going = await _kept(self._objects, name)
            if going and going["state"] == RUNNING and going["verb"] != verb:
                raise Conflict(f"{name} is being repaired ({going['verb']}); wait for its end")
            await _keep(self._objects, name, verb, RUNNING, "")
            await self._flows.start_task(f"repair-{name}", TASK, StepCall(name, verb))
        return {"verb": verb, "state": RUNNING}

    def _state(self) -> Stackstate:
        return Stackstate(project_root(), self._home)

    async def _compared(self, principal: Principal, state: Stackstate) -> Comparison:
        found = {"applications": await self._applications.listed(principal)}
        return await compare_all(state, lambda: found)

    async def _seen(self, principal: Principal) -> StackSeen:
        state = self._state()
        instance = await instance_of(state)
        facts = load_manifest(state.manifests / "stack.yaml")
        return StackSeen(
            map=state.map,
            roles=facts["roles"],
            profile=state.profile,
            lock=state.lock,
            proven=await anyio.to_thread.run_sync(state.proven),
            installed=await anyio.to_thread.run_sync(state.installed),
            drift=await self._compared(principal, state),
            running={one.id: one for one in instance.components} if instance else {},
        )


async def repair(rooms: Rooms, call: StepCall) -> StepResult:
    """Do one repair; what became of it is kept for the page."""
    name, verb = call.change_id, call.step
    try:
        await _repaired(project_root(), rooms, name, verb)
    except Exception as error:
        if may_try_again(error):
            raise
        reason = said(error, verb)
        await _keep(rooms.objects, name, verb, FAILED, reason)
        return StepResult(STOP, [reason])
    await _keep(rooms.objects, name, verb, DONE, "")
    return StepResult(GO)


async def _repaired(root: Path, rooms: Rooms, name: str, verb: str) -> None:
    state = Stackstate(root, rooms.home)
    row = state.map.get(name)
    match verb:
        case "install":
            await state.installer.install(row.system)
        case "fix":
            await state.installer.fix(row.system)
        case "remove":
            await state.installer.remove(name)
        case "verify":
            bench = Bench(root, state.map, state.lock, state.installer, Smoker(rooms.sandbox), rooms.key)
            await prove(bench, row)
        case _:
            raise Invalid(f"a worker cannot {verb} a system")


async def _kept(objects: Objects, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(await objects.get(f"repairs/{name}.json"))
    except NotFound:
        return None
    return found


async def _keep(objects: Objects, name: str, verb: str, state: str, reason: str) -> None:
    told = {"verb": verb, "state": state, "reason": reason, "at": now()}
    await objects.put(f"repairs/{name}.json", json.dumps(told, ensure_ascii=False).encode())
