"""The seven ways in which users saw another supervisor get readiness wrong; cascades and groups.

Each is a scenario over the plan; those that hang on real processes are played by a real daemon too.
"""

from __future__ import annotations

import os
import signal

import pytest
from tests.unit.supervisor.conftest import Instance, until
from tests.unit.supervisor.world import PROBE, World, component

from ripple.model.component import ComponentState, Restart
from ripple.supervisor import plan
from ripple.supervisor.plan import Verb

S = ComponentState


def test_a_ready_probe_that_never_passes_leads_to_restarts_not_to_the_end() -> None:
    world = World(component("a"))
    for round_ in range(1, 30):
        world.ready("a", "connection refused")
        world.wait(10)
        assert world.log[-1] == (Verb.STOP, "a")
        assert "not ready within 10 s: connection refused" in world.units["a"].reason
        world.exit("a", -15)
        assert world.state() is S.BACKOFF
        world.wait(10)
        assert world.state() is S.STARTING
        assert world.units["a"].restarts == round_
    world.ready("a")
    assert world.state() is S.READY


def test_a_restart_asked_for_while_a_failed_start_ends_is_heard() -> None:
    world = World(component("a", restart=Restart(when="never")))
    world.ready("a", "connection refused")
    world.wait(10)
    assert world.state() is S.STOPPING
    world.restart("a")
    world.exit("a", -15)
    assert world.state() is S.STARTING, "nobody said that it shall rest"
    assert world.units["a"].failures == ()


def test_a_restart_of_what_is_required_completes_nobody() -> None:
    parts = (component("a"), component("b", "a"), component("c", "a", restart=Restart(when="on_failure")))
    world = World(*parts, component("late", "b"))
    world.ready("a")
    world.ready("c")
    world.restart("a")
    world.exit("a", 0)
    assert (world.state("b"), world.state("c"), world.state("late")) == (S.STARTING, S.READY, S.WAITING)
    world.ready("a")
    assert world.alive == {"a", "b", "c"}
    world.ready("b")
    assert world.log[-1] == (Verb.START, "late")


def test_a_failing_live_probe_restarts_once() -> None:
    world = World(component("a"))
    world.ready("a")
    for _ in range(12):
        world.live("a", "no answer")
    assert world.log == [(Verb.START, "a"), (Verb.STOP, "a")]
    assert "no answer" in world.units["a"].reason
    world.exit("a", 0)
    assert world.state() is S.BACKOFF
    world.wait(1)
    assert world.log[2:] == [(Verb.START, "a")]
    assert world.units["a"].restarts == 1


def test_a_restart_asked_for_while_it_waits_starts_nothing_twice() -> None:
    world = World(component("a"), component("b", "a"))
    world.restart("b")
    assert world.state("b") is S.WAITING
    world.ready("a")
    assert [entry for entry in world.log if entry[1] == "b"] == [(Verb.START, "b")]


def test_ready_that_is_lost_is_seen_and_comes_back_without_a_restart() -> None:
    world = World(component("a"))
    world.ready("a")
    world.wait(100)
    world.ready("a", "answered 503")
    world.ready("a", "answered 503")
    assert world.state() is S.READY, "two misses are not three"
    world.ready("a", "answered 503")
    lost = world.now
    assert (world.state(), world.units["a"].since) == (S.UNREADY, lost)
    assert "answered 503" in world.units["a"].reason
    world.wait(1000)
    world.ready("a", "answered 503")
    assert (world.state(), world.units["a"].since) == (S.UNREADY, lost)
    world.ready("a")
    assert (world.state(), world.units["a"].reason, world.units["a"].since) == (S.READY, "", world.now)
    assert world.log == [(Verb.START, "a")]


def test_a_late_dependent_starts_after_a_transient_loss() -> None:
    world = World(component("a"), component("b"), component("c", "a", "b"))
    world.ready("a")
    world.exit("a")
    world.ready("b")
    assert world.state("c") is S.WAITING
    assert plan.waits_for(world.units["c"], world.units) == ["a"]
    assert plan.why_waiting(world.units["c"], world.units) == (
        "waits for a, which is backoff: it exited with status 1"
    )
    world.wait(1)
    world.ready("a")
    assert world.log[-1] == (Verb.START, "c")


def test_starting_has_a_limit_of_its_own_that_live_probes_do_not_touch() -> None:
    world = World(component("a"))
    for _ in range(20):
        world.live("a", "refused")
    assert world.state() is S.STARTING
    world.wait(9.9)
    assert world.state() is S.STARTING
    world.wait(0.2)
    assert world.state() is S.STOPPING


def test_once_started_no_limit_runs_until_it_is_ready() -> None:
    world = World(component("a", startup=PROBE), component("b", "a"))
    world.ready("a")
    world.live("a", "refused")
    assert world.state() is S.STARTING, "before it has started nothing else counts"
    world.started("a", "no such file")
    assert world.units["a"].reason == "not started: no such file"
    world.started("a")
    assert (world.state(), world.state("b")) == (S.UNREADY, S.WAITING)
    world.wait(1000)
    assert world.state() is S.UNREADY, "having started is not being ready, and takes as long as it takes"
    world.ready("a")
    assert (world.state(), world.units["a"].ready_seconds) == (S.READY, 1000)
    assert world.log[-1] == (Verb.START, "b")


def test_what_does_not_start_in_time_is_a_failure_that_names_its_last_answer() -> None:
    world = World(component("a", startup=PROBE))
    world.started("a", "no such file")
    world.wait(10)
    assert world.log[-1] == (Verb.STOP, "a")
    assert world.units["a"].reason == "not started within 10 s: no such file"
    world.exit("a")
    assert world.state() is S.BACKOFF


def test_a_started_component_that_is_not_alive_is_restarted_though_it_was_never_ready() -> None:
    world = World(component("a", startup=PROBE))
    world.started("a")
    for _ in range(3):
        world.live("a", "no answer")
    assert world.log[-1] == (Verb.STOP, "a")


def test_a_startup_probe_alone_makes_it_ready() -> None:
    world = World(component("a", startup=PROBE, ready=None))
    world.wait(2)
    world.started("a")
    assert (world.state(), world.units["a"].ready_seconds) == (S.READY, 2)


def test_cascade_restarts_what_ran_before_and_only_that() -> None:
    world = World(component("a", cascade=True), component("b", "a"), component("c", "b"), component("x"))
    for name in ("a", "b", "c", "x"):
        world.ready(name)
    world.log.clear()
    world.exit("a")
    assert world.log == [], "what it lost is not back yet"
    world.wait(1)
    assert world.log == [(Verb.START, "a"), (Verb.STOP, "b")]
    assert "a, which it requires, was started again" in world.units["b"].reason
    world.exit("b", 0)
    assert (world.state("b"), plan.waits_for(world.units["b"], world.units)) == (S.WAITING, ["a"])
    world.ready("a")
    world.ready("b")
    assert world.log == [(Verb.START, "a"), (Verb.STOP, "b"), (Verb.START, "b")]
    assert world.units["b"].failures == ()
    assert world.state("c") is S.READY


def test_cascade_restarts_an_adopted_dependent_of_what_was_not_adopted() -> None:
    world = World()
    a, b = component("a", cascade=True), component("b", "a")
    world.units = {"a": plan.Unit(a, "v1"), "b": plan.adopted(plan.Unit(b, "v1"), "v1", world.now, None)}
    world.alive = {"b"}
    world.step()
    assert world.log == [(Verb.START, "a"), (Verb.STOP, "b")]
    both = {name: plan.adopted(plan.Unit(row, "v1"), "v1", world.now, None) for name, row in (("a", a), ("b", b))}
    world.units, world.alive, world.log = both, {"a", "b"}, []
    world.step()
    assert world.log == []


def test_what_waits_by_itself_is_not_restarted_for_the_process_it_waited_for() -> None:
    world = World(component("b", "a", waits_itself=True), component("a", cascade=True))
    world.ready("a")
    world.ready("b")
    assert world.log == [(Verb.START, "b"), (Verb.START, "a")]
    world.exit("a")
    world.wait(1)
    assert world.log[-1] == (Verb.STOP, "b")


def test_a_group_restarts_from_its_end_and_each_waits_for_what_it_requires() -> None:
    world = World(component("a"), component("b", "a"), component("c", "b"))
    for name in "abc":
        world.ready(name)
    world.log.clear()
    world.restart("a", "b", "c")
    assert world.log == [(Verb.STOP, "c")]
    world.exit("c", 0)
    assert plan.why_waiting(world.units["c"], world.units).startswith("waits for b, which is stopping")
    world.exit("b", 0)
    world.exit("a", 0)
    for name in "abc":
        world.ready(name)
    verbs = [(Verb.STOP, "c"), (Verb.STOP, "b"), (Verb.STOP, "a")]
    assert world.log == [*verbs, (Verb.START, "a"), (Verb.START, "b"), (Verb.START, "c")]
    assert {unit.restarts for unit in world.units.values()} == {1}


def test_a_stopped_group_stays_so_until_it_is_wanted_and_what_requires_it_waits() -> None:
    world = World(component("a"), component("b", "a"), component("late", "a", "x"), component("x"))
    world.ready("a")
    world.ready("b")
    world.stop("a")
    world.exit("a", 0)
    world.ready("x")
    assert (world.state("a"), world.state("b"), world.state("late")) == (S.STOPPED, S.READY, S.WAITING)
    assert plan.why_waiting(world.units["late"], world.units) == "waits for a, which is stopped"
    world.wait(1000)
    assert world.state("a") is S.STOPPED
    world.want("a", "b")
    world.ready("a")
    assert world.log[-1] == (Verb.START, "late")
    assert world.log.count((Verb.START, "b")) == 1


@pytest.mark.parametrize("waits", [True, False], ids=["while it waits for its dependent", "while it stops"])
def test_a_restart_asked_for_while_a_group_is_being_stopped_is_heard(waits: bool) -> None:
    world = World(component("a"), component("b", "a"))
    world.ready("a")
    world.ready("b")
    world.stop("a", "b")
    if not waits:
        world.exit("b", 0)
        assert world.state("a") is S.STOPPING
    world.restart("a")
    if waits:
        world.exit("b", 0)
    world.exit("a", 0)
    assert (world.state("a"), world.state("b")) == (S.STARTING, S.STOPPED)
    assert world.log.count((Verb.START, "a")) == 2


def test_a_real_restart_of_what_is_required_leaves_its_dependents_running(instance: Instance) -> None:
    instance.write(instance.row("one"), instance.row("two", requires=["one"], restart={"when": "on_failure"}))
    instance.up()
    one, two = instance.of("one").pid, instance.of("two").pid
    instance.call(lambda client: client.restart("one"))
    until(lambda: instance.of("one").pid not in (None, one), "a new process")
    instance.call(lambda client: client.wait(["one", "two"], S.READY, 10))
    assert instance.of("two").pid == two


def test_a_real_cascade_restarts_the_dependent_once(instance: Instance) -> None:
    instance.write(instance.row("one", cascade=True), instance.row("two", requires=["one"]))
    instance.up()
    os.kill(instance.of("one").pid or 0, signal.SIGKILL)
    until(lambda: len(instance.starts("two")) == 2, "its second start")
    instance.call(lambda client: client.wait(["one", "two"], S.READY, 10))
    assert [instance.of(name).restarts for name in ("one", "two")] == [1, 1]
    assert len(instance.starts("two")) == 2


def test_a_real_startup_probe_comes_first_and_has_the_limit(instance: Instance) -> None:
    flag = instance.root / "flag"
    startup = {"kind": "file", "target": str(flag)}
    instance.write(instance.row("one", startup=startup, startup_seconds=3), instance.row("two", requires=["one"]))
    instance.up(ready=False)
    until(lambda: instance.of("one").restarts >= 1, "it is started again")
    assert f"there is no {flag}" in instance.call(lambda client: client.logs("supervisor", 200))
    (instance.folder("one") / "sick").touch()
    flag.touch()
    until(lambda: instance.of("one").state is S.UNREADY, "it has started")
    told = instance.of("two")
    assert (told.waiting_for, told.reason.startswith("waits for one, which is unready")) == (["one"], True)
    pid = instance.of("one").pid
    (instance.folder("one") / "sick").unlink()
    instance.call(lambda client: client.wait(["one", "two"], S.READY, 10))
    assert instance.of("one").pid == pid


def test_readiness_that_is_really_lost_says_since_when_and_why(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    before = instance.of("one")
    (instance.folder("one") / "sick").touch()
    until(lambda: instance.of("one").state is S.UNREADY, "it is seen")
    until(lambda: "503" in instance.of("one").reason, "it says why")
    lost = instance.of("one")
    assert lost.since > before.since
    assert (lost.pid, lost.state) == (before.pid, S.UNREADY)


def test_a_real_group_stops_starts_and_restarts_alone(instance: Instance) -> None:
    rows = [
        instance.row("one", group="back"),
        instance.row("two", group="back", requires=["one"]),
        instance.row("three"),
    ]
    instance.write(*rows)
    instance.up()
    three = instance.of("three").pid
    instance.call(lambda client: client.stop("back"))
    states = {one.id: (one.state, one.pid) for one in instance.status().components}
    assert states == {"one": (S.STOPPED, None), "two": (S.STOPPED, None), "three": (S.READY, three)}
    instance.up()
    assert [len(instance.starts(name)) for name in ("one", "two", "three")] == [2, 2, 1]
    instance.call(lambda client: client.restart_group("back"))
    until(lambda: [len(instance.starts(name)) for name in ("one", "two")] == [3, 3], "both start again")
    instance.call(lambda client: client.wait(["one", "two"], S.READY, 10))
    assert instance.of("three").pid == three
