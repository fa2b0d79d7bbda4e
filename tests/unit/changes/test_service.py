"""What operators do with changes: recorded whatever Temporal does, signalled once, followed without a gap."""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client
from tests.unit.changes.room import AGENT, OPERATOR, Room, inside
from tests.unit.changes.temporal import free_port, temporal_server, working

from ripple.changes.applications import lease_of
from ripple.changes.calls import GO, WAIT, StepCall, StepResult, take_back_id
from ripple.changes.service import MAX_INTENT_CHARACTERS, Changes, Feed, Flows
from ripple.model.change import Intent
from ripple.model.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from ripple.planes import flows
from ripple.planes.events import Events
from ripple.planes.events.nats import NatsEvents
from ripple.planes.records import leases

INTENT = Intent("shop", "Say two instead of one.", "ripple-moe-embedded", None)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with temporal_server() as found:
        yield found


class Steps:
    """The activities of a worker: everything says yes, but prod waits for a person; ends are written down."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.calls: list[tuple[str, str]] = []

    def definitions(self) -> list[Any]:
        names = ("step", "lease", "rebase", "undo", "finish", "take_back", "adopt")
        return [activity.defn(name=name)(self._runner(name)) for name in names]

    def _runner(self, name: str) -> Callable[[StepCall], Awaitable[StepResult]]:
        async def run(call: StepCall) -> StepResult:
            self.calls.append((call.change_id, call.step or name))
            if call.step == "promote/prod" and not call.approved_by:
                waiting = {"awaiting_approval": True}
                await self.room.step(call.step, "running", call.change_id, outputs=waiting)
                return StepResult(WAIT)
            if name == "finish":
                await self.room.journal.set_change(call.change_id, state=call.state, reasons=call.reasons)
            return StepResult(GO)

        return run


def changes_of(room: Room, connect: Callable[[], Awaitable[Client]]) -> Changes:
    rooms = room.rooms
    return Changes(rooms.governor, rooms.journal, rooms.applications, Flows(connect), "ripple-moe-embedded")


def away() -> Callable[[], Awaitable[Client]]:
    """A Temporal that does not answer."""
    return functools.partial(flows.connect, f"127.0.0.1:{free_port()}", 0.2)


async def ended(room: Room, change: str) -> dict[str, Any]:
    while (found := await room.journal.change(change))["state"] == "running":
        await asyncio.sleep(0.02)
    return found


async def awaiting(room: Room, change: str) -> None:
    while await room.journal.step(change, "promote/prod") is None:
        await asyncio.sleep(0.02)


Play = Callable[[Callable[[Room, Changes, Steps], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A scenario with a worker that has :class:`Steps`, and a Temporal that is given time to answer."""
    monkeypatch.setattr(flows, "START_DEADLINE", timedelta(seconds=30))

    def run(scenario: Callable[[Room, Changes, Steps], Awaitable[None]]) -> None:
        async def main(room: Room) -> None:
            await room.application()
            steps = Steps(room)
            async with working(endpoint, steps.definitions()) as client:

                async def connect() -> Client:
                    return client

                await scenario(room, changes_of(room, connect), steps)

        inside(tmp_path, main)

    return run


def test_a_submitted_change_runs_to_its_end_and_is_audited(play: Play) -> None:
    async def scenario(room: Room, changes: Changes, steps: Steps) -> None:
        found = await changes.submit(AGENT, INTENT)
        assert (found["state"], found["principal"], found["step"]) == ("running", "agent:uhCAk1", None)
        await awaiting(room, found["id"])
        await changes.approve(OPERATOR, found["id"], "prod")
        assert (await ended(room, found["id"]))["state"] == "promoted"
        assert [outcome for outcome, _ in await room.audited("change.submit")] == ["allowed", "done"]
        approved = await room.audited("change.approve")
        assert approved[0][1]["arguments"] == ["prod"]

    play(scenario)


def test_a_change_submitted_while_temporal_is_away_is_kept_and_started_later(
    tmp_path: Path, endpoint: str
) -> None:
    async def main(room: Room) -> None:
        await room.application()
        began = time.monotonic()
        found = await changes_of(room, away()).submit(OPERATOR, INTENT)
        assert time.monotonic() - began < 20
        assert await room.journal.running() == [found["id"]]
        async with working(endpoint, Steps(room).definitions()) as client:

            async def connect() -> Client:
                return client

            changes = changes_of(room, connect)
            for _ in range(3):
                await changes.resume_all()
            await changes.cancel(OPERATOR, found["id"])
            assert (await ended(room, found["id"]))["state"] == "cancelled"

    inside(tmp_path, main)


def test_a_change_whose_flow_was_lost_is_driven_to_its_end_all_the_same(play: Play) -> None:
    async def scenario(room: Room, changes: Changes, steps: Steps) -> None:
        found = await changes.submit(OPERATOR, INTENT)
        await awaiting(room, found["id"])
        client = await changes._flows._connected()
        await client.get_workflow_handle(found["id"]).terminate("somebody did")
        assert await changes.resume(found["id"])
        await changes.cancel(OPERATOR, found["id"])
        assert (await ended(room, found["id"]))["state"] == "cancelled"

    play(scenario)


def test_a_cancel_that_comes_before_the_flow_has_begun_is_not_lost(play: Play) -> None:
    async def scenario(room: Room, changes: Changes, steps: Steps) -> None:
        name = f"chg-{secrets.token_hex(6)}"
        await room.change(name)
        await changes.cancel(OPERATOR, name)
        found = await ended(room, name)
        assert (found["state"], found["reasons"]) == ("cancelled", ["cancelled on request of operator:local"])
        # A flow that an earlier test left behind may still go on at this worker.
        assert [step for change, step in steps.calls if change == name] == ["finish"]

    play(scenario)


def test_a_signal_while_temporal_is_away_is_an_error_to_try_again_and_not_a_promise(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.application()
        await room.change()
        with pytest.raises(Unavailable):
            await changes_of(room, away()).cancel(OPERATOR, "chg-1")
        assert [outcome for outcome, _ in await room.audited("change.cancel")] == ["allowed", "failed"]

    inside(tmp_path, main)


def test_a_signal_to_a_flow_that_has_just_ended_is_a_conflict(play: Play) -> None:
    async def scenario(room: Room, changes: Changes, steps: Steps) -> None:
        found = await changes.submit(OPERATOR, INTENT)
        await changes.cancel(OPERATOR, found["id"])
        client = await changes._flows._connected()
        assert await client.get_workflow_handle(found["id"]).result() == "cancelled"
        await room.journal.set_change(found["id"], state="running")
        with pytest.raises(Conflict, match="has ended"):
            await changes.cancel(OPERATOR, found["id"])

    play(scenario)


@pytest.mark.parametrize("state", ["promoted", "rejected", "rolled_back", "cancelled"])
def test_a_change_that_has_ended_cannot_be_cancelled_or_approved(tmp_path: Path, state: str) -> None:
    async def main(room: Room) -> None:
        await room.change(state=state)
        changes = changes_of(room, away())
        with pytest.raises(Conflict, match=f"has ended as {state}"):
            await changes.cancel(OPERATOR, "chg-1")
        with pytest.raises(Conflict, match=f"has ended as {state}"):
            await changes.approve(OPERATOR, "chg-1", "prod")

    inside(tmp_path, main)


@pytest.mark.parametrize(
    ("environment", "step", "error"),
    [
        ("prood", None, Invalid),
        ("prod", None, Conflict),
        ("prod", ("running", False), Conflict),
        ("prod", ("passed", True), Conflict),
        ("qa", None, Conflict),
    ],
)
def test_only_what_waits_for_an_approval_can_be_approved(
    tmp_path: Path, environment: str, step: tuple[str, bool] | None, error: type[Exception]
) -> None:
    async def main(room: Room) -> None:
        await room.change()
        if step:
            await room.step("promote/prod", step[0], outputs={"awaiting_approval": step[1]})
        with pytest.raises(error, match=environment):
            await changes_of(room, away()).approve(OPERATOR, "chg-1", environment)

    inside(tmp_path, main)


def test_agents_neither_approve_nor_cancel_nor_roll_back(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.application()
        await room.change(release="sha256:a", commit="c", state="promoted")
        await room.deployment("sha256:a", "c")
        await room.change("chg-2")
        await room.step("promote/prod", "running", "chg-2", outputs={"awaiting_approval": True})
        changes = changes_of(room, away())
        for asked in (
            changes.approve(AGENT, "chg-2", "prod"),
            changes.cancel(AGENT, "chg-2"),
            changes.roll_back(AGENT, "chg-1"),
        ):
            with pytest.raises(Refused, match="uhCAk1"):
                await asked

    inside(tmp_path, main)


def test_a_promoted_change_is_taken_back_once_whoever_asks_twice(play: Play) -> None:
    async def scenario(room: Room, changes: Changes, steps: Steps) -> None:
        name = f"chg-{secrets.token_hex(6)}"
        await room.change(name, release="sha256:a", commit="c", state="promoted")
        await room.deployment("sha256:a", "c")
        await asyncio.gather(*(changes.roll_back(OPERATOR, name) for _ in range(3)))
        client = await changes._flows._connected()
        assert await client.get_workflow_handle(take_back_id(name)).result() == GO
        assert (name, "take_back") in steps.calls

    play(scenario)


def test_a_promoted_change_that_runs_nowhere_any_more_is_not_taken_back(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.application()
        await room.change(release="sha256:a", commit="c", state="promoted")
        await room.deployment("sha256:a", "c", "prod", "retired")
        await room.deployment("sha256:b", "d", "prod")
        with pytest.raises(Conflict, match="a later change replaced it"):
            await changes_of(room, away()).roll_back(OPERATOR, "chg-1")

    inside(tmp_path, main)


def test_while_another_change_moves_the_application_taking_back_says_who_is_in_the_way(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.application()
        await room.change(release="sha256:a", commit="c", state="promoted")
        await room.deployment("sha256:a", "c")
        await leases.acquire(room.rooms.records, lease_of("shop"), "chg-2")
        with pytest.raises(Conflict, match="chg-2 is moving shop"):
            await changes_of(room, away()).roll_back(OPERATOR, "chg-1")

    inside(tmp_path, main)


@pytest.mark.parametrize("state", ["rejected", "rolled_back", "cancelled"])
def test_what_was_never_promoted_cannot_be_taken_back(tmp_path: Path, state: str) -> None:
    async def main(room: Room) -> None:
        await room.change(state=state)
        with pytest.raises(Conflict, match="nothing of it is deployed"):
            await changes_of(room, away()).roll_back(OPERATOR, "chg-1")

    inside(tmp_path, main)


@pytest.mark.parametrize(
    ("intent", "error"),
    [
        (Intent("shop", "  \n", "p", None), Invalid),
        (Intent("shop", "x" * (MAX_INTENT_CHARACTERS + 1), "p", None), Invalid),
        (Intent("../shop", "Say two.", "p", None), NotFound),
    ],
)
def test_what_cannot_be_asked_leaves_no_change(tmp_path: Path, intent: Intent, error: type[Exception]) -> None:
    async def main(room: Room) -> None:
        await room.application()
        with pytest.raises(error):
            await changes_of(room, away()).submit(OPERATOR, intent)
        assert await room.journal.running() == []

    inside(tmp_path, main)


async def followed(feed: Feed, after: int = 0, most: int = 1000) -> list[tuple[int, str]]:
    """What a watcher gets until the end, or until it has ``most`` rows; pauses left out."""
    found: list[tuple[int, str]] = []
    async for seq, kind, _ in feed.follow("chg-1", after):
        if kind:
            found.append((seq, kind))
        if len(found) == most:
            break
    return found


def feed_of(room: Room) -> Feed:
    return Feed(room.rooms.records, Events(NatsEvents(f"nats://127.0.0.1:{free_port()}")), room.journal)


def test_a_watcher_that_reconnects_anywhere_misses_nothing_and_sees_nothing_twice(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.change()
        await room.change("chg-2")
        for number in range(5):
            await room.journal.note("chg-1", f"note-{number}", {})
            await room.journal.note("chg-2", "other", {})
        await room.journal.set_change("chg-1", state="rejected")
        whole = await followed(feed_of(room))
        assert [kind for _, kind in whole] == ["state", *(f"note-{n}" for n in range(5)), "state", "end"]
        for cut in range(1, len(whole)):
            first = await followed(feed_of(room), most=cut)
            assert first + await followed(feed_of(room), after=first[-1][0]) == whole, cut
        assert await followed(feed_of(room), after=whole[-1][0]) == whole[-1:], "at the end it is told the end"

    inside(tmp_path, main)


def test_a_feed_without_an_event_bus_shows_what_happens_within_its_poll_and_ends(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.change()
        watching = asyncio.ensure_future(followed(feed_of(room)))
        await asyncio.sleep(0.1)
        await room.journal.note("chg-1", "note", {})
        await room.journal.set_change("chg-1", state="cancelled")
        kinds = [kind for _, kind in await asyncio.wait_for(watching, 30)]
        assert kinds == ["state", "note", "state", "end"]

    inside(tmp_path, main)


def test_a_feed_gives_its_caller_a_sign_of_life_while_nothing_happens(tmp_path: Path) -> None:
    async def main(room: Room) -> None:
        await room.change()
        feed = feed_of(room).follow("chg-1", 0)
        assert [(await anext(feed))[1], (await anext(feed))[1]] == ["state", ""]
        await feed.aclose()

    inside(tmp_path, main)
