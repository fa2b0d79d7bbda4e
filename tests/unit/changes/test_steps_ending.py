"""Leases, new bases, endings and undoing: each repeatable, each with an end, whatever is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.changes.room import Room, as_activity, git, inside, step_context

from ripple.changes.applications import ADOPTING, FAILED, READY, lease_of
from ripple.changes.attempts import MAX_CRASHES, MAX_OUTAGES
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
from ripple.changes.steps import ending
from ripple.changes.steps.recording import record
from ripple.model.errors import Unavailable
from ripple.planes.records import leases
from ripple.planes.records import tables as t

CALL = StepCall("chg-1")
RELEASE = f"sha256:{'ab' * 32}"


async def based(room: Room, **given: str) -> str:
    """A change that was tried on the branch's head; the head."""
    await room.application()
    head = git(room.origin, "rev-parse", "HEAD")
    await room.change(base_commit=head, **given)
    for step in TRIAL_STEPS:
        await room.step(step)
    return head


def test_one_change_at_a_time_holds_an_application(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        for name in ("chg-1", "chg-2"):
            await room.change(name)
        assert (await as_activity(ending.lease, room.rooms, StepCall("chg-1"))).verdict == GO
        for attempt in (1, 2, 3):
            found = await as_activity(ending.lease, room.rooms, StepCall("chg-2"), attempt=attempt)
            assert found == StepResult(WAIT, ["chg-1 holds application shop"])
        assert (await room.timeline("chg-2"))[1:] == [("waiting", {"for": "chg-1"})], "it is told once"
        await as_activity(ending.finish, room.rooms, StepCall("chg-1", state="rejected"))
        assert (await as_activity(ending.lease, room.rooms, StepCall("chg-2"))).verdict == GO

    inside(tmp_path, scenario)


def test_a_change_that_has_ended_takes_no_lease(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change(state="cancelled")
        assert (await as_activity(ending.lease, room.rooms, CALL)).verdict == STOP
        assert await room.rooms.applications.holder("shop") is None

    inside(tmp_path, scenario)


def test_what_was_tried_on_the_head_goes_on(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await based(room)
        assert await as_activity(ending.rebase, room.rooms, CALL) == StepResult(GO)

    inside(tmp_path, scenario)


def test_a_moved_branch_becomes_the_base_and_takes_the_old_trial_with_it(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await based(room)
        head = room.commit("WORD = 'three'\n")
        assert (await as_activity(ending.rebase, room.rooms, CALL)).verdict == AGAIN
        assert (await room.journal.change("chg-1"))["base_commit"] == head
        assert await room.journal.steps("chg-1") == []

    inside(tmp_path, scenario)


def test_a_base_that_moved_just_before_a_crash_is_not_taken_for_one_that_was_tried(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await based(room)
        room.commit("WORD = 'three'\n")
        await as_activity(ending.rebase, room.rooms, CALL)
        again = await as_activity(ending.rebase, room.rooms, CALL, attempt=2)
        assert again.verdict == AGAIN, "the answer was lost with the worker, the trial is still owed"
        await room.step(TRIAL_STEPS[0])
        await room.step(TRIAL_STEPS[1], "refused")
        assert (await as_activity(ending.rebase, room.rooms, CALL)).verdict == AGAIN

    inside(tmp_path, scenario)


def test_a_repository_that_is_gone_is_a_reason_and_not_a_loop(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await based(room)
        room.origin.rename(tmp_path / "elsewhere")
        found = await as_activity(ending.rebase, room.rooms, CALL, attempt=MAX_OUTAGES)
        assert found.verdict == STOP
        assert str(room.origin) in found.reasons[0]

    inside(tmp_path, scenario)


def test_an_ending_is_written_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await room.change()
        await room.step("promote/prod", "running", outputs={"awaiting_approval": True})
        await leases.acquire(room.rooms.records, lease_of("shop"), "chg-1")
        room.rooms.folder(change).mkdir(parents=True)
        call = StepCall("chg-1", state="cancelled", reasons=["cancelled on request of operator:local"])
        for _ in range(3):
            assert await as_activity(ending.finish, room.rooms, call) == StepResult(GO)
        ended = await room.journal.change("chg-1")
        assert (ended["state"], ended["reasons"]) == ("cancelled", call.reasons)
        assert ended["ended_at"]
        step = await room.journal.step("chg-1", "promote/prod")
        assert step is not None
        assert (step["state"], step["reasons"]) == ("refused", call.reasons)
        assert [outcome for outcome, _ in await room.audited("change.end")] == ["cancelled"]
        assert [kind for kind, _ in await room.timeline()].count("state") == 2
        assert await room.rooms.applications.holder("shop") is None
        assert not room.rooms.folder(change).exists()

    inside(tmp_path, scenario)


def test_an_ending_frees_only_its_own_lease(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        await leases.acquire(room.rooms.records, lease_of("shop"), "chg-2")
        await as_activity(ending.finish, room.rooms, StepCall("chg-1", state="rejected"))
        assert await room.rooms.applications.holder("shop") == "chg-2"

    inside(tmp_path, scenario)


def test_nothing_is_undone_of_a_change_that_made_no_release_or_has_ended(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        await room.change("chg-2", release=RELEASE, commit="c", state="promoted")
        for name in ("chg-1", "chg-2"):
            assert await as_activity(ending.undo, room.rooms, StepCall(name, reasons=["no"])) == StepResult(STOP)
        assert await room.audited("change.undo") == []

    inside(tmp_path, scenario)


def test_a_release_that_another_change_brought_is_left_where_it_runs(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, commit="mine")
        await room.deployment(RELEASE, "theirs", "prod")
        assert (await as_activity(ending.undo, room.rooms, CALL)).verdict == STOP
        assert [row["state"] for row in await room.rows(t.deployments)] == ["stable"]

    inside(tmp_path, scenario)


def test_an_undo_without_an_edge_is_tried_for_minutes_and_then_ends_with_what_is_left(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change(release=RELEASE, commit="mine")
        await room.release(RELEASE)
        await room.deployment(RELEASE, "mine", "dev", "canary")
        call = StepCall("chg-1", reasons=["the canary is slow"])
        for attempt in (1, MAX_CRASHES, MAX_OUTAGES - 1):
            with pytest.raises(Unavailable):
                await as_activity(ending.undo, room.rooms, call, attempt=attempt)
        found = await as_activity(ending.undo, room.rooms, call, attempt=MAX_OUTAGES)
        assert found.verdict == GO, "something of it is deployed"
        assert "not everything could be undone" in found.reasons[0]
        assert [outcome for outcome, _ in await room.audited("change.undo")] == ["failed"]
        assert await room.journal.held(RELEASE), "it comes back nowhere else"

    inside(tmp_path, scenario)


async def recorded(room: Room, **given: str) -> str:
    """A change whose commit is on the operator's branch; the commit."""
    base = await based(room, **given)
    change = await room.journal.change("chg-1")
    repository = await room.rooms.repository(change)
    await repository.sync()
    await repository.checkout(base, tmp := room.rooms.home.root / "scratch")
    (tmp / "word.py").write_text("WORD = 'two'\n")
    commit = await repository.commit(await repository.write_tree(tmp, base), base, "two", change["created_at"])
    await room.journal.set_change("chg-1", commit=commit, release=RELEASE)
    found = await record(room.rooms, step_context(await room.journal.change("chg-1"), "record"))
    assert found.outputs["merged"] is True
    await room.step("record", "running")
    return commit


def test_a_stop_that_comes_after_the_commit_was_pushed_takes_the_commit_back(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        commit = await recorded(room)
        assert git(room.origin, "rev-parse", "HEAD") == commit
        for _ in range(2):
            await as_activity(ending.undo, room.rooms, StepCall("chg-1", reasons=["cancelled on request"]))
        assert (room.origin / "word.py").read_text() == "WORD = 'one'\n"
        assert git(room.origin, "rev-list", "--count", "HEAD") == "3", "one commit, one revert"
        data = (await room.audited("change.undo"))[0][1]
        assert data["revert"]["merged"] is True

    inside(tmp_path, scenario)


def test_a_change_is_taken_back_once_however_often_it_is_asked(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await recorded(room)
        await as_activity(ending.finish, room.rooms, StepCall("chg-1", state="promoted"))
        for _ in range(2):
            assert (await as_activity(ending.take_back, room.rooms, CALL)).verdict == GO
        assert (room.origin / "word.py").read_text() == "WORD = 'one'\n"
        assert git(room.origin, "rev-list", "--count", "HEAD") == "3"
        assert await room.rooms.applications.holder("shop") is None

    inside(tmp_path, scenario)


def test_taking_back_waits_for_whoever_moves_the_application(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await recorded(room)
        await leases.acquire(room.rooms.records, lease_of("shop"), "chg-2")
        assert (await as_activity(ending.take_back, room.rooms, CALL)).verdict == WAIT
        assert (room.origin / "word.py").read_text() == "WORD = 'two'\n"
        await leases.release(room.rooms.records, lease_of("shop"), "chg-2")
        assert (await as_activity(ending.take_back, room.rooms, CALL)).verdict == GO

    inside(tmp_path, scenario)


def test_a_commit_that_cannot_be_taken_back_is_told_and_the_lease_is_free(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        commit = await recorded(room)
        room.origin.rename(tmp_path / "elsewhere")
        found = await as_activity(ending.take_back, room.rooms, CALL, attempt=MAX_OUTAGES)
        assert found.verdict == STOP
        assert f"commit {commit[:12]} was not taken back" in found.reasons[0]
        assert (await room.timeline())[-1][0] == "taken_back"
        assert await room.rooms.applications.holder("shop") is None

    inside(tmp_path, scenario)


def test_a_lease_that_a_crash_left_with_its_own_task_is_no_obstacle(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await recorded(room)
        await leases.acquire(room.rooms.records, lease_of("shop"), take_back_id("chg-1"))
        assert (await as_activity(ending.take_back, room.rooms, CALL, attempt=2)).verdict == GO

    inside(tmp_path, scenario)


def test_an_adoption_that_fails_says_why_and_one_that_only_waits_goes_on(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        applications, call = room.rooms.applications, StepCall("shop")
        assert await as_activity(ending.adopt, room.rooms, call) == StepResult(GO), "it is ready: nothing is done"
        await applications.set_state("shop", ADOPTING, [])
        (room.origin / "ripple.app.yaml").write_text("name: shop\nrunn: {}\n")
        git(room.origin, "commit", "-qam", "broken")
        found = await as_activity(ending.adopt, room.rooms, call)
        assert found.verdict == STOP
        row = await applications.row("shop")
        assert row["state"] == FAILED
        assert "runn" in row["reasons"][0]

    inside(tmp_path, scenario)


@pytest.mark.parametrize(("attempt", "state"), [(1, ADOPTING), (MAX_OUTAGES, FAILED)])
def test_an_outage_during_an_adoption_is_waited_out_but_not_for_ever(
    tmp_path: Path, attempt: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("the supervisor does not answer")

    async def scenario(room: Room) -> None:
        await room.application()
        await room.rooms.applications.set_state("shop", ADOPTING, [])
        monkeypatch.setattr(ending, "adopt_application", away)
        if state == ADOPTING:
            with pytest.raises(Unavailable):
                await as_activity(ending.adopt, room.rooms, StepCall("shop"), attempt=attempt)
        else:
            await as_activity(ending.adopt, room.rooms, StepCall("shop"), attempt=attempt)
        row = await room.rooms.applications.row("shop")
        assert row["state"] == state != READY
        assert row["reasons"] == ([] if state == ADOPTING else ["the supervisor does not answer"])

    inside(tmp_path, scenario)


def test_undoing_shows_where_a_change_failed_and_where_it_was_only_taken_from(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await room.change()
        await room.step("promote/dev")
        await room.step("promote/qa", "running")
        await room.step("promote/staging", "refused")
        await ending._mark_undone(room.rooms, change, ["staging", "qa", "dev", "prod"])
        steps = {row["step"]: row["outputs"].get("undone", False) for row in await room.journal.steps("chg-1")}
        assert steps == {"promote/dev": True, "promote/qa": True, "promote/staging": False}

    inside(tmp_path, scenario)
