"""Tell trees apart by what they do: the same inputs run through the functions in which they differ.

- Functions that differ between the trees, and those that call them, get the calls the base's tests make, their
  neighbours, and generated ones (``inputs.py``); every tree performs them in the sandbox (``replay.py``), twice.
- What a tree does differently from one run to the next is left out.
- A difference that no call reached counts as it is written: trees with equal outcomes share a behaviour only when
  every statement that only some of them have was really run, or is the same. When nothing could be compared, no
  tree has a behaviour, and they stay apart.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ripple.changes.replay import Replayed, Runner, plan_calls
from ripple.changes.shown import shown_call
from ripple.changes.sources import (
    Difference,
    Pool,
    Target,
    Tree,
    callers,
    differences,
    is_test,
    literals,
    mentions,
    nodes_of,
)
from ripple.delivery.toolchain import Toolchain
from ripple.model.digest import digest_bytes, digest_json
from ripple.planes.sandbox import Sandbox

MAX_TARGETS, MAX_DEPTH, MAX_EXAMPLES, MAX_PER_FUNCTION = 12, 4, 10, 4
MAX_NUMBERS, MAX_TEXTS = 40, 40
SHOWN_CHARACTERS = 300
UNCALLED = "cannot be called"


@dataclass(frozen=True)
class Comparison:
    """What trees were seen to do.

    ``behaviour`` maps a tree's hash to the digest of its behaviour; a tree without one could not be compared.
    ``distinguishing`` holds the inputs that told trees apart, simplest first: ``{function, input, outcomes}`` with
    an outcome for each tree.
    """

    behaviour: Mapping[str, str] = field(default_factory=dict)
    distinguishing: list[dict[str, Any]] = field(default_factory=list)

    def with_test(self, name: str, outcomes: Mapping[str, str]) -> Comparison:
        """The same with what a written test did on each tree: it can part trees, never bring them together."""
        behaviour = {
            tree: digest_json({"behaviour": digest, "test": name, "outcome": outcomes.get(tree)})
            for tree, digest in self.behaviour.items()
        }
        parted = len(set(outcomes.values())) > 1
        example = {
            "function": name,
            "input": "",
            "outcomes": {tree: _short(said) for tree, said in outcomes.items()},
        }
        return Comparison(behaviour, [*self.distinguishing, *([example] if parted else [])])


async def compare_trees(
    sandbox: Sandbox, base: Path, survivors: Mapping[str, Path], toolchain: Toolchain
) -> Comparison:
    """What each of ``survivors`` (tree hash → folder) does where they differ; ``base`` is what they came from.

    Raises:
        Refused: the sandbox this needs is not available here.
        Unavailable: the sandbox failed.
    """
    origin, trees = await asyncio.to_thread(_parsed, base, survivors)
    differing = await asyncio.to_thread(differences, trees)
    if not differing:
        return Comparison(dict.fromkeys(trees, digest_json({"outcomes": [], "written": {}})))
    targets = await asyncio.to_thread(_targets, origin, trees, differing)
    if not targets:
        return Comparison()
    runner = Runner(sandbox, toolchain)
    recorded = await runner.record(origin, targets) if any(map(is_test, origin.modules)) else {}
    calls = await plan_calls(targets, recorded, _pool(origin, trees, differing, targets))
    files = sorted({one.file for one in targets} | {one.file for one in differing})
    seen = await _replayed(runner, trees, calls, files)
    return _compared(trees, differing, calls, seen)


def _parsed(base: Path, survivors: Mapping[str, Path]) -> tuple[Tree, dict[str, Tree]]:
    return Tree(base), {name: Tree(folder) for name, folder in sorted(survivors.items())}


def _targets(origin: Tree, trees: Mapping[str, Tree], differing: Sequence[Difference]) -> list[Target]:
    """What to call: functions that differ and their callers, as far as every tree can be called the same way.

    Callers of callers are looked for only while there is nothing to call.
    """
    changed = [(one.file, one.name) for one in differing if one.name]
    layer = changed
    found = [one for key in changed if (one := _target(origin, trees, key, differs=True)) is not None]
    seen = set(changed)
    for depth in range(MAX_DEPTH):
        if depth and found:
            break
        near = {key for tree in (origin, *trees.values()) for key in callers(tree, layer)} - seen
        layer, seen = sorted(near), seen | near
        found += [one for key in layer if (one := _target(origin, trees, key, differs=False)) is not None]
    return found[:MAX_TARGETS]


def _target(origin: Tree, trees: Mapping[str, Tree], key: tuple[str, str], *, differs: bool) -> Target | None:
    file, name = key
    home = origin if key in origin.names else trees[min(trees)]
    module = home.module_name(file)
    if module is None or not all(_callable_as(home, tree, file, name) for tree in trees.values()):
        return None
    return Target(f"{module}:{name}", file, name, str(home.root), differs)


def _callable_as(home: Tree, tree: Tree, file: str, name: str) -> bool:
    """Whether ``tree`` has the function and takes the same parameters, or more that may be left out."""
    mine, other = home.units.get((file, name)), tree.units.get((file, name))
    if mine is None or mine.node is None or other is None or other.node is None:
        return False
    ours, more = mine.node.args, other.node.args
    positional = [[one.arg for one in (*given.posonlyargs, *given.args)] for given in (ours, more)]
    extra = len(positional[1]) - len(positional[0])
    named = {one.arg for one, value in zip(more.kwonlyargs, more.kw_defaults, strict=True) if value is None}
    return (
        positional[1][: len(positional[0])] == positional[0]
        and 0 <= extra <= len(more.defaults)
        and named <= {one.arg for one in ours.kwonlyargs} <= {one.arg for one in more.kwonlyargs}
    )


def _pool(
    origin: Tree, trees: Mapping[str, Tree], differing: Sequence[Difference], targets: Sequence[Target]
) -> Pool:
    """Numbers and texts of what differs, then of the other functions called, the base's tests and its modules."""
    every = (origin, *trees.values())
    apart = [node for tree in every for one in differing for node in nodes_of(tree, one)]
    units = [unit for one in targets if (unit := origin.units.get((one.file, one.qualified))) is not None]
    bodies = [unit.node for unit in units if unit.node is not None]
    tests = [module for file, module in origin.modules.items() if is_test(file)]
    modules = [origin.modules[one.file] for one in targets if one.file in origin.modules]
    numbers: dict[int, None] = {}
    texts: dict[str, None] = {}
    for nodes in (apart, bodies, tests, modules):
        found = literals(nodes)
        numbers |= dict.fromkeys(found[0])
        texts |= dict.fromkeys(found[1])
    return Pool(tuple(numbers)[:MAX_NUMBERS], tuple(texts)[:MAX_TEXTS])


async def _replayed(
    runner: Runner, trees: Mapping[str, Tree], calls: Sequence[Any], files: Sequence[str]
) -> dict[str, Replayed]:
    """What each tree did in both of two runs, without the targets whose outcomes changed between them.

    A call that only one of the runs did not finish in time says nothing of its target: the machine was busy.
    """
    runs = [(name, seed) for name in trees for seed in ("0", "1")]
    found = await asyncio.gather(*(runner.replay(trees[name], calls, files, seed) for name, seed in runs))
    pairs = {name: (found[2 * index], found[2 * index + 1]) for index, name in enumerate(trees)}
    moody = {
        calls[number]["target"]
        for first, second in pairs.values()
        for number in first.outcomes.keys() & second.outcomes.keys()
        if first.outcomes[number] != second.outcomes[number]
        and not (_mishap(first.outcomes[number]) or _mishap(second.outcomes[number]))
    }
    return {name: _steady(first, second, calls, moody) for name, (first, second) in pairs.items()}


def _steady(first: Replayed, second: Replayed, calls: Sequence[Any], moody: set[str]) -> Replayed:
    both = [n for n in first.outcomes if first.outcomes[n] == second.outcomes.get(n)]
    outcomes = {number: first.outcomes[number] for number in both if calls[number]["target"] not in moody}
    return Replayed(outcomes, {target: lines for target, lines in first.lines.items() if target not in moody})


def _compared(
    trees: Mapping[str, Tree], differing: Sequence[Difference], calls: Sequence[Any], seen: Mapping[str, Replayed]
) -> Comparison:
    live = {name: one for name, one in seen.items() if one.outcomes}
    shared = sorted(set.intersection(*(set(one.outcomes) for one in live.values()))) if live else []
    shared = [n for n in shared if not all(one.outcomes[n].startswith(UNCALLED) for one in live.values())]
    if not shared:
        return Comparison()
    made = {calls[number]["target"] for number in shared}
    unreached = [one for one in differing if not all(_reached(one, trees[n], n, live[n], made) for n in live)]
    behaviour = {
        name: digest_json(
            {
                "outcomes": [[_named(calls[number]), one.outcomes[number]] for number in shared],
                "written": {f"{unit.file}:{unit.name}": unit.digests[name] for unit in unreached},
            }
        )
        for name, one in live.items()
    }
    return Comparison(behaviour, _examples(calls, shared, live))


def _reached(one: Difference, tree: Tree, name: str, seen: Replayed, made: set[str]) -> bool:
    """Whether calls ran every statement of a difference that is this tree's own, or every use of a constant."""
    unit = tree.units.get((one.file, one.name))
    if unit is None:
        return True
    ran = {(file, line) for target in made for file, lines in seen.lines.get(target, {}).items() for line in lines}
    if unit.node is None:
        places = mentions(tree, one.name) if one.name else []
        return bool(places) and all(place in ran for place in places)
    whole = (unit.node.lineno, unit.node.end_lineno or unit.node.lineno)
    return all(
        any((one.file, line) in ran for line in range(first, last + 1))
        for first, last in (*one.lines[name], whole)
    )


def _examples(calls: Sequence[Any], shared: Sequence[int], live: Mapping[str, Replayed]) -> list[dict[str, Any]]:
    """Calls with different outcomes: first one for each way of parting the trees, then more, simplest first."""
    differ = [number for number in shared if len({one.outcomes[number] for one in live.values()}) > 1]
    differ.sort(key=lambda number: (_parted_by_mishap(live, number), len(shown_call(calls[number])), number))
    leading: dict[tuple[int, ...], int] = {}
    for number in differ:
        leading.setdefault(_parting(live, number), number)
    chosen: list[int] = list(leading.values())
    counts: dict[str, int] = {}
    for number in differ:
        target = calls[number]["target"]
        counts[target] = counts.get(target, 0) + 1
        if number not in chosen and counts[target] <= MAX_PER_FUNCTION:
            chosen.append(number)
    return [_example(calls[number], live, number) for number in chosen[:MAX_EXAMPLES]]


def _parting(live: Mapping[str, Replayed], number: int) -> tuple[int, ...]:
    """Which trees agree on a call: for each tree the place of the first one that did the same."""
    outcomes = [live[name].outcomes[number] for name in sorted(live)]
    return tuple(outcomes.index(one) for one in outcomes)


def _parted_by_mishap(live: Mapping[str, Replayed], number: int) -> bool:
    return any(_mishap(one.outcomes[number]) for one in live.values())


def _mishap(outcome: str) -> bool:
    return not outcome.startswith(("returns", "raises"))


def _example(call: Mapping[str, Any], live: Mapping[str, Replayed], number: int) -> dict[str, Any]:
    return {
        "function": call["target"].replace(":", "."),
        "input": shown_call(call)[:SHOWN_CHARACTERS],
        "outcomes": {name: _short(one.outcomes[number]) for name, one in live.items()},
    }


def _named(call: Mapping[str, Any]) -> str:
    return digest_bytes(json.dumps(call, sort_keys=True).encode())


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
