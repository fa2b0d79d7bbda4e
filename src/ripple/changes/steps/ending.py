"""The tasks around the steps: holding the application's lease, undoing, finishing, adopting, taking back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ripple.changes.applications import FAILED, READY
from ripple.changes.flow import AGAIN, GO, STOP, TRIAL_STEPS, WAIT, StepCall, StepResult
from ripple.changes.journal import now
from ripple.changes.steps.adoption import adopt_application
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.governance.audit import AuditDraft
from ripple.model.change import ChangeState, StepState
from ripple.model.errors import RippleError
from ripple.planes import telemetry
from ripple.planes.records import leases


async def lease(rooms: Rooms, call: StepCall) -> StepResult:
    """Hold the application for this change; AGAIN when its base moved meanwhile, WAIT while another one moves."""
    change = await rooms.journal.change(call.change_id)
    if not await leases.acquire(rooms.records, f"application/{change['application']}", change["id"]):
        return StepResult(WAIT)
    repository = await rooms.repository(change)
    await repository.sync()
    head = await repository.head()
    if head == change["base_commit"]:
        return StepResult(GO)
    await rooms.journal.forget_steps(change["id"], [step.value for step in TRIAL_STEPS])
    await rooms.journal.set_change(change["id"], base_commit=head)
    await rooms.journal.note(change["id"], "rebase", {"from": change["base_commit"], "to": head})
    return StepResult(AGAIN, [f"the branch moved from {change['base_commit'][:12]} to {head[:12]}"])


async def undo(rooms: Rooms, call: StepCall) -> StepResult:
    """Put every environment back to what ran before this change; GO when something was deployed, STOP when not."""
    change = await rooms.journal.change(call.change_id)
    if not change["release"]:
        return StepResult(STOP)
    undone = await rooms.environments.take_back(change["application"], change["release"], "; ".join(call.reasons))
    await _mark_undone(rooms, change, undone)
    await _audit(rooms, change, "change.undo", "done", {"environments": undone, "reasons": call.reasons})
    return StepResult(GO if undone else STOP)


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
    await leases.release(rooms.records, f"application/{change['application']}", change["id"])
    shutil.rmtree(rooms.folder(change), ignore_errors=True)
    return StepResult(GO)


async def adopt(rooms: Rooms, call: StepCall) -> StepResult:
    """Adopt an application; its row says how it ended."""
    try:
        await adopt_application(rooms, call.change_id)
    except RippleError as error:
        if error.retryable:
            raise
        await rooms.applications.set_state(call.change_id, FAILED, [str(error)])
        return StepResult(STOP, [str(error)])
    await rooms.applications.set_state(call.change_id, READY, [])
    return StepResult(GO)


async def take_back(rooms: Rooms, call: StepCall) -> StepResult:
    """Undo a promoted change: the environments first, then its commit on the application's branch."""
    change = await rooms.journal.change(call.change_id)
    reason = f"taken back by the operator (change {change['id']})"
    undone = await rooms.environments.take_back(change["application"], change["release"], reason)
    await _mark_undone(rooms, change, undone)
    repository = await rooms.repository(change)
    await repository.sync()
    reverted = await repository.revert(change["commit"], f"Take back {change['id']}", now())
    data = {"environments": undone, "revert": reverted}
    await _audit(rooms, change, "change.take_back", "done", data)
    await rooms.journal.note(change["id"], "taken_back", data)
    return StepResult(GO)


async def _mark_undone(rooms: Rooms, change: Mapping[str, Any], environments: Sequence[str]) -> None:
    for environment in environments:
        step = await rooms.journal.step(change["id"], f"promote/{environment}")
        if step:
            await rooms.journal.put_step({**step, "outputs": {**step["outputs"], "undone": True}})


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
