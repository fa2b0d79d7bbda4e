"""Inputs: the same for the same request, bounded, near real calls, and of the types that are asked for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ripple.changes.inputs import plan
from ripple.changes.replay import plan_calls
from ripple.changes.sources import Pool, Target, Tree, differences

CODE = """
from __future__ import annotations
from collections.abc import Mapping
from typing import Callable, NamedTuple, NewType

Cents = NewType("Cents", int)


class Line(NamedTuple):
    name: str
    cents: Cents = Cents(0)


class Shop:
    def __init__(self, prices: Mapping[str, int]) -> None:
        self.prices = prices

    @staticmethod
    def plain(n: int) -> int:
        return n

    @classmethod
    def made(cls, n: "int | None" = None) -> Shop:
        return cls({})

    def total(self, line: Line, /, *, twice: bool = False) -> int:
        return line.cents


def shipping(goods: int, flat: int, free_from: int) -> int:
    return 0 if goods >= free_from else flat


def hidden(call: Callable[[int], int]) -> int:
    return call(1)
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "shop.py").write_text(CODE)
    return str(tmp_path)


def target(root: str, name: str, *, differs: bool = True) -> Target:
    return Target(f"shop:{name}", "shop.py", name, root, differs)


def test_neighbours_of_a_real_call_meet_its_boundaries(root: str) -> None:
    real = {"shop:shipping": [{"goods": 1000, "flat": 590, "free_from": 5000}]}
    calls = plan([target(root, "shipping")], real, Pool())
    goods = {one["named"]["goods"] for one in calls if one["named"].get("free_from") == 5000}
    assert {4999, 5000, 5001, 4410, 5590} <= goods
    assert calls[0]["named"] == real["shop:shipping"][0]
    assert len(calls) <= 200
    assert len({json.dumps(one, sort_keys=True) for one in calls}) == len(calls)


def test_numbers_of_the_code_and_those_beside_them_are_tried(root: str) -> None:
    calls = plan([target(root, "Shop.plain")], {}, Pool((777,)))
    assert {776, 777, 778} <= {one["named"]["n"] for one in calls}


def test_each_way_of_calling_is_kept_apart(root: str) -> None:
    def first(name: str) -> dict[str, Any]:
        return next(iter(plan([target(root, name, differs=False)], {}, Pool())))

    assert "self" not in first("Shop.plain")
    assert "self" not in first("Shop.made")
    assert first("Shop.__init__")["target"] == "shop:Shop"
    total = first("Shop.total")
    assert total["self"]["of"] == "shop:Shop"
    assert total["given"][0]["of"] == "shop:Line"
    assert set(total["named"]) <= {"twice"}


def test_a_function_nobody_can_make_inputs_for_gets_only_real_calls(root: str) -> None:
    assert plan([target(root, "hidden")], {}, Pool()) == []
    kept = {"t": "pickle", "data": "", "shown": "<f>"}
    assert len(plan([target(root, "hidden")], {"shop:hidden": [{"call": kept}]}, Pool())) == 1


def test_the_same_request_gives_the_same_calls_in_another_process(root: str) -> None:
    names = ("shipping", "Shop.total", "hidden")
    pool = Pool((3, 4), ("a", "ä"))

    async def twice() -> list[Any]:
        runs = (plan_calls([target(root, name) for name in names], {}, pool) for _ in range(2))
        return list(await asyncio.gather(*runs))

    first, second = asyncio.run(twice())
    assert first == second
    assert len(first) > 100


def test_source_that_cannot_be_understood_gives_no_calls(tmp_path: Path) -> None:
    assert asyncio.run(plan_calls([target(str(tmp_path), "shipping")], {}, Pool())) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "differ"),
    [
        ("x = 1\n", "x = 1  # one\n", []),
        ("import os\n", "import sys\n", []),
        ("def f():\n    'a'\n    return 1\n", "def f():\n    return 1\n", []),
        ("def f():\n    return 1\n", "def f():\n    return 2\n", ["f"]),
        ("def f():\n    if a: b()\n    c()\n", "def f():\n    if a:\n        b()\n        c()\n", ["f"]),
        ("class C:\n    x = 1\n", "class C:\n    x = 2\n", [""]),
        ("class C:\n    def m(self): pass\n", "class C:\n    def m(self): return 1\n", ["C.m"]),
        ("LIMIT = 1\n", "LIMIT = 2\n", ["LIMIT"]),
        ("try:\n    a()\nexcept E:\n    b()\n", "try:\n    a()\nexcept F:\n    b()\n", [""]),
    ],
)
def test_trees_differ_in_what_they_say_and_not_in_how(
    tmp_path: Path, mine: str, theirs: str, differ: list[str]
) -> None:
    trees = {}
    for name, text in (("mine", mine), ("theirs", theirs)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(text)
        (tmp_path / name / "test_a.py").write_text(f"# {name}\nassert {len(name)}\n")
        trees[name] = Tree(tmp_path / name)
    assert [one.name for one in differences(trees)] == differ
