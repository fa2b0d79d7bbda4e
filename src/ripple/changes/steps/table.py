"""What a worker runs for the flows: every step and every task, by the name the flow calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ripple.changes import stack
from ripple.changes.activities import Activities, StepContext, StepFunction, TaskFunction
from ripple.changes.calls import StepCall, StepResult
from ripple.changes.phases import runs as phase_runs
from ripple.changes.steps import admission, ending, gating, promotion, proposing, recording, reducing, trying
from ripple.changes.steps.rooms import Rooms
from ripple.model.change import StepName
from ripple.model.release import ENVIRONMENTS


async def _run_phases(rooms: Rooms, call: StepCall) -> StepResult:
    from ripple.changes.phases.running import run_phases  # most workers never run the phases

    return await run_phases(rooms, call)


STEPS: Mapping[str, Any] = {
    StepName.ADMIT: admission.admit,
    StepName.CONTEXT: admission.gather,
    StepName.PROPOSE: proposing.propose,
    StepName.TRY: trying.try_candidates,
    StepName.REDUCE: reducing.reduce,
    StepName.GATES: gating.run_gates,
    **{f"promote/{environment}": promotion.promote for environment in ENVIRONMENTS},
    StepName.RECORD: recording.record,
}
TASKS: Mapping[str, Any] = {
    "lease": ending.lease,
    "rebase": ending.rebase,
    "undo": ending.undo,
    "finish": ending.finish,
    "adopt": ending.adopt,
    "take_back": ending.take_back,
    phase_runs.TASK: _run_phases,
    stack.TASK: stack.repair,
}


def activities(rooms: Rooms) -> Activities:
    """All of them, with ``rooms`` for their collaborators."""
    steps: dict[str, StepFunction] = {str(name): _step(run, rooms) for name, run in STEPS.items()}
    tasks: dict[str, TaskFunction] = {name: _task(run, rooms) for name, run in TASKS.items()}
    return Activities(rooms.journal, steps, tasks)


def _step(run: Any, rooms: Rooms) -> StepFunction:
    async def step(context: StepContext) -> Any:
        return await run(rooms, context)

    return step


def _task(run: Any, rooms: Rooms) -> TaskFunction:
    async def task(call: StepCall) -> StepResult:
        result: StepResult = await run(rooms, call)
        return result

    return task
