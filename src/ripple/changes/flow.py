"""The change flow as Temporal runs it: which step follows which, and how each ending is reached.

Rules of this state machine (design: the spine):

- A change ends in exactly one of promoted, rejected, rolled_back, cancelled.
- Steps before the lease touch nothing shared. From the lease on, one change per application moves.
- A base commit that moved before the lease was held sends the change back to ``try`` on the new base.
- An environment is entered only after the one before it; the first that fails undoes all of them.
- A cancel or roll-back request stops the running step; whatever was deployed is undone.
- The flow decides from results alone: no clock, no randomness, no IO. Activities do the work, each of
  them idempotent, so that a killed worker or server changes nothing but the time it takes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from ripple.model.change import ChangeState, StepName
from ripple.model.release import ENVIRONMENTS

TASK_QUEUE = "ripple-changes"
PROPOSAL_STEPS = (StepName.ADMIT, StepName.CONTEXT, StepName.PROPOSE, StepName.TRY, StepName.REDUCE)
TRIAL_STEPS = (StepName.TRY, StepName.REDUCE)
MAX_REBASES = 3
MAX_ATTEMPTS = 200
"""Of one step, before it counts as refused. Far above what outages and restarts of an hour take."""

GO, STOP, AGAIN, WAIT = "go", "stop", "again", "wait"
"""What a step may answer: go on, end here, try again on a new base, wait for a person or a lease."""


@dataclass
class StepResult:
    """What an activity tells the flow: one of the verdicts above, and why."""

    verdict: str
    reasons: list[str] = field(default_factory=list)


@dataclass
class StepCall:
    """What the flow asks of an activity."""

    change_id: str
    step: str = ""
    approved_by: str = ""
    state: str = ""
    reasons: list[str] = field(default_factory=list)


@workflow.defn(name="Change")
class ChangeFlow:
    """One change from intent to an ending."""

    def __init__(self) -> None:
        self._stop_as: ChangeState | None = None
        self._stop_by = ""
        self._approvals: dict[str, str] = {}

    @workflow.signal
    def cancel(self, principal: str) -> None:
        """End as cancelled, undoing what was deployed."""
        self._request_stop(ChangeState.CANCELLED, principal)

    @workflow.signal
    def roll_back(self, principal: str) -> None:
        """End as rolled_back, undoing what was deployed."""
        self._request_stop(ChangeState.ROLLED_BACK, principal)

    @workflow.signal
    def approve(self, environment: str, principal: str) -> None:
        """A person lets the change into an environment that asks for it."""
        self._approvals[environment] = principal

    @workflow.run
    async def run(self, change_id: str) -> str:
        """Drive the change to its end; returns the final state."""
        state, reasons = await self._drive(change_id)
        if self._stop_as is not None and state is not ChangeState.PROMOTED:
            state, reasons = self._stop_as, [f"{self._stop_as.value} on request of {self._stop_by}"]
        call = StepCall(change_id, state=state.value, reasons=reasons)
        await run_activity("finish", call)
        return state.value

    def _request_stop(self, state: ChangeState, principal: str) -> None:
        if self._stop_as is None:
            self._stop_as, self._stop_by = state, principal

    async def _drive(self, change_id: str) -> tuple[ChangeState, list[str]]:
        stopped = await self._steps(change_id, PROPOSAL_STEPS) or await self._lease(change_id)
        stopped = stopped or await self._steps(change_id, (StepName.GATES,))
        if stopped:
            return ChangeState.REJECTED, stopped.reasons
        for environment in ENVIRONMENTS:
            stopped = await self._promote(change_id, environment)
            if stopped:
                return await self._undone(change_id, environment, stopped)
        stopped = await self._steps(change_id, (StepName.RECORD,))
        if stopped:
            return await self._undone(change_id, "prod", stopped)
        return ChangeState.PROMOTED, []

    async def _steps(self, change_id: str, steps: tuple[StepName, ...]) -> StepResult | None:
        for step in steps:
            result = await self._interruptible("step", StepCall(change_id, step.value))
            if result.verdict != GO:
                return result
        return None

    async def _lease(self, change_id: str) -> StepResult | None:
        for _ in range(MAX_REBASES):
            result = await self._leased_base(change_id)
            if result.verdict == GO:
                return None
            if result.verdict == STOP:
                return result
            stopped = await self._steps(change_id, TRIAL_STEPS)
            if stopped:
                return stopped
        return StepResult(
            STOP, [f"the application's branch moved {MAX_REBASES} times while this change was tried"]
        )

    async def _leased_base(self, change_id: str) -> StepResult:
        while True:
            result = await self._interruptible("lease", StepCall(change_id))
            if result.verdict != WAIT:
                return result
            try:
                await workflow.wait_condition(lambda: self._stop_as is not None, timeout=1.0)
            except TimeoutError:
                continue

    async def _promote(self, change_id: str, environment: str) -> StepResult | None:
        step = f"promote/{environment}"
        while True:
            call = StepCall(change_id, step, approved_by=self._approvals.get(environment, ""))
            result = await self._interruptible("step", call)
            if result.verdict == GO:
                return None
            if result.verdict != WAIT:
                return result
            await workflow.wait_condition(lambda: environment in self._approvals or self._stop_as is not None)

    async def _undone(
        self, change_id: str, environment: str, stopped: StepResult
    ) -> tuple[ChangeState, list[str]]:
        call = StepCall(change_id, f"promote/{environment}", reasons=stopped.reasons)
        result = await run_activity("undo", call)
        deployed = result.verdict == GO
        return (ChangeState.ROLLED_BACK if deployed else ChangeState.REJECTED), stopped.reasons

    async def _interruptible(self, name: str, call: StepCall) -> StepResult:
        """Run an activity; a stop request cancels it and counts as a stop."""
        if self._stop_as is not None:
            return StepResult(STOP, ["stopped on request"])
        running = asyncio.ensure_future(run_activity(name, call, MAX_ATTEMPTS))
        await workflow.wait_condition(lambda: running.done() or self._stop_as is not None)
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
        if running.cancelled() or (running.exception() and self._stop_as is not None):
            return StepResult(STOP, ["stopped on request"])
        failure = running.exception()
        if isinstance(failure, ActivityError):
            return StepResult(STOP, [f"{call.step or name} failed {MAX_ATTEMPTS} times: {failure.cause}"])
        return running.result()


@workflow.defn(name="Task")
class TaskFlow:
    """One durable activity outside a change: adopting an application, rolling back a promoted change."""

    @workflow.run
    async def run(self, name: str, call: StepCall) -> str:
        """Run the activity ``name`` until it answers; returns its verdict."""
        return (await run_activity(name, call)).verdict


async def run_activity(name: str, call: StepCall, attempts: int = 0) -> StepResult:
    """Run an activity until it answers. Only a crash, an outage or an unexpected error makes it run again.

    ``attempts`` 0 is without end: how a change ends must be written down, however long that takes.
    """
    result: Any = await workflow.execute_activity(
        name,
        call,
        result_type=StepResult,
        start_to_close_timeout=timedelta(days=2),
        heartbeat_timeout=timedelta(seconds=5),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=0.3),
            maximum_interval=timedelta(seconds=5),
            maximum_attempts=attempts,
        ),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    checked: StepResult = result
    return checked
