"""The supervisor's decisions, as scenarios and as properties over any order of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.supervisor.world import PROBE, World, component

from ripple.model.component import ComponentState, Restart
from ripple.supervisor import plan
from ripple.supervisor.plan import Unit, Verb

S = ComponentState


def test_what_is_required_must_be_ready_first() -> None:
    world = World(component("a"), component("b", "a"), component("c", "b"))
    assert world.log == [(Verb.START, "a")]
    assert plan.waits_for(world.units["b"], world.units) == ["a"]
    world.ready("a")
    assert world.log[-1] == (Verb.START, "b")
    assert plan.waits_for(world.units["b"], world.units) == []
    assert world.state("c") is S.WAITING


def test_what_waits_by_itself_starts_at_once_and_still_stops_first() -> None:
    patient = component("b", "a").model_copy(update={"waits_itself": True})
    world = World(component("a"), patient)
    assert world.log == [(Verb.START, "a"), (Verb.START, "b")]
    assert plan.waits_for(world.units["b"], world.units) == []
    world.ready("a")
    world.ready("b")
    world.down()
    assert world.log[-1] == (Verb.STOP, "b")
    world.exit("b")
    assert world.log[-1] == (Verb.STOP, "a")


def test_what_runs_goes_on_when_what_it_requires_is_lost() -> None:
    world = World(component("a"), component("b", "a"))
    world.ready("a")
    world.ready("b")
    world.exit("a")
    assert world.state("b") is S.READY
    assert world.alive == {"b"}


def test_a_slow_start_is_measured_from_the_start_to_the_first_pass() -> None:
    world = World(component("a"))
    world.wait(2.5)
    world.ready("a")
    world.wait(50)
    world.ready("a")
    assert world.units["a"].ready_seconds == 2.5


def test_misses_only_count_in_a_row() -> None:
    world = World(component("a"))
    world.ready("a")
    for _ in range(10):
        world.ready("a", "slow")
        world.live("a", "slow")
        world.ready("a", "slow")
        world.live("a", "slow")
        world.ready("a")
        world.live("a")
    assert world.state() is S.READY
    assert world.log == [(Verb.START, "a")]


def test_a_restart_asked_for_twice_is_one_restart_and_no_failure() -> None:
    world = World(component("a"))
    world.ready("a")
    world.restart("a")
    world.restart("a")
    world.exit("a", 0)
    world.restart("a")
    assert world.log == [(Verb.START, "a"), (Verb.STOP, "a"), (Verb.START, "a"), (Verb.STOP, "a")]
    world.exit("a", 0)
    assert world.units["a"].failures == ()
    assert world.state() is S.STARTING


def test_a_restart_asked_for_in_backoff_starts_at_once() -> None:
    world = World(component("a"))
    world.exit("a")
    assert world.state() is S.BACKOFF
    world.restart("a")
    assert world.state() is S.STARTING
    world.wait(1000)
    assert world.log.count((Verb.START, "a")) == 2


def test_backoff_doubles_up_to_its_limit_and_jitter_only_shortens_it() -> None:
    world = World(component("a", restart=Restart(initial_seconds=1, max_seconds=8, give_up_after=100)))
    waits = []
    for _ in range(6):
        world.exit("a")
        deadline = world.units["a"].deadline
        assert deadline is not None
        waits.append(deadline - world.now)
        world.wait(deadline - world.now)
    assert waits == [1, 2, 4, 8, 8, 8]
    world.exit("a", jitter=1.0)
    assert world.units["a"].deadline == world.now + 4


def test_it_is_given_up_after_n_restarts_within_the_window_and_an_operator_can_try_again() -> None:
    world = World(component("a", restart=Restart(initial_seconds=0.1, max_seconds=0.1, give_up_after=3)))
    for _ in range(3):
        world.exit("a", 7)
        world.wait(0.2)
        assert world.state() is S.STARTING
    world.exit("a", 7)
    assert world.state() is S.GAVE_UP
    assert "status 7" in world.units["a"].reason
    assert "3 restarts" in world.units["a"].reason
    world.wait(10_000)
    assert world.state() is S.GAVE_UP
    world.restart("a")
    assert world.state() is S.STARTING
    world.exit("a", 7)
    assert world.state() is S.BACKOFF, "it counts from zero again"


def test_failures_outside_the_window_are_forgotten() -> None:
    world = World(component("a", restart=Restart(window_seconds=60, give_up_after=2)))
    for _ in range(20):
        world.exit("a")
        world.wait(31)
    assert world.state() is S.STARTING


@pytest.mark.parametrize(
    ("when", "code", "state"),
    [
        ("always", 0, S.BACKOFF),
        ("always", 1, S.BACKOFF),
        ("on_failure", 0, S.EXITED),
        ("on_failure", 1, S.BACKOFF),
        ("on_failure", -9, S.BACKOFF),
        ("on_failure", None, S.BACKOFF),
        ("never", 0, S.EXITED),
        ("never", 1, S.EXITED),
    ],
)
def test_an_end_by_itself_is_judged_by_its_rule(when: str, code: int | None, state: ComponentState) -> None:
    world = World(component("a", restart=Restart.model_validate({"when": when})))
    world.exit("a", code)
    assert world.state() is state
    assert world.units["a"].reason


def test_stopping_goes_against_the_order_of_starting() -> None:
    world = World(component("a"), component("b", "a"), component("c", "b"), component("x"))
    for name in ("a", "b", "c", "x"):
        world.ready(name)
    world.log.clear()
    world.down()
    assert set(world.log) == {(Verb.STOP, "c"), (Verb.STOP, "x")}
    world.exit("c", 0)
    assert world.log[-1] == (Verb.STOP, "b")
    world.exit("b", 0)
    assert world.log[-1] == (Verb.STOP, "a")
    world.exit("a", 0)
    world.exit("x", 0)
    assert {unit.state for unit in world.units.values()} == {S.STOPPED}


def test_what_does_not_stop_in_time_is_killed_once() -> None:
    world = World(component("a"))
    world.ready("a")
    world.down()
    assert world.wait(4.9) == []
    assert [action.verb for action in world.wait(0.2)] == [Verb.KILL]
    assert world.wait(100) == []
    world.exit("a", -9)
    assert world.state() is S.STOPPED


def test_another_specification_replaces_the_process_after_it_is_gone() -> None:
    world = World(component("a"))
    world.ready("a")
    world.units["a"] = plan.applied(world.units["a"], component("a"), "v2", world.now)
    world.step()
    assert world.state() is S.STOPPING, "nobody may take the old one for the new one"
    world.exit("a", 0)
    assert (world.state(), world.units["a"].running) == (S.STARTING, "v2")
    assert world.units["a"].failures == ()


def test_the_same_specification_leaves_what_runs_alone_and_tries_anew_what_rests() -> None:
    world = World(component("a", restart=Restart(give_up_after=0)))
    world.ready("a")
    world.units["a"] = plan.applied(world.units["a"], component("a"), "v1", world.now)
    assert world.step() == []
    world.units["a"] = replace(world.units["a"], component=component("a", restart=Restart(give_up_after=0)))
    world.exit("a")
    assert world.state() is S.GAVE_UP
    world.units["a"] = plan.applied(world.units["a"], component("a"), "v1", world.now)
    world.step()
    assert world.state() is S.STARTING


def test_an_adopted_process_proves_itself_and_an_outdated_one_is_replaced() -> None:
    world = World()
    world.units = {
        "a": plan.adopted(Unit(component("a"), "v2"), "v2", world.now, 0.7),
        "b": plan.adopted(Unit(component("b"), "v2"), "v1", world.now, None),
    }
    world.alive = {"a", "b"}
    world.step()
    assert world.log == [(Verb.STOP, "b")]
    world.ready("a")
    assert (world.state("a"), world.units["a"].ready_seconds) == (S.READY, 0.7)
    world.exit("b", None)
    assert world.log[-1] == (Verb.START, "b")


def test_without_a_ready_probe_it_is_ready_once_it_runs() -> None:
    plain = component("a").model_copy(update={"ready": None, "live": None})
    world = World(plain, component("b", "a"))
    assert world.state("a") is S.READY
    assert world.log == [(Verb.START, "a"), (Verb.START, "b")]
    assert plan.next_deadline([world.units["a"]]) is None


EVENTS = ("started", "ready", "unready", "alive", "dead", "exit", "restart", "all", "stop", "wait", "replace")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(EVENTS), st.sampled_from("abcd"), st.floats(0, 30)), min_size=1, max_size=60
    ),
    st.integers(0, 10),
)
def test_in_any_order_of_events_there_is_one_process_each_and_everything_heals_and_stops(
    events: list[tuple[str, str, float]], give_up_after: int
) -> None:
    rules = Restart(give_up_after=give_up_after)
    parts = [component(*words.split(), restart=rules) for words in ("a", "b a", "c a", "d b c")]
    parts[0] = parts[0].model_copy(update={"cascade": True, "startup": PROBE})
    world = World(*parts)
    for number, (kind, name, amount) in enumerate(events):
        play(world, kind, name, amount, number)
        for unit in world.units.values():
            assert (unit.id in world.alive) == (unit.state in plan.ALIVE)
            assert (unit.running is not None) == (unit.state in plan.ALIVE)
    heal(world)
    assert {name: world.state(name) for name in "abcd"} == dict.fromkeys("abcd", S.READY)
    assert all(unit.running == unit.spec for unit in world.units.values())
    stops = drain(world)
    order = {name: number for number, name in enumerate(stops)}
    assert all(
        order[unit.id] < order[needed] for unit in world.units.values() for needed in unit.component.requires
    )


def play(world: World, kind: str, name: str, amount: float, number: int) -> None:
    match kind:
        case "ready" | "unready":
            world.ready(name, "" if kind == "ready" else "broken")
        case "started":
            world.started(name)
        case "all":
            world.restart(*world.units)
        case "stop":
            world.stop(name)
        case "alive" | "dead":
            world.live(name, "" if kind == "alive" else "broken")
        case "exit":
            if name in world.alive:
                world.exit(name, int(amount) % 3, amount / 30)
        case "restart":
            world.restart(name)
        case "replace":
            unit = world.units[name]
            world.units[name] = plan.applied(unit, unit.component, f"v{number}", world.now)
            world.step()
        case _:
            world.wait(amount)


def heal(world: World) -> None:
    """From now on everything works; what was given up is asked for again."""
    for _ in range(40):
        for name, unit in list(world.units.items()):
            if unit.state in plan.AT_REST:
                world.restart(name)
            if world.state(name) is S.STOPPING:
                world.exit(name, 0)
            world.want(name)
            world.started(name)
            world.ready(name)
            world.live(name)
        world.wait(3)


def drain(world: World) -> list[str]:
    world.log.clear()
    world.down()
    for _ in range(len(world.units)):
        for name in sorted(world.alive):
            if world.state(name) is S.STOPPING:
                world.exit(name, 0)
    assert world.alive == set()
    assert {unit.state for unit in world.units.values()} == {S.STOPPED}
    return [name for verb, name in world.log if verb is Verb.STOP]


def test_a_step_over_a_settled_snapshot_does_nothing() -> None:
    world = World(component("a"), component("b", "a"))
    world.ready("a")
    world.ready("b")
    before: Mapping[str, Unit] = dict(world.units)
    after, actions = plan.step(before, world.now + 100)
    assert (after, actions) == (before, [])
