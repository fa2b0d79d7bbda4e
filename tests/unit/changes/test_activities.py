"""The frame every step runs in: once to its end, tried again for what is worth it, a no for what is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from tests.unit.changes.room import Room, as_activity, inside

from ripple.changes.activities import Activities, StepContext, StepOutcome
from ripple.changes.attempts import MAX_CRASHES, MAX_OUTAGES
from ripple.changes.calls import GO, STOP, WAIT, StepCall, StepResult
from ripple.model.errors import DeadlineExceeded, Invalid, Refused, RippleError, Unavailable

CALL = StepCall("chg-1", "admit")


class Steps:
    """One step that does what the test says, and how often it did."""

    def __init__(self, does: Callable[[StepContext], Any]) -> None:
        self.ran = 0
        self.does = does

    async def __call__(self, context: StepContext) -> StepOutcome:
        self.ran += 1
        found = self.does(context)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, StepOutcome)
        return found

    def frame(self, room: Room) -> Activities:
        return Activities(room.journal, {"admit": self}, {})


def test_a_step_that_ended_gives_the_same_answer_without_running_again(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        steps = Steps(lambda _: StepOutcome(STOP, ["no"], {"asked": 1}, {"found": 2}))
        for _ in range(3):
            assert await as_activity(steps.frame(room).step, CALL) == StepResult(STOP, ["no"])
        assert steps.ran == 1
        row = await room.journal.step("chg-1", "admit")
        assert row is not None
        assert (row["state"], row["inputs"], row["outputs"]) == ("refused", {"asked": 1}, {"found": 2})
        assert row["ended_at"] is not None

    inside(tmp_path, scenario)


def test_two_attempts_at_once_run_the_step_once(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        steps = Steps(lambda _: StepOutcome())
        frame = steps.frame(room)
        both = await asyncio.gather(*(as_activity(frame.step, CALL) for _ in range(4)))
        assert both == [StepResult(GO)] * 4
        assert steps.ran == 1

    inside(tmp_path, scenario)


@pytest.mark.parametrize("state", ["promoted", "rejected", "rolled_back", "cancelled"])
def test_a_change_that_has_ended_runs_no_further_step(tmp_path: Path, state: str) -> None:
    async def scenario(room: Room) -> None:
        await room.change(state=state)
        steps = Steps(lambda _: StepOutcome())
        found = await as_activity(steps.frame(room).step, CALL)
        assert (found.verdict, found.reasons) == (STOP, [f"change chg-1 has ended as {state}"])
        assert steps.ran == 0

    inside(tmp_path, scenario)


@pytest.mark.parametrize("error", [Refused("the policy says no"), Invalid("it is malformed")])
def test_a_refusal_ends_the_step_at_once_in_its_own_words(tmp_path: Path, error: RippleError) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        found = await as_activity(Steps(lambda _: error).frame(room).step, CALL)
        assert found == StepResult(STOP, [str(error)])

    inside(tmp_path, scenario)


@pytest.mark.parametrize("error", [Unavailable("the disk is full"), DeadlineExceeded("it took too long")])
def test_an_outage_is_waited_out_for_minutes_and_then_named(tmp_path: Path, error: RippleError) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        frame = Steps(lambda _: error).frame(room)
        for attempt in (1, MAX_OUTAGES - 1):
            with pytest.raises(Unavailable):
                await as_activity(frame.step, CALL, attempt=attempt)
        assert await as_activity(frame.step, CALL, attempt=MAX_OUTAGES) == StepResult(STOP, [str(error)])

    inside(tmp_path, scenario)


def test_a_crash_is_tried_a_few_times_and_then_means_no(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        frame = Steps(lambda _: KeyError("tree")).frame(room)
        with pytest.raises(KeyError):
            await as_activity(frame.step, CALL, attempt=MAX_CRASHES - 1)
        row = await room.journal.step("chg-1", "admit")
        assert row is not None
        assert row["state"] == "running"
        found = await as_activity(frame.step, CALL, attempt=MAX_CRASHES)
        assert found.reasons == [
            f"admit crashed {MAX_CRASHES} times, last with KeyError: 'tree'; see ./ripple logs worker"
        ]

    inside(tmp_path, scenario)


def test_a_step_that_waits_for_a_person_is_run_again_and_keeps_its_time(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()

        def does(context: StepContext) -> StepOutcome:
            return StepOutcome() if context.approved_by else StepOutcome(WAIT, ["waits"])

        frame = Steps(does).frame(room)
        assert (await as_activity(frame.step, CALL)).verdict == WAIT
        before = await room.journal.step("chg-1", "admit")
        assert before is not None
        assert (before["state"], before["ended_at"], before["reasons"]) == ("running", None, ["waits"])
        call = replace(CALL, approved_by="operator:local")
        assert (await as_activity(frame.step, call)).verdict == GO
        after = await room.journal.step("chg-1", "admit")
        assert after is not None
        assert after["started_at"] == before["started_at"]
        assert after["duration_seconds"] > before["duration_seconds"]

    inside(tmp_path, scenario)


def test_a_cancelled_step_leaves_its_row_for_the_end_to_close(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()

        async def hangs(context: StepContext) -> StepOutcome:
            await asyncio.Event().wait()
            return StepOutcome()

        running = asyncio.ensure_future(as_activity(Activities(room.journal, {"admit": hangs}, {}).step, CALL))
        while await room.journal.step("chg-1", "admit") is None:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        row = await room.journal.step("chg-1", "admit")
        assert row is not None
        assert row["state"] == "running"

    inside(tmp_path, scenario)


def test_an_activity_tells_temporal_that_it_lives_while_it_waits_for_another_attempt(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        held = asyncio.Event()

        async def holds(context: StepContext) -> StepOutcome:
            await held.wait()
            return StepOutcome()

        frame, beats = Activities(room.journal, {"admit": holds}, {}), []
        first = asyncio.ensure_future(as_activity(frame.step, CALL))
        while await room.journal.step("chg-1", "admit") is None:
            await asyncio.sleep(0.01)
        environment = ActivityEnvironment()
        environment.on_heartbeat = lambda *_: beats.append(1)
        second = asyncio.ensure_future(environment.run(frame.step, CALL))
        while not beats:
            await asyncio.sleep(0.01)
        held.set()
        assert await first == await second == StepResult(GO)

    inside(tmp_path, scenario)


def test_a_task_that_waits_for_a_lease_asks_to_be_run_again_without_noise(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        async def waits(call: StepCall) -> StepResult:
            return StepResult(WAIT, ["chg-0 holds it"])

        run = Activities(room.journal, {}, {"lease": waits}).definitions()[1]
        with pytest.raises(ApplicationError, match="chg-0 holds it") as caught:
            await as_activity(run, CALL)
        assert not caught.value.non_retryable
        assert caught.value.category is ApplicationErrorCategory.BENIGN
        assert caught.value.next_retry_delay is not None

    inside(tmp_path, scenario)
