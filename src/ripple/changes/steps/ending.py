"""The tasks around the steps: holding the application's lease, moving the base, undoing, finishing, adopting."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import structlog
from temporalio import activity

from ripple.changes.applications import ADOPTING, FAILED, READY, lease_of
from ripple.changes.attempts import MAX_CRASHES, may_try_again, said
from ripple.changes.calls import (
    AGAIN,
    GO,
    STOP,
    TRIAL_STEPS,
    WAIT,
    StepCall,
    StepResult,
    take_back_id,
)
from ripple.changes.journal import now
from ripple.changes.steps.adoption import adopt_application
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.governance.audit import AuditDraft
from ripple.model.change import ChangeState, StepName, StepState
from ripple.model.errors import RippleError
from ripple.model.release import DeploymentState
from ripple.planes import telemetry
from ripple.planes.records import leases

log = structlog.get_logger(__name__)


async def lease(rooms: Rooms, call: StepCall) -> StepResult:
    """Hold the application for this change; WAIT while another one moves."""
    change = await rooms.journal.change(call.change_id)
    if ChangeState(change["state"]).final:
        return StepResult(STOP, [f"change {change['id']} has ended as {change['state']}"])
    return await _held(rooms, change, change["id"])


async def rebase(rooms: Rooms, call: StepCall) -> StepResult:
    """GO when what was tried stands on the newest commit; AGAIN when it has to be tried on another one.

    The base and the steps made on it change together, so a base without its trial was moved by a run that a crash
    cut short: AGAIN too.
    """
    change = await rooms.journal.change(call.change_id)
    try:
        repository = await rooms.repository(change)
        await repository.sync()
        head = await repository.head()
    except Exception as error:
        if may_try_again(error):
            raise
        return StepResult(STOP, [said(error, "rebase")])
    if head != change["base_commit"]:
        await rooms.journal.rebase(change["id"], head, [step.value for step in TRIAL_STEPS])
        return StepResult(AGAIN, [f"the branch moved from {change['base_commit'][:12]} to {head[:12]}"])
    tried = [await rooms.journal.step(change["id"], step.value) for step in TRIAL_STEPS]
    passed = all(row is not None and row["state"] == StepState.PASSED for row in tried)
    return StepResult(GO) if passed else StepResult(AGAIN, [f"nothing was tried on {head[:12]} yet"])


async def undo(rooms: Rooms, call: StepCall) -> StepResult:
    """Put back what ran before this change; GO when something of it was deployed, STOP when nothing was.

    It always ends: what could not be undone after several attempts stands in the reasons.
    """
    change = await rooms.journal.change(call.change_id)
    if not change["release"] or ChangeState(change["state"]).final:
        return StepResult(STOP)
    undone = await _undone(rooms, change, f"{'; '.join(call.reasons)} (change {change['id']})")
    await _audit(rooms, change, "change.undo", undone.outcome, {**undone.data(), "reasons": call.reasons})
    return StepResult(GO if undone.environments or undone.problems else STOP, undone.problems)


async def finish(rooms: Rooms, call: StepCall) -> StepResult:
    """Write the ending, release the lease, remove the scratch folder. Doing it again changes nothing."""
    change = await rooms.journal.change(call.change_id)
    if not ChangeState(change["state"]).final:
        for step in await rooms.journal.steps(change["id"]):
            if step["state"] == StepState.RUNNING:
                stopped = {"state": StepState.REFUSED.value, "ended_at": now(), "reasons": call.reasons}
                await rooms.journal.put_step({**step, **stopped})
        await _audit(rooms, change, "change.end", call.state, {"reasons": call.reasons})
        await rooms.journal.set_change(change["id"], state=call.state, ended_at=now(), reasons=call.reasons)
        telemetry.CHANGES.labels(call.state).inc()
    await leases.release(rooms.records, lease_of(change["application"]), change["id"])
    await anyio.to_thread.run_sync(lambda: shutil.rmtree(rooms.folder(change), ignore_errors=True))
    return StepResult(GO)


async def adopt(rooms: Rooms, call: StepCall) -> StepResult:
    """Adopt an application that waits for it; its row says how it ended, whatever went wrong."""
    if (await rooms.applications.row(call.change_id))["state"] != ADOPTING:
        return StepResult(GO)
    try:
        await adopt_application(rooms, call.change_id)
    except Exception as error:
        if may_try_again(error):
            raise
        reasons = [said(error, "adoption")]
        await _retired(rooms, call.change_id)
        await rooms.applications.set_state(call.change_id, FAILED, reasons)
        return StepResult(STOP, reasons)
    await rooms.applications.set_state(call.change_id, READY, [])
    return StepResult(GO)


async def take_back(rooms: Rooms, call: StepCall) -> StepResult:
    """Undo a promoted change under the application's lease: the environments first, then its commit."""
    change = await rooms.journal.change(call.change_id)
    owner = take_back_id(change["id"])
    held = await _held(rooms, change, owner)
    if held.verdict == WAIT:
        return held
    undone = await _undone(rooms, change, f"taken back by the operator (change {change['id']})")
    await _audit(rooms, change, "change.take_back", undone.outcome, undone.data())
    await rooms.journal.note(change["id"], "taken_back", undone.data())
    await leases.release(rooms.records, lease_of(change["application"]), owner)
    return StepResult(STOP if undone.problems else GO, undone.problems)


@dataclass(frozen=True)
class _Undone:
    """What was undone of a change, and what could not be."""

    environments: list[str]
    revert: Mapping[str, Any] | None
    problems: list[str]

    @property
    def outcome(self) -> str:
        return "failed" if self.problems else "done"

    def data(self) -> dict[str, Any]:
        return {"environments": self.environments, "revert": self.revert, "problems": self.problems}


async def _held(rooms: Rooms, change: Mapping[str, Any], owner: str) -> StepResult:
    name = lease_of(change["application"])
    if await leases.acquire(rooms.records, name, owner):
        return StepResult(GO)
    holder = await leases.holder(rooms.records, name)
    if activity.info().attempt == 1:
        await rooms.journal.note(change["id"], "waiting", {"for": holder})
    return StepResult(WAIT, [f"{holder} holds application {change['application']}"])


async def _undone(rooms: Rooms, change: Mapping[str, Any], reason: str) -> _Undone:
    environments, problems = await _left_environments(rooms, change, reason)
    await _mark_undone(rooms, change, environments)
    revert = None
    if await rooms.journal.step(change["id"], StepName.RECORD):
        revert, failed = await _reverted(rooms, change)
        problems += failed
    return _Undone(environments, revert, problems)


async def _left_environments(rooms: Rooms, change: Mapping[str, Any], reason: str) -> tuple[list[str], list[str]]:
    """The environments the change's release was taken from, and why it is still in others.

    Equal content is one release: where another change brought it, it is none of this one's business.
    """
    if not await _brought(rooms, change):
        return [], []
    try:
        release = change["release"]
        return await rooms.environments.take_back(change["application"], release, reason), []
    except Exception as error:
        if activity.info().attempt < MAX_CRASHES or may_try_again(error):
            raise
        log.exception("not_undone", change=change["id"])
        gone = [row for row in await _brought(rooms, change) if row.state is DeploymentState.ROLLED_BACK]
        return [row.environment for row in gone], [f"not everything could be undone: {said(error, 'undo')}"]


async def _brought(rooms: Rooms, change: Mapping[str, Any]) -> list[Any]:
    rows = await rooms.environments.table.all(change["application"])
    return [row for row in rows if (row.release, row.commit) == (change["release"], change["commit"])]


async def _reverted(rooms: Rooms, change: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, list[str]]:
    try:
        repository = await rooms.repository(change)
        await repository.sync()
        return await repository.revert(change["commit"], f"Take back {change['id']}", now()), []
    except Exception as error:
        if may_try_again(error):
            raise
        log.exception("not_reverted", change=change["id"])
        return None, [
            f"commit {change['commit'][:12]} was not taken back: {said(error, 'revert')}; revert it by hand"
        ]


async def _mark_undone(rooms: Rooms, change: Mapping[str, Any], environments: Sequence[str]) -> None:
    """Say so of each step that did not fail by itself; where the change failed stays to be seen."""
    names = {f"promote/{environment}" for environment in environments}
    steps = [step for step in await rooms.journal.steps(change["id"]) if step["step"] in names]
    kept = [step for step in steps if step["state"] != StepState.REFUSED]
    await rooms.journal.put_steps([{**step, "outputs": {**step["outputs"], "undone": True}} for step in kept])


async def _retired(rooms: Rooms, name: str) -> None:
    """An application that is not adopted runs nowhere; what cannot be stopped now goes with the next attempt."""
    try:
        await rooms.environments.retire(name)
    except RippleError as error:
        log.warning("not_retired", application=name, error=str(error))


async def _audit(
    rooms: Rooms, change: Mapping[str, Any], action: str, outcome: str, data: Mapping[str, Any]
) -> None:
    draft = AuditDraft(
        principal=WORKER,
        action=action,
        resource=f"change/{change['id']}",
        outcome=outcome,
        decision=None,
        trace_id=change["trace_id"],
        data=data,
    )
    await rooms.audit.append(draft)
