"""A run of the phases: in order, cut short and gone on, stopped by a failure, attested only where it passed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from temporalio.testing import ActivityEnvironment
from tests.unit.changes.room import OPERATOR, Room, as_activity, inside

from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.phases import actions, running
from ripple.changes.phases.runs import Phases, Run, Runs, Seen
from ripple.changes.steps.rooms import Rooms
from ripple.governance.keys import NodeKey
from ripple.model.errors import Conflict, Refused, Unavailable
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.objects import Objects
from ripple.stack.manifests.hash import manifest_hash
from ripple.stack.phases import Action, load_plan
from ripple.stack.root import project_root

PLAN = load_plan(project_root() / "manifests")
ME = "a" * 64


class Allowed:
    @asynccontextmanager
    async def act(self, *_: object, **__: object) -> AsyncIterator[None]:
        yield

    async def ended(self, *_: object, **__: object) -> None:
        pass


class Bench:
    """One node with runs in a folder, and actions that count how often they ran."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.objects = Objects.local(folder / "objects")
        self.key = NodeKey.load_or_create(folder / "keys")
        self.runs = Runs(self.objects, self.key)
        self.ran: Counter[str] = Counter()
        self.broken: dict[Action, BaseException] = {}
        self.manifests = ME
        monkeypatch.setattr(running, "ACTIONS", {one: self._action(one) for one in Action})
        monkeypatch.setattr(running, "manifest_hash", lambda folder: self.manifests)

    def _action(self, one: Action) -> Callable[[Any], Awaitable[Mapping[str, Any]]]:
        async def act(at: Any) -> Mapping[str, Any]:
            self.ran[one] += 1
            if one in self.broken:
                raise self.broken[one]
            return {"saw": one}

        return act

    def run(self, first: str = "P0", last: str = "P6", name: str = "r1") -> StepResult:
        """Run the phases as the worker does."""
        rooms = cast("Rooms", SimpleNamespace(objects=self.objects, key=self.key, governor=Allowed()))

        async def both() -> StepResult:
            current = await self.runs.current()
            if current is None or current.id != name:
                await self.runs.put(Run(name, first, last, "me", "now"))
            done: StepResult = await ActivityEnvironment().run(running.run_phases, rooms, StepCall(name))
            return done

        return anyio.run(both)

    def states(self, name: str = "r1") -> dict[str, Seen | None]:
        async def read() -> dict[str, Seen | None]:
            run = await self.runs.current()
            assert run is not None
            return {task.id: await self.runs.seen(run, task.id) for task in PLAN.tasks}

        return anyio.run(read)

    def proof(self, phase: str, digest: str = ME) -> Mapping[str, Any]:
        return anyio.run(self.runs.proof, phase, f"sha256:{digest}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_a_run_passes_every_task_once_and_attests_every_phase(bench: Bench) -> None:
    assert bench.run().verdict == GO
    wanted = {task.action for task in PLAN.part("P0", "P6")}
    assert bench.ran == Counter(wanted)
    assert bench.proof("P6")["tasks"]["task-P6-promotion"]["found"] == {"saw": "promotion.recorded"}
    with pytest.raises(Refused, match="no evidence"):
        bench.proof("WSL")


def test_evidence_holds_only_for_the_manifests_it_speaks_of_and_only_unchanged(bench: Bench) -> None:
    bench.run()
    with pytest.raises(Refused, match="does not hold for these manifests"):
        bench.proof("P6", "b" * 64)
    envelope = json.loads(anyio.run(bench.objects.get, "phases/evidence/P5.json"))
    anyio.run(bench.objects.put, "phases/evidence/P6.json", json.dumps(envelope).encode())
    with pytest.raises(Refused, match="something else"):
        bench.proof("P6")
    envelope["signatures"][0]["sig"] = "AAAA"
    anyio.run(bench.objects.put, "phases/evidence/P6.json", json.dumps(envelope).encode())
    with pytest.raises(Refused, match="does not hold"):
        bench.proof("P6")


def test_a_failure_stops_what_needs_it_and_later_phases_and_its_siblings_still_run(bench: Bench) -> None:
    bench.broken[Action.IMAGES_MERGE] = Refused("no smoke table")
    result = bench.run()
    assert result.verdict == STOP
    states = bench.states()
    assert (states["task-P1-merge-oci-images"] or Seen("")).reasons == ["no smoke table"]
    assert (states["task-P1-oci-freeze-real"] or Seen("")).state == "blocked"
    assert (states["task-P1-freeze-docs"] or Seen("")).state == "passed"
    assert {(states[task.id] or Seen("")).state for task in PLAN.part("P2", "P6")} == {"blocked"}
    assert bench.proof("P0")["phase"] == "P0"
    with pytest.raises(Refused):
        bench.proof("P1")


def test_a_run_that_was_cut_short_goes_on_behind_what_it_had_done(bench: Bench) -> None:
    bench.broken[Action.RECORDS_MIGRATED] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    before = dict(bench.ran)
    bench.broken.clear()
    assert bench.run().verdict == GO
    again = {one for one, count in bench.ran.items() if count > 1}
    assert again == {Action.RECORDS_MIGRATED}, "only the task that was under way runs again"
    assert len(before) < len(bench.ran)


def test_a_run_that_begins_late_needs_the_evidence_of_what_it_leaves_out(bench: Bench) -> None:
    assert bench.run("P6", "P6").verdict == STOP
    assert {(bench.states()[task.id] or Seen("")).state for task in PLAN.part("P6", "P6")} == {"blocked"}
    assert "P5 has left no evidence" in (bench.states()["task-P6-promotion"] or Seen("")).reasons[0]
    assert bench.ran == Counter()
    assert bench.run("P0", "P5", "r2").verdict == GO
    assert bench.run("P6", "P6", "r3").verdict == GO
    bench.manifests = "b" * 64
    assert bench.run("P6", "P6", "r4").verdict == STOP
    assert "does not hold for these manifests" in (bench.states()["task-P6-promotion"] or Seen("")).reasons[0]


def test_manifests_that_change_while_a_run_goes_on_fail_it_and_are_not_attested(bench: Bench) -> None:
    bench.broken[Action.RECORDS_MIGRATED] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    bench.broken.clear()
    bench.manifests = "b" * 64
    assert bench.run().verdict == STOP
    failed = [seen.reasons[0] for seen in bench.states().values() if seen and seen.state == "failed"]
    assert failed
    assert all("have changed since the run began" in reason for reason in failed)
    for digest in ("b" * 64, ME):
        with pytest.raises(Refused):
            bench.proof("P3", digest)
    assert bench.proof("P2")["phase"] == "P2"


def test_what_a_task_waits_for_is_shown_before_it_is_tried_again(bench: Bench) -> None:
    bench.broken[Action.RECONCILER_HEALTHY] = Unavailable("temporal is in its back-off")
    with pytest.raises(Unavailable):
        bench.run()
    waiting = [seen for seen in bench.states().values() if seen and seen.state == "running"]
    assert [seen.reasons for seen in waiting] == [["temporal is in its back-off"]]


def test_a_run_of_other_phases_is_not_taken_for_the_one_that_was_asked_for(bench: Bench) -> None:
    anyio.run(bench.runs.put, Run("r1", "P0", "P1", "me", "now"))
    started: list[str] = []

    class Begun:
        async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
            started.append(flow_id)

    verbs = Phases(cast("Any", Allowed()), bench.runs, cast("Any", Begun()), PLAN)
    me = Principal(PrincipalKind.OPERATOR, "me")
    with pytest.raises(Conflict, match="a run of P0 to P1 goes on"):
        anyio.run(verbs.run, me, "P0", "P6")
    assert anyio.run(verbs.run, me, "P0", "P1")["run"]["id"] == "r1"
    assert started == ["phases-r1"]


def test_a_run_is_followed_in_the_audit_log_by_its_trace_from_the_request_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(at: Any) -> Mapping[str, Any]:
        raise Refused("a file is not committed")

    monkeypatch.setattr(running, "ACTIONS", dict.fromkeys(Action, refused))

    async def scenario(room: Room) -> None:
        rooms = room.rooms
        verbs = Phases(rooms.governor, Runs(rooms.objects, rooms.key), cast("Any", room.tasks), PLAN)
        trace = (await verbs.run(OPERATOR, "P0", "P0"))["run"]["trace_id"]
        assert (await verbs.run(OPERATOR, "P0", "P0"))["run"]["trace_id"] == trace, "it is followed"
        assert (await as_activity(running.run_phases, rooms, room.tasks.calls[0])).verdict == STOP
        begun = ("operator:local", "allowed", trace)
        assert await room.traced("phases.run") == [begun, begun, ("service:worker", "failed", trace)]
        failed = ", ".join(task.id for task in PLAN.part("P0", "P0"))
        end = {"asked_by": "operator:local", "error": f"{failed} did not pass"}
        assert (await room.audited("phases.run"))[-1][1] == end

    inside(tmp_path, scenario)


def test_a_run_that_could_not_be_begun_keeps_nobody_from_another(bench: Bench) -> None:
    class Away:
        async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
            raise Unavailable("Temporal does not answer")

    verbs = Phases(cast("Any", Allowed()), bench.runs, cast("Any", Away()), PLAN)
    me = Principal(PrincipalKind.OPERATOR, "me")
    for last in ("P6", "P1"):
        with pytest.raises(Unavailable):
            anyio.run(verbs.run, me, "P0", last)


def a_workshop(**stack: Any) -> Any:
    return SimpleNamespace(stack=SimpleNamespace(**stack))


def test_the_profile_is_proven_when_each_of_its_systems_is() -> None:
    rows = [SimpleNamespace(id=name) for name in ("temporal", "caddy")]
    proven = a_workshop(unproven=dict, profile_systems=lambda: rows)
    assert anyio.run(actions.systems_proven, proven) == {"proven": ["caddy", "temporal"]}
    unproven = a_workshop(unproven=lambda: {"caddy": "there is no evidence"}, profile_systems=lambda: rows)
    with pytest.raises(Refused, match="1 systems of the profile are not proven; caddy: there is no evidence"):
        anyio.run(actions.systems_proven, unproven)


def test_the_evidence_of_p6_is_found_only_where_p6_passed_on_the_manifests_of_today(bench: Bench) -> None:
    at = cast("Any", SimpleNamespace(runs=bench.runs, root=project_root()))
    with pytest.raises(Refused, match="P6 has left no evidence"):
        anyio.run(actions.evidence_holds, at)
    today = f"sha256:{manifest_hash(project_root() / 'manifests')}"
    anyio.run(bench.runs.attest, "P6", today, {"run": "r9", "at": "then"})
    assert anyio.run(actions.evidence_holds, at) == {"run": "r9", "at": "then"}


def test_a_task_that_does_not_end_in_time_has_failed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = PLAN.tasks[0].model_copy(update={"timeout_seconds": 0.05})
    plan = type(PLAN)(PLAN.phases, (slow, *PLAN.tasks[1:]))
    monkeypatch.setattr(running, "load_plan", lambda folder: plan)

    async def forever(at: Any) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        return {}

    monkeypatch.setattr(running, "ACTIONS", dict.fromkeys(Action, forever))
    assert bench.run().verdict == STOP
    assert "did not end within" in (bench.states()[slow.id] or Seen("")).reasons[0]


def test_a_run_that_was_replaced_ends_without_touching_the_new_one(bench: Bench) -> None:
    anyio.run(bench.runs.put, Run("newer", "P0", "P0", "me", "now"))

    async def old() -> StepResult:
        rooms = cast("Rooms", SimpleNamespace(objects=bench.objects, key=bench.key))
        done: StepResult = await ActivityEnvironment().run(running.run_phases, rooms, StepCall("older"))
        return done

    assert anyio.run(old).verdict == STOP
    assert bench.ran == Counter()


def test_every_action_of_the_plan_is_one_that_can_be_done() -> None:
    assert set(actions.ACTIONS) == set(Action)
