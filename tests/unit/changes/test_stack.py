"""A repair: begun once, ended in words and in the audit log, and never in the way of the next one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from temporalio.testing import ActivityEnvironment
from tests.unit.changes.room import OPERATOR, TRACE, Room, as_activity, inside

from ripple.changes import stackwork
from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.stack import Stack, repair
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.model.errors import Conflict, Refused, Unavailable
from ripple.model.paths import Home
from ripple.planes.objects import Objects


class Bench:
    """A stack that may do anything, whose flows are only counted, and whose repairs end as a test says."""

    def __init__(self, folder: Path) -> None:
        self.objects = Objects.local(folder / "objects")
        self.started: list[str] = []
        self.away = False
        self.ends: list[tuple[Any, ...]] = []
        here = cast("Any", self)
        self.stack = Stack(Home(folder), here, self.objects, here, here)

    async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
        if self.away:
            raise Unavailable("Temporal does not answer")
        self.started.append(flow_id)

    @asynccontextmanager
    async def act(self, *_: object, **__: object) -> AsyncIterator[None]:
        yield

    async def ended(self, *what: object, data: Mapping[str, Any], trace_id: str | None) -> None:
        self.ends.append((*what, dict(data), trace_id))

    def begin(self, verb: str) -> str:
        """Ask for a repair; its trace."""
        return str(anyio.run(self.stack.repair, OPERATOR, "caddy", verb)["trace_id"])

    def work(self, verb: str) -> StepResult:
        rooms = cast("Rooms", SimpleNamespace(governor=self, objects=self.objects))

        async def done() -> StepResult:
            call = StepCall("caddy", verb, "operator:local", trace_id=TRACE)
            found: StepResult = await ActivityEnvironment().run(repair, rooms, call)
            return found

        return anyio.run(done)

    @property
    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(anyio.run(self.objects.get, "repairs/caddy.json"))
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def repairs_end(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    async def repaired(*_: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(stackwork, "repair_system", repaired)


def test_the_end_of_a_repair_is_in_the_audit_log_for_whoever_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    repairs_end(monkeypatch, None)
    assert bench.work("fix").verdict == GO
    repairs_end(monkeypatch, Refused("it has another digest; do not use it"))
    assert bench.work("install") == StepResult(STOP, ["it has another digest; do not use it"])
    asked_by = {"asked_by": "operator:local"}
    assert bench.ends == [
        (WORKER, "component.fix", "stack/caddy", asked_by, TRACE),
        (
            WORKER,
            "component.install",
            "stack/caddy",
            {**asked_by, "error": "it has another digest; do not use it"},
            TRACE,
        ),
    ]
    assert (bench.kept["state"], bench.kept["reason"]) == ("failed", "it has another digest; do not use it")


def test_a_repair_that_is_asked_for_again_is_the_same_one_and_another_has_to_wait(bench: Bench) -> None:
    first = bench.begin("fix")
    assert bench.begin("fix") == first, "it is followed under the same trace"
    assert len(set(bench.started)) == 1
    with pytest.raises(Conflict, match=r"is being repaired \(fix\)"):
        bench.begin("verify")


def test_the_next_repair_is_not_taken_for_the_one_that_has_just_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    repairs_end(monkeypatch, None)
    bench.begin("fix")
    bench.work("fix")
    bench.begin("fix")
    assert len(set(bench.started)) == 2
    assert bench.kept["state"] == "running"


def test_a_repair_is_followed_in_the_audit_log_by_its_trace_from_the_request_to_its_end(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        rooms, tasks = room.rooms, cast("Any", room.tasks)
        asked = Stack(rooms.home, rooms.governor, rooms.objects, tasks, rooms.applications)
        begun = await asked.repair(OPERATOR, "caddy", "remove")
        assert (await as_activity(repair, rooms, room.tasks.calls[0])).verdict == GO
        assert await room.traced("component.remove") == [
            ("operator:local", "allowed", begun["trace_id"]),
            ("service:worker", "done", begun["trace_id"]),
        ]
        again = await asked.repair(OPERATOR, "caddy", "remove")
        assert again["trace_id"] != begun["trace_id"], "another repair is another trace"

    inside(tmp_path, scenario)


def test_what_could_not_be_begun_leaves_what_was_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    repairs_end(monkeypatch, None)
    bench.work("verify")
    bench.away = True
    with pytest.raises(Unavailable):
        bench.begin("fix")
    assert (bench.kept["verb"], bench.kept["state"]) == ("verify", "done")


def test_a_repair_that_goes_on_is_not_lost_because_it_is_asked_for_again_while_temporal_is_away(
    bench: Bench,
) -> None:
    bench.begin("fix")
    bench.away = True
    with pytest.raises(Unavailable):
        bench.begin("fix")
    assert bench.kept["state"] == "running"
