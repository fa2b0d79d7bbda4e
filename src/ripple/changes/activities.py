"""The activities of the flow: each runs one step at most once to its end, and keeps what it saw.

- A step that ended has a row; running it again returns that row's answer. A step that a crash cut short runs again
  from its start, and what it does outside (a model asked, a commit, a deployment) is keyed, so it happens once.
- A change that has ended runs no further step, whoever asks.
- A task that waits for a lease fails without a word and is run again a second later: it holds no place meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from ripple.changes.attempts import may_try_again, said
from ripple.changes.calls import GO, STOP, WAIT, StepCall, StepResult
from ripple.changes.journal import Journal, now
from ripple.changes.stopwatch import Stopwatch
from ripple.model.change import ChangeState, StepState
from ripple.model.errors import RippleError
from ripple.planes import telemetry

log = structlog.get_logger(__name__)
HEARTBEAT_SECONDS = 1.0
WAIT_SECONDS = 1.0
"""Between two looks at a lease that somebody else holds."""


@dataclass
class StepOutcome:
    """What a step function hands back: its answer and what the timeline shows of it."""

    verdict: str = GO
    reasons: list[str] = field(default_factory=list)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What a step function gets besides its collaborators."""

    change: Mapping[str, Any]
    step: str
    approved_by: str
    watch: Stopwatch


StepFunction = Callable[[StepContext], Awaitable[StepOutcome]]
TaskFunction = Callable[[StepCall], Awaitable[StepResult]]


class Activities:
    """Runs step functions by name under one idempotent, heart-beating frame."""

    def __init__(
        self, journal: Journal, steps: Mapping[str, StepFunction], tasks: Mapping[str, TaskFunction]
    ) -> None:
        self._journal = journal
        self._steps = steps
        self._tasks = tasks
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def definitions(self) -> list[Callable[..., Any]]:
        """The activity functions to register with a worker."""
        runners = {name: self._task_runner(name, function) for name, function in self._tasks.items()}
        return [activity.defn(name=name)(run) for name, run in {"step": self._step_runner(), **runners}.items()]

    async def step(self, call: StepCall) -> StepResult:
        """Run one step of one change, or return the answer it gave before."""
        async with _heartbeat(), self._locks[(call.change_id, call.step)]:
            change, done = await self._journal.moment(call.change_id, call.step)
            if done and done["state"] in (StepState.PASSED, StepState.REFUSED):
                return StepResult(GO if done["state"] == StepState.PASSED else STOP, list(done["reasons"]))
            if ChangeState(change["state"]).final:
                return StepResult(STOP, [f"change {call.change_id} has ended as {change['state']}"])
            return await self._run(call, change, done)

    async def _run(
        self, call: StepCall, change: Mapping[str, Any], before: Mapping[str, Any] | None
    ) -> StepResult:
        row = _started(call, before)
        await self._journal.put_step(row)
        watch, began = Stopwatch(), time.monotonic()
        context = StepContext(change, call.step, call.approved_by, watch)
        with telemetry.remote_context(change["trace_id"]), telemetry.start_span(f"change.{call.step}"):
            outcome = await self._outcome(context)
        row |= {
            "state": _state_of(outcome.verdict).value,
            "ended_at": None if outcome.verdict == WAIT else now(),
            "duration_seconds": round(time.monotonic() - began + (row["duration_seconds"] or 0.0), 6),
            "outside_seconds": round(watch.seconds + row["outside_seconds"], 6),
            "inputs": dict(outcome.inputs),
            "outputs": dict(outcome.outputs),
            "reasons": outcome.reasons,
        }
        await self._journal.put_step(row)
        if outcome.verdict != WAIT:
            telemetry.STEP_SECONDS.labels(call.step).observe(row["duration_seconds"])
        return StepResult(outcome.verdict, outcome.reasons)

    async def _outcome(self, context: StepContext) -> StepOutcome:
        try:
            return await self._steps[context.step](context)
        except Exception as error:
            if may_try_again(error):
                if not isinstance(error, RippleError):
                    log.exception("step_failed", change=context.change["id"], step=context.step)
                raise
            return StepOutcome(STOP, [said(error, context.step)])

    def _step_runner(self) -> TaskFunction:
        async def run(call: StepCall) -> StepResult:
            return await self.step(call)  # a bound method takes no definition of its own

        return run

    def _task_runner(self, name: str, function: TaskFunction) -> Callable[[StepCall], Awaitable[StepResult]]:
        async def run(call: StepCall) -> StepResult:
            async with _heartbeat():
                with _traced(name, call.trace_id):
                    result = await function(call)
            if result.verdict == WAIT:
                delay = timedelta(seconds=WAIT_SECONDS)
                why = "; ".join(result.reasons)
                raise ApplicationError(why, next_retry_delay=delay, category=ApplicationErrorCategory.BENIGN)
            return result

        return run


def _started(call: StepCall, before: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "change_id": call.change_id,
        "step": call.step,
        "state": StepState.RUNNING.value,
        "started_at": before["started_at"] if before else now(),
        "ended_at": None,
        "duration_seconds": before["duration_seconds"] if before else None,
        "outside_seconds": before["outside_seconds"] if before else 0.0,
        "inputs": {},
        "outputs": {},
        "reasons": [],
    }


def _state_of(verdict: str) -> StepState:
    if verdict == GO:
        return StepState.PASSED
    return StepState.RUNNING if verdict == WAIT else StepState.REFUSED


@contextlib.contextmanager
def _traced(name: str, trace_id: str) -> Iterator[None]:
    """A span and log lines of the trace, if the task has one."""
    if not trace_id:
        yield
        return
    with telemetry.remote_context(trace_id), telemetry.start_span(f"task.{name}"):
        yield


@contextlib.asynccontextmanager
async def _heartbeat() -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
