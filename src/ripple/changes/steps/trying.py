"""Step 4: turn answers into trees, run the application's own checks on each, and tell survivors apart.

- An answer that cannot be applied, or touches what policy protects, is spoiled.
- A tree whose build or tests fail, its own or the base commit's, is refuted.
- Trees that survive are the vote. When they differ, the same generated inputs are run through each of them, and
  tests written by another lineage of model; what they did is their behaviour, and equal behaviour is one cluster.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.apply import apply_answer, canonical_change
from ripple.changes.behaviour import compare_trees
from ripple.changes.candidates import candidate_of, candidate_row
from ripple.changes.steps.crossexam import Examination, cross_examine
from ripple.changes.steps.ground import Ground, ground_of, placed_tree, toolchain_for, tree_folder
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.changes.trial import Trial, run_trial
from ripple.delivery.repository import Repository
from ripple.delivery.toolchain import Toolchain
from ripple.model.candidate import Answer, Candidate, Standing
from ripple.model.change import ChangeKind, StepName
from ripple.model.errors import Invalid, RippleError, Unavailable

AT_ONCE = 2
"""Trees that are made or tried at once: each runs a test suite, and a laptop has two to four cores to spare."""
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


async def try_candidates(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Give every candidate its standing; the step itself only fails when nothing can be tried at all."""
    change = context.change
    ground = await ground_of(rooms, change)
    toolchain = await toolchain_for(rooms, ground.folder, ground.manifest)
    rows = [candidate_of(row) for row in await rooms.journal.candidates(change["id"])]
    placed = await _placed(rooms, change, ground, rows)
    trees = {one.tree: tree_folder(rooms, change, one.tree) for one in placed if one.answer and one.tree}
    with context.watch.outside():
        trials = await _trials(rooms, ground, toolchain, trees)
    judged = [_judged(one, trials) for one in placed]
    judged, apart = await _behaviours(rooms, context, ground, toolchain, judged)
    await rooms.journal.put_candidates(change["id"], *map(candidate_row, judged))
    outputs = {
        "trees": {tree: _trial_row(trial) for tree, trial in trials.items()},
        "standings": {one.model: one.standing.value for one in judged},
        "distinguishing": apart,
    }
    return StepOutcome(inputs={"candidates": [row.model for row in rows]}, outputs=outputs)


@dataclass(frozen=True)
class _Bench:
    """What the answers of one change are applied with; ``seen`` is the commit the models saw, in ``folder``."""

    rooms: Rooms
    change: Mapping[str, Any]
    ground: Ground
    repository: Repository
    seen: str
    folder: Path


async def _bench(rooms: Rooms, change: Mapping[str, Any], ground: Ground) -> _Bench:
    repository = await rooms.repository(change)
    seen = (await rooms.journal.step(change["id"], StepName.CONTEXT) or {})["inputs"]["base_commit"]
    folder = ground.folder
    if seen != change["base_commit"]:
        folder = rooms.folder(change) / "authored"
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
        await repository.checkout(seen, folder)
    return _Bench(rooms, change, ground, repository, seen, folder)


async def _placed(
    rooms: Rooms, change: Mapping[str, Any], ground: Ground, rows: list[Candidate]
) -> list[Candidate]:
    """The candidates with their trees, in their order. Answers that edit alike are made once, a few at a time."""
    bench = await _bench(rooms, change, ground)
    edits = {row.model: json.dumps({**row.answer, "summary": ""}, sort_keys=True) for row in rows if row.answer}
    firsts = {edits[row.model]: row for row in reversed(rows) if row.answer}
    made = await _gathered({same: partial(_made, bench, row) for same, row in firsts.items()})
    for tree in sorted({one["tree"] for one in made.values() if one["tree"]}):
        await placed_tree(rooms, change, tree)
    return [replace(row, **made[edits[row.model]]) if row.answer else row for row in rows]


async def _made(bench: _Bench, row: Candidate) -> dict[str, Any]:
    """What an answer makes of every candidate that gave it: its tree, or spoiled and why it cannot have one."""
    try:
        answer = Answer.model_validate(row.answer)
        tree, canonical = await _tree_of(bench, answer)
        diff = await bench.repository.diff(bench.change["base_commit"], tree)
    except RippleError as error:
        if error.retryable:
            raise
        return _spoiled(error)
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(
                f"cannot write the candidate of {row.model}: {error}; free some disk space"
            ) from error
        return _spoiled(error)
    except ValueError as error:
        return _spoiled(error)
    return {"standing": Standing.COUNTED, "reasons": (), "tree": tree, "diff": diff, "canonical": canonical}


def _spoiled(error: Exception) -> dict[str, Any]:
    return {"standing": Standing.SPOILED, "reasons": (f"its edits cannot be used: {error}",), "tree": None}


async def _tree_of(bench: _Bench, answer: Answer) -> tuple[str, str | None]:
    """The tree the answer makes, and for configuration the digest of what it changes.

    An answer is applied to the commit its model saw. When the branch has moved since, the result is merged onto
    the new base three-way, so an answer that rewrites a whole file cannot wipe out what came in between.
    """
    change, repository = bench.change, bench.repository
    async with anyio.TemporaryDirectory(prefix="scratch-", dir=str(bench.rooms.folder(change))) as place:
        scratch = Path(place) / "tree"
        await anyio.to_thread.run_sync(partial(shutil.copytree, bench.folder, scratch, symlinks=True))
        paths = await anyio.to_thread.run_sync(apply_answer, scratch, answer, bench.ground.manifest)
        await _allowed(bench, paths)
        of_config = change["kind"] == ChangeKind.CONFIG
        canonical = canonical_change(bench.folder, scratch, paths) if of_config else None
        tree = await repository.write_tree(scratch, bench.seen)
    if bench.seen != change["base_commit"]:
        tree = await repository.rebase_tree(tree, bench.seen, change["base_commit"])
    if tree == await repository.tree_of(change["base_commit"]):
        raise Invalid(f"commit {change['base_commit'][:12]} holds all of this already, so there is nothing to do")
    return tree, canonical


async def _allowed(bench: _Bench, paths: tuple[str, ...]) -> None:
    change = bench.change
    asked = {"paths": list(paths), "kind": change["kind"], **bench.ground.guarded}
    await bench.rooms.governor.require(
        WORKER, "ripple/edits", asked, action="candidate.edit", resource=f"change/{change['id']}",
        trace_id=change["trace_id"],
    )  # fmt: skip


async def _trials(
    rooms: Rooms, ground: Ground, toolchain: Toolchain, trees: Mapping[str, Path]
) -> dict[str, Trial]:
    """Each distinct tree's own checks, a few trees at a time."""

    async def run(folder: Path) -> Trial:
        return await run_trial(rooms.sandbox, folder, ground.folder, ground.manifest, toolchain)

    return await _gathered({tree: partial(run, folder) for tree, folder in trees.items()})


async def _gathered(wanted: Mapping[_Key, Callable[[], Awaitable[_Value]]]) -> dict[_Key, _Value]:
    """What each call answers, in the order they are given; a few run at once, and the first error ends all."""
    found: dict[_Key, _Value] = {}
    places = anyio.CapacityLimiter(AT_ONCE)

    async def run(key: _Key, call: Callable[[], Awaitable[_Value]]) -> None:
        async with places:
            found[key] = await call()

    try:
        async with anyio.create_task_group() as group:
            for key, call in wanted.items():
                group.start_soon(run, key, call)
    except BaseExceptionGroup as error:
        raise error.exceptions[0] from error  # what failed, and whether it may be tried again, is told by its type
    return {key: found[key] for key in wanted}


def _judged(one: Candidate, trials: Mapping[str, Trial]) -> Candidate:
    if one.standing is not Standing.COUNTED or one.tree is None:
        return one
    trial = trials[one.tree]
    return one if trial.ok else replace(one, standing=Standing.REFUTED, reasons=tuple(trial.reasons))


async def _behaviours(
    rooms: Rooms, context: StepContext, ground: Ground, toolchain: Toolchain, judged: list[Candidate]
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Survivors with the digest of what their trees do; nothing to do when there is one tree or configuration."""
    change = context.change
    kept = [one for one in judged if one.standing is Standing.COUNTED]
    survivors = {one.tree: tree_folder(rooms, change, one.tree) for one in kept if one.tree}
    if len(survivors) < 2 or change["kind"] == ChangeKind.CONFIG:
        return judged, []
    with context.watch.outside():
        found = await compare_trees(rooms.sandbox, ground.folder, survivors, toolchain)
        found = await cross_examine(rooms, Examination(change, ground, toolchain, survivors, kept), found)
    named = [
        replace(one, behaviour=found.behaviour.get(one.tree)) if one in kept and one.tree else one
        for one in judged
    ]
    return named, list(found.distinguishing)


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {"ok": trial.ok, "reasons": list(trial.reasons), "commands": trial.as_rows()}
