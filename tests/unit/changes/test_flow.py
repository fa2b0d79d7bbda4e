"""The change flow on a real Temporal server, with scripted activities: every ending, every stop request."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from tests.unit.changes.temporal import run, temporal_server, working

from ripple.changes import flow
from ripple.changes.activities import Activities
from ripple.changes.calls import (
    AGAIN,
    GO,
    STOP,
    TASK_QUEUE,
    WAIT,
    StepCall,
    StepResult,
    take_back_id,
)
from ripple.changes.flow import MAX_REBASES, ChangeFlow, TaskFlow
from ripple.model.change import ChangeState, StepName

Answer = Callable[[StepCall, int], Awaitable[StepResult]]
PLACES = (*StepName, "lease", "rebase")
BEFORE_DEPLOYING = (*tuple(StepName)[:6], "lease", "rebase")
REASON = "because the test says so"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with temporal_server() as found:
        yield found


@dataclass
class Script:
    """Activities that answer GO unless told otherwise; ``calls`` and ``finished`` say what the flow asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    finished: list[StepCall] = field(default_factory=list)
    taken_back: asyncio.Event = field(default_factory=asyncio.Event)
    reached: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    deployed: bool = False

    def says(self, place: str, *results: StepResult) -> None:
        """At ``place`` these in turn, then GO."""
        left = list(results)

        async def answer(call: StepCall, attempt: int) -> StepResult:
            return left.pop(0) if left else StepResult(GO)

        self.answers[place] = answer

    def hangs(self, place: str) -> None:
        """At ``place`` nothing but a cancellation ends the activity."""

        async def answer(call: StepCall, attempt: int) -> StepResult:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.05)

        self.answers[place] = answer

    async def step(self, call: StepCall) -> StepResult:
        return await self._answer(call.step, call)

    async def task(self, call: StepCall) -> StepResult:
        return await self._answer(activity.info().activity_type, call)

    async def _answer(self, place: str, call: StepCall) -> StepResult:
        self.calls.append(place)
        self.reached[place].set()
        if place in self.answers:
            result = await self.answers[place](call, activity.info().attempt)
        else:
            result = StepResult(GO)
        if place.startswith("promote/") and result.verdict == GO:
            self.deployed = True
        return result

    async def undo(self, call: StepCall) -> StepResult:
        self.calls.append("undo")
        return StepResult(GO if self.deployed else STOP)

    async def finish(self, call: StepCall) -> StepResult:
        self.finished.append(call)
        return await self._answer("finish", call)

    async def take_back(self, call: StepCall) -> StepResult:
        self.taken_back.set()
        return StepResult(GO)

    def definitions(self) -> list[Any]:
        tasks = {"lease": self.task, "rebase": self.task, "undo": self.undo, "take_back": self.take_back}
        frame = Activities(None, {}, {**tasks, "finish": self.finish})  # type: ignore[arg-type]  # no step of its own
        mine = [one for one in frame.definitions() if activity._Definition.must_from_callable(one).name != "step"]

        async def step(call: StepCall) -> StepResult:
            return await self.step(call)

        return [activity.defn(name="step")(step), *mine]


async def begun(client: Client) -> WorkflowHandle[Any, str]:
    change = f"chg-{secrets.token_hex(6)}"
    return await client.start_workflow(ChangeFlow.run, change, id=change, task_queue=TASK_QUEUE)


def played(endpoint: str, script: Script, during: Callable[[Any], Awaitable[None]] | None = None) -> StepCall:
    """How a change ends with these activities, and what is done to it meanwhile."""

    async def main() -> StepCall:
        async with working(endpoint, script.definitions()) as client:
            handle = await begun(client)
            if during is not None:
                await during(handle)
            state = await handle.result()
        assert [call.state for call in script.finished] == [state], "it ends once, as the flow says"
        return script.finished[0]

    return run(main())


def test_a_change_that_everything_says_yes_to_is_promoted_in_order(endpoint: str) -> None:
    script = Script()
    script.says(StepName.RECORD, StepResult(GO, ["it waits on another branch"]))
    ended = played(endpoint, script)
    assert (ended.state, ended.reasons) == ("promoted", ["it waits on another branch"])
    proposal, rest = list(StepName)[:5], list(StepName)[5:]
    assert script.calls == [*proposal, "lease", "rebase", *rest, "finish"]


@pytest.mark.parametrize("place", BEFORE_DEPLOYING)
def test_a_no_before_anything_is_deployed_rejects_with_its_reasons(endpoint: str, place: str) -> None:
    script = Script()
    script.says(place, StepResult(STOP, [REASON]))
    ended = played(endpoint, script)
    assert (ended.state, ended.reasons) == ("rejected", [REASON])
    assert "undo" not in script.calls
    assert script.calls[-2] == place, "nothing comes after it but the end"


@pytest.mark.parametrize(
    ("place", "state"),
    [
        ("promote/dev", "rejected"),
        ("promote/qa", "rolled_back"),
        ("promote/prod", "rolled_back"),
        ("record", "rolled_back"),
    ],
)
def test_a_no_on_the_way_to_production_undoes_what_was_deployed(endpoint: str, place: str, state: str) -> None:
    script = Script()
    script.says(place, StepResult(STOP, [REASON]))
    ended = played(endpoint, script)
    assert (ended.state, ended.reasons) == (state, [REASON])
    assert script.calls[-3:] == [place, "undo", "finish"]


def test_what_could_not_be_undone_stands_in_the_reasons(endpoint: str) -> None:
    script = Script()
    script.says("promote/qa", StepResult(STOP, [REASON]))

    async def undo(call: StepCall) -> StepResult:
        return StepResult(GO, ["prod still runs it"])

    script.undo = undo  # type: ignore[method-assign]
    ended = played(endpoint, script)
    assert (ended.state, ended.reasons) == ("rolled_back", [REASON, "prod still runs it"])


@pytest.mark.parametrize(
    ("place", "verb"),
    [*((place, "cancel") for place in PLACES), ("propose", "roll_back"), ("promote/qa", "roll_back")],
)
def test_a_stop_request_ends_the_change_at_whatever_step_it_is(endpoint: str, place: str, verb: str) -> None:
    script = Script()
    script.hangs(place)

    async def stop(handle: Any) -> None:
        await script.reached[place].wait()
        await handle.signal(verb, "operator:local")

    ended = played(endpoint, script, stop)
    state = {"cancel": "cancelled", "roll_back": "rolled_back"}[verb]
    assert (ended.state, ended.reasons) == (state, [f"{state} on request of operator:local"])
    assert ("undo" in script.calls) is (place not in BEFORE_DEPLOYING)


def test_a_stop_that_was_sent_before_the_flow_began_ends_it_before_its_first_step(endpoint: str) -> None:
    script = Script()

    async def main() -> str:
        async with working(endpoint, script.definitions()) as client:
            change = f"chg-{secrets.token_hex(6)}"
            handle = await client.start_workflow(
                ChangeFlow.run, change, id=change, task_queue=TASK_QUEUE,
                start_signal="cancel", start_signal_args=["operator:local"],
            )  # fmt: skip
            return await handle.result()

    assert run(main()) == "cancelled"
    assert script.calls == ["finish"]


def test_a_step_that_cannot_be_stopped_in_time_is_undone_all_the_same(endpoint: str) -> None:
    script = Script()

    async def stubborn(call: StepCall, attempt: int) -> StepResult:
        with pytest.raises(asyncio.CancelledError):
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.05)
        return StepResult(GO, ["the commit was pushed already"])

    async def stop(handle: Any) -> None:
        await script.reached[StepName.RECORD].wait()
        await handle.signal("roll_back", "operator:local")

    script.answers[StepName.RECORD] = stubborn
    ended = played(endpoint, script, stop)
    assert ended.state == "rolled_back"
    assert script.calls[-2:] == ["undo", "finish"]


def test_a_stop_that_comes_while_the_promotion_is_written_down_takes_it_back(endpoint: str) -> None:
    script = Script()

    async def main() -> None:
        held = asyncio.Event()

        async def finish(call: StepCall, attempt: int) -> StepResult:
            await held.wait()
            return StepResult(GO)

        script.answers["finish"] = finish
        async with working(endpoint, script.definitions()) as client:
            handle = await begun(client)
            await script.reached["finish"].wait()
            await handle.signal("roll_back", "operator:local")
            held.set()
            assert await handle.result() == "promoted"
            await asyncio.wait_for(script.taken_back.wait(), 30)
            await client.get_workflow_handle(take_back_id(handle.id)).result()

    run(main())
    assert script.finished[0].state == "promoted"


def test_a_change_that_ended_by_itself_keeps_its_reasons_when_a_stop_comes_late(endpoint: str) -> None:
    script = Script()
    script.says("promote/staging", StepResult(STOP, ["the canary is slow"]))

    async def main() -> StepCall:
        held, reached = asyncio.Event(), asyncio.Event()

        async def undo(call: StepCall) -> StepResult:
            reached.set()
            await held.wait()
            return StepResult(GO)

        script.undo = undo  # type: ignore[method-assign]
        async with working(endpoint, script.definitions()) as client:
            handle = await begun(client)
            await reached.wait()
            await handle.signal("cancel", "operator:local")
            held.set()
            assert await handle.result() == "rolled_back"
        return script.finished[0]

    assert run(main()).reasons == ["the canary is slow"]


def test_a_moved_branch_is_tried_again_on_its_new_base(endpoint: str) -> None:
    script = Script()
    script.says("rebase", StepResult(AGAIN), StepResult(AGAIN))
    assert played(endpoint, script).state == "promoted"
    assert script.calls.count("rebase") == 3
    assert script.calls.count(StepName.TRY) == script.calls.count(StepName.REDUCE) == 3
    assert script.calls.count("lease") == 1, "nobody gets in between"


def test_a_branch_that_never_rests_rejects_the_change(endpoint: str) -> None:
    script = Script()
    script.says("rebase", *[StepResult(AGAIN)] * (MAX_REBASES + 5))
    ended = played(endpoint, script)
    assert ended.state == "rejected"
    assert f"moved {MAX_REBASES + 1} times" in ended.reasons[0]
    assert script.calls.count(StepName.TRY) == 1 + MAX_REBASES, "no trial is made that nobody looks at"


def test_a_change_whose_rebased_trial_fails_is_rejected(endpoint: str) -> None:
    script = Script()
    script.says("rebase", StepResult(AGAIN))
    script.says(StepName.REDUCE, StepResult(GO), StepResult(STOP, [REASON]))
    assert played(endpoint, script).reasons == [REASON]


def test_waiting_for_the_lease_takes_no_history(endpoint: str) -> None:
    script = Script()
    script.says("lease", *[StepResult(WAIT, ["another one moves"])] * 2)

    async def main() -> int:
        async with working(endpoint, script.definitions()) as client:
            handle = await begun(client)
            assert await handle.result() == "promoted"
            return len([event async for event in handle.fetch_history_events()])

    waited = run(main())
    assert script.calls.count("lease") == 3
    script = Script()
    assert run(main()) == waited


def test_a_change_that_waits_for_the_lease_can_be_cancelled(endpoint: str) -> None:
    script = Script()
    script.says("lease", *[StepResult(WAIT, ["another one moves"])] * 1000)

    async def stop(handle: Any) -> None:
        await script.reached["lease"].wait()
        await handle.signal("cancel", "operator:local")

    assert played(endpoint, script, stop).state == "cancelled"


@pytest.mark.parametrize("approver", ["operator:local", ""])
def test_an_environment_waits_for_its_own_approval(endpoint: str, approver: str) -> None:
    script, asked = Script(), []

    async def answer(call: StepCall, attempt: int) -> StepResult:
        asked.append(call.approved_by)
        return StepResult(GO if call.approved_by else WAIT)

    async def approve(handle: Any) -> None:
        await script.reached["promote/prod"].wait()
        await handle.signal("approve", args=["qa", "somebody"])
        if not approver:
            await handle.signal("cancel", "operator:local")
        else:
            await handle.signal("approve", args=["prod", approver])

    script.answers["promote/prod"] = answer
    ended = played(endpoint, script, approve)
    assert ended.state == ("promoted" if approver else "cancelled")
    assert [by for by in asked if by] == ([approver] if approver else [])


def test_a_step_that_never_succeeds_rejects_the_change_instead_of_being_tried_for_ever(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "MAX_ATTEMPTS", 3)
    monkeypatch.setattr(ChangeFlow._interruptible, "__defaults__", (3,))
    script = Script()

    async def broken(call: StepCall, attempt: int) -> StepResult:
        raise ApplicationError("the disk is gone", next_retry_delay=None)

    script.answers[StepName.GATES] = broken
    ended = played(endpoint, script)
    assert ended.state == "rejected"
    assert ended.reasons == ["gates did not end after 3 attempts: the disk is gone"]
    assert script.calls.count(StepName.GATES) == 3


def test_a_finish_that_fails_is_tried_until_the_ending_is_written_down(endpoint: str) -> None:
    script = Script()

    async def flaky(call: StepCall, attempt: int) -> StepResult:
        if attempt < 3:
            raise ApplicationError("the database is locked")
        return StepResult(GO)

    script.answers["finish"] = flaky

    async def main() -> str:
        async with working(endpoint, script.definitions()) as client:
            return await (await begun(client)).result()

    assert run(main()) == ChangeState.PROMOTED
    assert len(script.finished) == 3


def test_a_task_flow_tells_the_verdict_of_its_activity(endpoint: str) -> None:
    script = Script()

    async def main() -> str:
        async with working(endpoint, script.definitions()) as client:
            call = ["lease", StepCall("chg-1")]
            name = f"task-{secrets.token_hex(4)}"
            return await client.execute_workflow(TaskFlow.run, args=call, id=name, task_queue=TASK_QUEUE)

    assert run(main()) == GO
