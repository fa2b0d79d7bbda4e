"""One run of the phases, task after task: the body of the durable task."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

import anyio
import structlog

from ripple.changes.attempts import may_try_again, said
from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.journal import now
from ripple.changes.phases.actions import ACTIONS, Workshop
from ripple.changes.phases.runs import ACTION, BLOCKED, FAILED, PASSED, RUNNING, Run, Runs, Seen
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.model.errors import DeadlineExceeded, NotFound, Refused
from ripple.stack.manifests.hash import manifest_hash
from ripple.stack.phases import Plan, Task, load_plan
from ripple.stack.root import project_root

CHANGED = "the manifests have changed since the run began; run the phases again"
log = structlog.get_logger(__name__)


async def run_phases(rooms: Rooms, call: StepCall) -> StepResult:
    """Run every task of the run that has no result yet; STOP when one did not pass."""
    root = project_root()
    plan, runs = load_plan(root / "manifests"), Runs(rooms.objects, rooms.key)
    run = await runs.current()
    if run is None or run.id != call.change_id:
        return StepResult(STOP, [f"the run {call.change_id} was replaced by a newer one"])
    workshop = Workshop(rooms, runs, root)
    if not run.manifests:
        run = dataclasses.replace(run, manifests=_digest(workshop))
        await runs.put(run)
    failed = await _tasks(plan, run, workshop)
    state = FAILED if failed else PASSED
    end = {"asked_by": call.approved_by, **({"error": f"{', '.join(failed)} did not pass"} if failed else {})}
    await rooms.governor.ended(WORKER, ACTION, run.resource, data=end, trace_id=run.trace_id or None)
    await runs.put(dataclasses.replace(run, state=state, ended_at=now()))
    return StepResult(STOP if failed else GO, failed)


async def _tasks(plan: Plan, run: Run, workshop: Workshop) -> list[str]:
    failed: list[str] = []
    tasks = plan.part(run.first, run.last)
    for number, task in enumerate(tasks):
        seen = await workshop.runs.seen(run, task.id)
        if seen is None or seen.state == RUNNING:
            seen = await _task(plan, run, task, workshop, failed)
        if seen.state != PASSED:
            failed.append(task.id)
        last_of_phase = number + 1 == len(tasks) or tasks[number + 1].phase != task.phase
        if not last_of_phase or _failed_in(plan, task.phase, failed):
            continue
        if _digest(workshop) != run.manifests:
            await workshop.runs.keep(run, task.id, Seen(FAILED, [CHANGED], at=now()))
            failed.append(task.id)
            continue
        await _attest(run, task.phase, tasks, workshop)
    return failed


async def _task(plan: Plan, run: Run, task: Task, workshop: Workshop, failed: list[str]) -> Seen:
    why = plan.blocked(task, failed) or await _unproven(plan.outside(task, run.first), run, workshop)
    if why:
        seen = Seen(BLOCKED, [why], at=now())
    elif _digest(workshop) != run.manifests:
        seen = Seen(FAILED, [CHANGED], at=now())
    else:
        await workshop.runs.keep(run, task.id, Seen(RUNNING, at=now()))
        began = time.monotonic()
        try:
            seen = await _acted(task, workshop)
        except Exception as error:
            # It is tried again: until then whoever looks sees what it waits for.
            await workshop.runs.keep(run, task.id, Seen(RUNNING, [str(error)], at=now()))
            raise
        seen.seconds, seen.at = round(time.monotonic() - began, 3), now()
    await workshop.runs.keep(run, task.id, seen)
    log.info("phase_task_ended", run=run.id, task=task.id, state=seen.state, reasons=seen.reasons)
    return seen


async def _unproven(phases: Iterable[str], run: Run, workshop: Workshop) -> str:
    """Why a phase that this run leaves out does not count as passed; empty when all of them do."""
    for phase in phases:
        try:
            await workshop.runs.proof(phase, run.manifests)
        except Refused as error:
            return str(error)
    return ""


def _digest(workshop: Workshop) -> str:
    return f"sha256:{manifest_hash(workshop.root / 'manifests')}"


async def _acted(task: Task, workshop: Workshop) -> Seen:
    try:
        with anyio.fail_after(task.timeout_seconds):
            found: Mapping[str, Any] = await ACTIONS[task.action](workshop)
    except TimeoutError:
        late = DeadlineExceeded(f"{task.id} did not end within {task.timeout_seconds:g} s")
        return Seen(FAILED, [str(late)])
    except Exception as error:
        if may_try_again(error):
            raise
        return Seen(FAILED, [said(error, task.id)])
    return Seen(PASSED, found=dict(found))


async def _attest(run: Run, phase: str, tasks: tuple[Task, ...], workshop: Workshop) -> None:
    found = {}
    for task in tasks:
        if task.phase == phase:
            seen = await workshop.runs.seen(run, task.id)
            if seen is None:
                raise NotFound(f"the result of {task.id} in run {run.id} is gone")
            found[task.id] = {"seconds": seen.seconds, "at": seen.at, "found": seen.found}
    await workshop.runs.attest(phase, run.manifests, {"run": run.id, "at": now(), "tasks": found})


def _failed_in(plan: Plan, phase: str, failed: list[str]) -> bool:
    return any(task.phase == phase and task.id in failed for task in plan.tasks)
