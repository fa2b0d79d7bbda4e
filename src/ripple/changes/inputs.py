"""Which inputs to give to the functions that differ: calls the tests make, their neighbours, and generated ones.

- The same request gives the same calls. Hypothesis also draws from the constants of whatever is imported, and
  works on what a stranger wrote, so this runs in a process of its own, with a deadline (``__main__`` below).
- Neighbours change one value of a real call at a time: to the others and their sums and differences, one more and
  one less, to small numbers, and to what stands in the code and its tests.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from ripple.changes.annotations import Annotations, UnsupportedError, Wire
from ripple.changes.sources import Function, Pool, Target, Tree

MAX_CALLS, MAX_CALLER_CALLS = 200, 80
MAX_TEMPLATES, MAX_VALUES = 4, 60
_NUMBER = re.compile(r"-?\b\d{1,9}\b")
_Path = tuple[Any, ...]


def plan(targets: Sequence[Target], recorded: Mapping[str, Sequence[Mapping[str, Any]]], pool: Pool) -> list[Any]:
    """The calls for every target, each target's real ones first; at most 200, and 80 for a caller."""
    trees = {target.root: Tree(Path(target.root)) for target in targets}
    calls = []
    for target in targets:
        tree = trees[target.root]
        shape = _Shape(tree, target, pool)
        real = [call for one in recorded.get(target.name, ()) if (call := shape.from_arguments(one)) is not None]
        most = MAX_CALLS if target.differs else MAX_CALLER_CALLS
        made = shape.generated(most // 2)
        near = itertools.islice(_neighbours(real or made[:MAX_TEMPLATES], pool), most // 2)
        calls += _distinct([*real[: most // 4], *near, *made])[:most]
    return calls


class _Shape:
    """How one target is called."""

    def __init__(self, tree: Tree, target: Target, pool: Pool) -> None:
        unit = tree.units[target.file, target.qualified]
        assert unit.node is not None
        self._tree, self._target, self._pool, self._node = tree, target, pool, unit.node
        self._kind = _kind(unit.node, in_class=unit.in_class)

    def from_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """The call that a recorded one was; None when it lacks an argument."""
        names = [one.arg for one in (*self._node.args.posonlyargs, *self._node.args.args)]
        left = dict(arguments)
        call: dict[str, Any] = {"target": self._target.called}
        if self._kind != "plain":
            owner = left.pop(names[0], None)
            if self._kind == "method":
                call["self"] = owner
        given = [left.pop(one.arg) for one in self._node.args.posonlyargs if one.arg in left]
        return {**call, "given": given, "named": left}

    def generated(self, count: int) -> list[dict[str, Any]]:
        """``count`` calls or fewer whose arguments fit the annotations; none when some cannot be made."""
        annotations = Annotations(self._tree, self._pool)
        try:
            found = annotations.parameters(self._target.file, self._node, bound=self._kind != "plain")
            owner = self._target.qualified.rpartition(".")[0]
            made = annotations.instance(self._target.file, owner) if self._kind == "method" else None
        except UnsupportedError:
            return []
        examples = _examples(self._strategy(found, made), count)
        return [
            {**one, "named": {name: one["named"][name] for name in found if name in one["named"]}}
            for one in examples
        ]

    def _strategy(self, found: Mapping[str, tuple[Wire, bool]], owner: Wire | None) -> Wire:
        positional = [one.arg for one in self._node.args.posonlyargs if one.arg in found]
        given = st.tuples(*(found[name][0] for name in positional)).map(list)
        required = {k: made for k, (made, leave) in found.items() if not leave and k not in positional}
        optional = {k: made for k, (made, leave) in found.items() if leave and k not in positional}
        named = st.fixed_dictionaries(required, optional=optional)
        parts = {"target": st.just(self._target.called), "given": given, "named": named}
        return st.fixed_dictionaries({**parts, "self": owner} if owner is not None else parts)


def _kind(node: Function, *, in_class: bool) -> str:
    """``plain``, ``method`` (needs an instance), or ``class`` (gets its class by itself)."""
    names = {ast_name for one in node.decorator_list if (ast_name := getattr(one, "id", getattr(one, "attr", "")))}
    if not in_class or "staticmethod" in names:
        return "plain"
    return "class" if "classmethod" in names or node.name in ("__init__", "__new__") else "method"


def _examples(strategy: Wire, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(strategy)
    def collect(value: dict[str, Any]) -> None:
        found.append(value)

    collect()
    return found


def _neighbours(real: Sequence[Mapping[str, Any]], pool: Pool) -> Iterator[dict[str, Any]]:
    """Each of a few different real calls with one value changed, by turns over the calls and their values."""
    several = []
    for call in _spread(real):
        arguments = {"given": call["given"], "named": call["named"]}
        places = list(_places(arguments))
        numbers = _related([value for _, value in places if type(value) is int], _shown_numbers(call), pool)
        for path, value in places:
            others = [one for one in _values(value, numbers, pool) if one != value][:MAX_VALUES]
            several.append([{**call, **_changed(arguments, path, one)} for one in others])
    for turn in itertools.zip_longest(*several):
        yield from (call for call in turn if call is not None)


def _spread(real: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A few of the calls, from all over their order: tests that belong together stand together."""
    step = max(1, len(real) // MAX_TEMPLATES)
    return list(real[::step][:MAX_TEMPLATES])


def _related(own: Sequence[int], shown: Sequence[int], pool: Pool) -> dict[int, list[int]]:
    """For each number of a call the numbers worth trying in its place, most telling first."""
    found = {}
    for value in set(own):
        others = [one for one in own if one != value]
        near = [one + step for one in (*others, value) for step in (0, -1, 1)]
        sums = [
            a + sign * b + step
            for a in others
            for b in others
            if a != b
            for sign in (-1, 1)
            for step in (0, -1, 1)
        ]
        small = list(range(-1, 13))
        known = [one + step for one in shown for step in (0, -1, 1)]
        found[value] = list(dict.fromkeys([*near, *sums, *pool.near()[:12], *small, *known, *pool.near()]))
    return found


def _values(value: Any, numbers: Mapping[int, Sequence[int]], pool: Pool) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return list(numbers[value])
    return ["", value.upper(), value.lower(), f" {value}", f"{value}x", *pool.texts]


def _shown_numbers(call: Mapping[str, Any]) -> list[int]:
    """Numbers inside what only the tree's own code can look into."""
    text = json.dumps(call.get("self", "")) if isinstance(call.get("self"), dict) else ""
    shown = re.findall(r'"shown": "((?:[^"\\]|\\.)*)"', text)
    return list(dict.fromkeys(int(one) for part in shown for one in _NUMBER.findall(part)))


def _places(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    """The numbers and texts in a call's arguments, with the way to each."""
    if isinstance(value, bool | int | str):
        if path:
            yield path, value
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _places(one, (*path, index))
    elif isinstance(value, dict) and "t" not in value:
        for name, one in value.items():
            yield from _places(one, (*path, name))
    elif isinstance(value, dict) and "of" in value and isinstance(value["of"], list):
        yield from _places(value["of"], (*path, "of"))


def _changed(value: Any, path: _Path, new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        return [_changed(one, path[1:], new) if index == path[0] else one for index, one in enumerate(value)]
    return {name: _changed(one, path[1:], new) if name == path[0] else one for name, one in value.items()}


def _distinct(calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(call, sort_keys=True): call for call in calls}.values())


def main() -> None:
    """A request as JSON on standard input, the calls as JSON on standard output."""
    request = json.load(sys.stdin)
    targets = [Target(**one) for one in request["targets"]]
    pool = Pool(tuple(request["numbers"]), tuple(request["texts"]))
    json.dump(plan(targets, request["recorded"], pool), sys.stdout)


if __name__ == "__main__":
    main()
