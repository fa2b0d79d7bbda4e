"""The phases and their tasks: complete, without a circle; a failure stops what comes after it and nothing else."""

from __future__ import annotations

import pytest

from ripple.model.errors import Invalid, NotFound
from ripple.stack.phases import GRAPH, ORDER, Action, Phase, Plan, Task, load_plan, make_plan, mermaid
from ripple.stack.root import project_root

MANIFESTS = project_root() / "manifests"


@pytest.fixture
def plan() -> Plan:
    return load_plan(MANIFESTS)


def test_the_phases_are_p0_to_p6_and_the_binary_last_and_each_has_tasks(plan: Plan) -> None:
    assert tuple(phase.id for phase in plan.phases) == ORDER
    assert {task.phase for task in plan.tasks} == set(ORDER)
    assert [task.phase for task in plan.part()] == sorted((task.phase for task in plan.tasks), key=ORDER.index)


def test_freezing_images_comes_after_merging_them(plan: Plan) -> None:
    tasks = {task.id: task for task in plan.tasks}
    assert "task-P1-merge-oci-images" in tasks["task-P1-oci-freeze-real"].needs
    order = [task.id for task in plan.part()]
    assert order.index("task-P1-merge-oci-images") < order.index("task-P1-oci-freeze-real")


def test_every_task_has_an_action_of_its_own_and_every_action_a_task(plan: Plan) -> None:
    assert sorted(task.action for task in plan.tasks) == sorted(Action)


def test_the_picture_is_what_the_graph_makes(plan: Plan) -> None:
    assert (MANIFESTS / GRAPH).read_text() == mermaid(plan)
    moved = make_plan(plan.phases, tuple(task for task in plan.tasks if task.id != "task-P3-objects"))
    assert mermaid(moved) != mermaid(plan)


def test_a_failed_task_stops_what_needs_it_and_later_phases_but_not_its_siblings(plan: Plan) -> None:
    tasks = {task.id: task for task in plan.tasks}
    failed = ["task-P1-merge-oci-images"]
    assert "task-P1-merge-oci-images" in plan.blocked(tasks["task-P1-oci-freeze-real"], failed)
    assert plan.blocked(tasks["task-P1-freeze-docs"], failed) == ""
    assert plan.blocked(tasks["task-P2-reconciler"], failed) == "P1 did not pass"
    assert plan.blocked(tasks["task-WSL-binary"], failed) == "P1 did not pass"
    assert all(plan.blocked(task, []) == "" for task in plan.tasks)


def test_a_part_is_the_phases_between_two_names(plan: Plan) -> None:
    assert {task.phase for task in plan.part("P1", "P3")} == {"P1", "P2", "P3"}
    with pytest.raises(NotFound, match="P9"):
        plan.part("P9")
    with pytest.raises(Invalid, match="comes after"):
        plan.part("P3", "P1")


def phases() -> tuple[Phase, ...]:
    return tuple(
        Phase(id=name, title=name, what=name, needs=ORDER[number - 1 : number] if number else ())
        for number, name in enumerate(ORDER)
    )


def task(name: str, phase: str, *needs: str) -> Task:
    return Task(id=f"task-{name}", phase=phase, title=name, action=Action.TREE_CLEAN, needs=needs)


def tasks() -> tuple[Task, ...]:
    return tuple(task(name, name) for name in ORDER)


@pytest.mark.parametrize(
    ("phase_rows", "task_rows", "why"),
    [
        (phases()[:-1], tasks(), "must list"),
        ((*phases()[1:], phases()[0]), tasks(), "must list"),
        ((phases()[0].model_copy(update={"needs": ("P1",)}), *phases()[1:]), tasks(), "circle"),
        (phases(), tasks()[:-1], "phases without a task"),
        (phases(), (*tasks(), task("more", "P9")), "unknown phases"),
        (phases(), (*tasks(), task("P0", "P1")), "twice"),
        (phases(), (*tasks(), task("more", "P1", "task-nowhere")), "does not have"),
        (phases(), (*tasks(), task("early", "P1", "task-P3")), "later phase"),
        (phases(), (*tasks(), task("a", "P1", "task-b"), task("b", "P1", "task-a")), "circle"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(
    phase_rows: tuple[Phase, ...], task_rows: tuple[Task, ...], why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        make_plan(phase_rows, task_rows)
