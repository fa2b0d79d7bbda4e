"""The phases of building a whole system, and their tasks: ``build_phases.json`` and ``task_graph.json``. Pure.

- Phases go in one order, P0 to P6, and the Windows binary last (Spec, diagram).
- A task starts when those it needs passed, and every phase its own phase needs passed whole.
- A task that fails stops what needs it and every later phase; its siblings still run.
"""

from __future__ import annotations

import enum
import graphlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ripple.model.errors import Invalid, NotFound
from ripple.stack.load import load_manifest, parse

PHASES, TASKS, GRAPH = "build_phases.json", "task_graph.json", "task_graph.mmd"
ORDER = ("P0", "P1", "P2", "P3", "P4", "P5", "P6", "WSL")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Action(enum.StrEnum):
    """What a task may do. Each looks at the real thing and says no when it cannot."""

    TREE_CLEAN = "tree.clean"
    MAP_CHECK = "map.check"
    TOOLS_VERIFY = "tools.verify"
    LOCK_CHECK = "lock.check"
    DOCUMENTS_CHECK = "documents.check"
    IMAGES_MERGE = "images.merge"
    IMAGES_FREEZE = "images.freeze"
    RECONCILER_HEALTHY = "reconciler.healthy"
    RECORDS_MIGRATED = "records.migrated"
    OBJECTS_KEEP = "objects.keep"
    AUDIT_WHOLE = "audit.whole"
    MODELS_LISTED = "models.listed"
    MODELS_ANSWER = "models.answer"
    FLOW_COMPLETE = "flow.complete"
    SYSTEMS_PROVEN = "systems.proven"
    PROMOTION_RECORDED = "promotion.recorded"
    EVIDENCE_HOLDS = "evidence.holds"
    BINARY_BUILD = "binary.build"


class Phase(_Row):
    """One phase."""

    id: str
    title: str
    what: str
    needs: tuple[str, ...] = ()


class PhasesFile(_Row):
    """``manifests/build_phases.json``."""

    schema_: str = Field(default="", alias="$schema")
    description: str = ""
    phases: tuple[Phase, ...]


class Task(_Row):
    """One task of a phase."""

    id: str = Field(pattern=r"^task-[A-Za-z0-9-]+$")
    phase: str
    title: str
    action: Action
    needs: tuple[str, ...] = ()
    timeout_seconds: float = Field(default=120.0, gt=0, le=7200)


class TasksFile(_Row):
    """``manifests/task_graph.json``."""

    schema_: str = Field(default="", alias="$schema")
    description: str = ""
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Plan:
    """Phases in order and tasks, each after what it needs."""

    phases: tuple[Phase, ...]
    tasks: tuple[Task, ...]

    def part(self, first: str = ORDER[0], last: str = ORDER[-1]) -> tuple[Task, ...]:
        """The tasks of the phases from ``first`` to ``last``, both included.

        Raises:
            NotFound: there is no such phase.
            Invalid: ``first`` comes after ``last``.
        """
        names = [phase.id for phase in self.phases]
        for name in (first, last):
            if name not in names:
                raise NotFound(f"no phase {name!r}; there are: {', '.join(names)}")
        if names.index(first) > names.index(last):
            raise Invalid(f"{first} comes after {last}; the order is {', '.join(names)}")
        chosen = names[names.index(first) : names.index(last) + 1]
        return tuple(task for name in chosen for task in self.tasks if task.phase == name)

    def outside(self, task: Task, first: str) -> tuple[str, ...]:
        """The phases that ``task``'s own needs and that a run from ``first`` on leaves out, the nearest first."""
        needed = _all_before({phase.id: phase.needs for phase in self.phases}, task.phase)
        return tuple(name for name in reversed(ORDER[: ORDER.index(first)]) if name in needed)

    def blocked(self, task: Task, failed: Iterable[str]) -> str:
        """Why ``task`` may not start after ``failed`` tasks did; empty when it may."""
        lost = set(failed)
        phases = {one.phase for one in self.tasks if one.id in lost}
        before = _all_before({phase.id: phase.needs for phase in self.phases}, task.phase)
        stopped = sorted(phases & before)
        if stopped:
            return f"{', '.join(stopped)} did not pass"
        needed = _all_before({one.id: one.needs for one in self.tasks}, task.id) & lost
        return f"{', '.join(sorted(needed))} did not pass" if needed else ""


def load_plan(manifests: Path) -> Plan:
    """Both files, checked against each other.

    Raises:
        Invalid: a phase is missing or out of order, a name is unknown, or something needs itself in a circle.
    """
    phases = parse(PhasesFile, load_manifest(manifests / PHASES), str(manifests / PHASES)).phases
    tasks = parse(TasksFile, load_manifest(manifests / TASKS), str(manifests / TASKS)).tasks
    return make_plan(phases, tasks)


def make_plan(phases: tuple[Phase, ...], tasks: tuple[Task, ...]) -> Plan:
    """The plan, once it is complete and has no circle."""
    if tuple(phase.id for phase in phases) != ORDER:
        raise Invalid(f"{PHASES} must list {', '.join(ORDER)}, in this order")
    sorted_phases = _sorted({phase.id: phase.needs for phase in phases}, PHASES)
    if [ORDER.index(name) for name in sorted_phases] != sorted(ORDER.index(name) for name in sorted_phases):
        raise Invalid(f"{PHASES}: a phase needs one that comes after it")
    known = {task.id: task for task in tasks}
    if len(known) != len(tasks):
        raise Invalid(f"{TASKS} has a task twice")
    empty = [name for name in ORDER if name not in {task.phase for task in tasks}]
    unknown = sorted({task.phase for task in tasks} - set(ORDER))
    if empty or unknown:
        raise Invalid(f"{TASKS}: phases without a task: {empty}; unknown phases: {unknown}")
    order = _sorted({task.id: task.needs for task in tasks}, TASKS)
    for task in tasks:
        later = [name for name in task.needs if ORDER.index(known[name].phase) > ORDER.index(task.phase)]
        if later:
            raise Invalid(f"{TASKS}: {task.id} needs {later[0]}, which is in a later phase")
    return Plan(phases, tuple(known[name] for name in order))


def mermaid(plan: Plan) -> str:
    """``manifests/task_graph.mmd``: a box a phase, an arrow from what is needed."""
    lines = ["%% generated by ./ripple stack generate; do not edit", "flowchart TD"]
    for phase in plan.phases:
        lines.append(f'    subgraph {phase.id}["{phase.id}: {phase.title}"]')
        lines += [f'        {task.id}["{task.title}"]' for task in plan.tasks if task.phase == phase.id]
        lines.append("    end")
    lines += [f"    {before} --> {phase.id}" for phase in plan.phases for before in phase.needs]
    lines += [f"    {before} --> {task.id}" for task in plan.tasks for before in task.needs]
    return "\n".join(lines) + "\n"


def _sorted(needs: Mapping[str, tuple[str, ...]], where: str) -> list[str]:
    missing = sorted({name for found in needs.values() for name in found} - set(needs))
    if missing:
        raise Invalid(f"{where} needs {', '.join(missing)}, which it does not have")
    try:
        return list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        raise Invalid(f"{where} has a circle: {' → '.join(error.args[1])}") from error


def _all_before(needs: Mapping[str, tuple[str, ...]], name: str) -> set[str]:
    found: set[str] = set()
    waiting = list(needs.get(name, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += needs.get(one, ())
    return found
