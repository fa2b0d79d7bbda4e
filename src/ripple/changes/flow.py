"""The change flow as Temporal runs it: which step follows which, and how each ending is reached.

Rules of this state machine (design: the spine):

- A change ends in exactly one of promoted, rejected, rolled_back, cancelled.
- Steps before the lease touch nothing shared. From the lease on, one change per application moves.
- A base commit that moved before the lease was held sends the change back to ``try`` on the new base.
- An environment is entered only after the one before it; the first that fails undoes all of them.
- A cancel or roll-back request stops the running step; whatever was deployed or committed is undone. One that
  comes when the change has ended by itself changes nothing, but for a promotion: that is taken back.
- Waiting for the lease costs the server one attempt after another, and the flow no history: it may take days.
- The flow decides from results alone: no clock, no randomness, no IO. Activities do the work, each of
  them idempotent, so that a killed worker or server changes nothing but the time it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError

from ripple.changes.calls import (
    AGAIN,
    CHANGE_FLOW,
    GO,
    PROPOSAL_STEPS,
    STOP,
    TASK_FLOW,
    TRIAL_STEPS,
    WAIT,
    StepCall,
    StepResult,
    take_back_id,
)
from ripple.model.change import ChangeState, StepName
from ripple.model.release import ENVIRONMENTS

MAX_REBASES = 3
MAX_ATTEMPTS = 200
"""Of one step, before it counts as refused. Far above what outages and restarts of an hour take."""


@workflow.defn(name=CHANGE_FLOW)
class ChangeFlow:
    """One change from intent to an ending."""

    def __init__(self) -> None:
        self._stop_as: ChangeState | None = None
        self._stop_by = ""
        self._halted = False
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
        if self._halted and self._stop_as is not None:
            state = self._stop_as
        await run_activity("finish", StepCall(change_id, state=state.value, reasons=reasons))
        if state is ChangeState.PROMOTED and self._stop_as is not None:
            await self._take_back(change_id)
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
                return await self._undone(change_id, stopped)
        recorded = await self._interruptible("step", StepCall(change_id, StepName.RECORD.value))
        if recorded.verdict == GO and self._stop_as is None:
            return ChangeState.PROMOTED, recorded.reasons
        return await self._undone(change_id, self._halt() if recorded.verdict == GO else recorded)

    async def _steps(self, change_id: str, steps: tuple[StepName, ...]) -> StepResult | None:
        for step in steps:
            result = await self._interruptible("step", StepCall(change_id, step.value))
            if result.verdict != GO:
                return result
        return None

    async def _lease(self, change_id: str) -> StepResult | None:
        """Hold the application, and have the change tried on its newest commit."""
        leased = await self._interruptible("lease", StepCall(change_id), attempts=0)
        if leased.verdict != GO:
            return leased
        rebases = 0
        while (result := await self._interruptible("rebase", StepCall(change_id))).verdict == AGAIN:
            if rebases == MAX_REBASES:
                moved = f"the application's branch moved {rebases + 1} times while this change was tried"
                return StepResult(STOP, [f"{moved}; ask for it again when the branch is quiet"])
            rebases += 1
            stopped = await self._steps(change_id, TRIAL_STEPS)
            if stopped:
                return stopped
        return None if result.verdict == GO else result

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

    async def _undone(self, change_id: str, stopped: StepResult) -> tuple[ChangeState, list[str]]:
        result = await run_activity("undo", StepCall(change_id, reasons=stopped.reasons))
        deployed = result.verdict == GO
        reasons = [*stopped.reasons, *result.reasons]
        return (ChangeState.ROLLED_BACK if deployed else ChangeState.REJECTED), reasons

    async def _take_back(self, change_id: str) -> None:
        """A stop was asked for while the promotion was being written down: it was accepted, so it is done."""
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                TaskFlow.run,
                args=["take_back", StepCall(change_id)],
                id=take_back_id(change_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )

    async def _interruptible(self, name: str, call: StepCall, attempts: int = MAX_ATTEMPTS) -> StepResult:
        """Run an activity; a stop request cancels it and counts as a stop."""
        if self._stop_as is not None:
            return self._halt()
        running = asyncio.ensure_future(run_activity(name, call, attempts))
        await workflow.wait_condition(lambda: running.done() or self._stop_as is not None)
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
        if running.cancelled() or (running.exception() and self._stop_as is not None):
            return self._halt()
        failure = running.exception()
        if isinstance(failure, ActivityError):
            why = failure.cause or failure
            return StepResult(STOP, [f"{call.step or name} did not end after {attempts} attempts: {why}"])
        return running.result()

    def _halt(self) -> StepResult:
        self._halted = True
        asked = self._stop_as or ChangeState.CANCELLED
        return StepResult(STOP, [f"{asked.value} on request of {self._stop_by}"])


@workflow.defn(name=TASK_FLOW)
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
