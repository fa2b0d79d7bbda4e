"""Trees that pass the same tests are told apart by what they do, and brought together when they do the same."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.examples.answers import apply, known

from ripple.changes.behaviour import Comparison, _replayed, compare_trees
from ripple.changes.replay import Replayed
from ripple.delivery.application import load_application
from ripple.delivery.toolchain import Toolchain, toolchain_of
from ripple.model.errors import Unavailable
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "checkout"
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    if not asyncio.run(Sandbox(BubblewrapSandbox()).rungs()):
        pytest.skip("not run: no sandbox works here; run ./ripple doctor")
    return Sandbox(BubblewrapSandbox())


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    folder = tmp_path_factory.mktemp("toolchains")
    try:
        return asyncio.run(toolchain_of(folder, EXAMPLE, load_application(EXAMPLE)))
    except Unavailable as error:
        pytest.skip(f"not run: no package index answers here ({error})")


def checkout(folder: Path, *answers: str) -> dict[str, Path]:
    trees = {}
    for name in answers:
        trees[name] = Path(shutil.copytree(EXAMPLE, folder / name, ignore=IGNORED))
        apply(known(name).answer, trees[name])
    return trees


def test_answers_that_pass_the_same_tests_are_told_apart_and_equal_ones_are_not(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    right, same, wrong = "free-shipping", "free-shipping-spelled-differently", "free-shipping-wrong-but-passing"
    trees = checkout(tmp_path, right, same, wrong)
    trees["unchanged"] = Path(shutil.copytree(EXAMPLE, tmp_path / "unchanged", ignore=IGNORED))
    found = asyncio.run(compare_trees(sandbox, EXAMPLE, trees, toolchain))
    assert found.behaviour[right] == found.behaviour[same]
    assert len(set(found.behaviour.values())) == 3
    assert 1 <= len(found.distinguishing) <= 10
    for other in (wrong, "unchanged"):
        parted = [one for one in found.distinguishing if one["outcomes"][right] != one["outcomes"][other]]
        assert parted[0]["function"] == "checkout.pricing.shipping_cents"
        assert all(one["outcomes"][right] == one["outcomes"][same] for one in parted)
    for tree in trees.values():
        assert not list(tree.rglob("__pycache__")), "the trees themselves are never written"


Compare = Callable[..., Comparison]


@pytest.fixture
def compare(sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path) -> Compare:
    """Compare trees given as files; the base is the first."""

    def run(*trees: dict[str, str] | str) -> Comparison:
        folders = {}
        for number, files in enumerate(trees):
            folder = folders[f"tree{number}"] = tmp_path / f"tree{number}"
            for name, text in ({"shop.py": files} if isinstance(files, str) else files).items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return asyncio.run(compare_trees(sandbox, folders["tree0"], folders, toolchain))

    return run


def groups(found: Comparison, count: int) -> list[list[int]]:
    """Which trees share a behaviour; a tree without one stands alone."""
    keys = [found.behaviour.get(f"tree{number}") or f"none{number}" for number in range(count)]
    return [[n for n in range(count) if keys[n] == key] for key in dict.fromkeys(keys)]


def test_a_boundary_in_a_method_is_found_through_the_tests_calls(compare: Compare) -> None:
    shop = (
        "class Till:\n    def __init__(self, prices: 'Nobody', free_from: int) -> None:\n"
        "        self.prices, self.free_from = prices, free_from\n\n"
        "    def total(self, basket):\n        goods = sum(self.prices[k] * n for k, n in basket.items())\n"
        "        return goods if goods {} self.free_from else goods + 5\n"
    )
    tests = "from shop import Till\n\n\ndef test_it():\n    till = Till({'cup': 10}, 70)\n"
    tests += "    assert till.total({'cup': 2}) == 25\n    assert till.total({'cup': 9}) == 90\n"
    found = compare(*({"shop.py": shop.format(sign), "test_shop.py": tests} for sign in (">=", ">", ">=")))
    assert groups(found, 3) == [[0, 2], [1]]
    assert any("{'cup': 7}" in one["input"] for one in found.distinguishing)


TYPED = """
from __future__ import annotations
import enum
from dataclasses import dataclass
from typing import Literal, Optional
from model import Size as S, Item


def cost(item: Item, size: S, how: Literal["air", "sea"] = "sea", *, gift: Optional[bool] = None) -> int:
    price = item.price * {{"small": 1, "large": 2}}[size.value]
    if how == "air" and not gift {condition}:
        price += 3
    return price
"""
MODEL = """
import enum
from dataclasses import dataclass, field


class Size(str, enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Item:
    name: str
    price: int
    tags: list[str] = field(default_factory=list)
"""


def test_inputs_follow_annotations_into_classes_of_other_modules(compare: Compare) -> None:
    conditions = ("and size is S.LARGE", "and item.tags", "and (size == S.LARGE)")
    trees = [{"shop.py": TYPED.format(condition=one), "model.py": MODEL} for one in conditions]
    found = compare(*trees)
    assert groups(found, 3) == [[0, 2], [1]]
    assert "Item(" in found.distinguishing[0]["input"]
    assert "Size." in found.distinguishing[0]["input"]


def test_comments_docstrings_and_layout_make_no_difference(compare: Compare) -> None:
    found = compare(
        "def f(n: int) -> int:\n    return n + 1\n",
        'def f(n: int) -> int:\n    """One more."""\n    # why not\n    return (n +\n            1)\n',
    )
    assert groups(found, 2) == [[0, 1]]
    assert found.distinguishing == []


def test_errors_and_changed_arguments_are_part_of_what_a_function_does(compare: Compare) -> None:
    code = "def f(n: int, to: list[int]) -> None:\n    if n < 0:\n        raise ValueError('{}')\n    {}\n"
    adding = (("below", "to.append(n)"), ("negative", "to.append(n)"), ("below", "to.insert(0, n)"))
    found = compare(*(code.format(*one) for one in (*adding, ("below", "to += [n]"))))
    assert groups(found, 4) == [[0, 3], [1], [2]]
    said = [text for one in found.distinguishing for text in one["outcomes"].values()]
    assert any("raises ValueError('negative')" in text for text in said)
    assert any("its arguments became" in text for text in said)


def test_a_difference_that_no_input_reaches_keeps_trees_apart(compare: Compare) -> None:
    code = "import os\n\n\ndef f(n: int) -> int:\n    if 'NEVER' in os.environ:\n        return {}\n    return n\n"
    assert groups(compare(code.format("1"), code.format("2")), 2) == [[0], [1]]


def test_a_private_function_is_compared_through_its_callers(compare: Compare) -> None:
    code = "def _half(n: int) -> int:\n    return {}\n\n\ndef f(n: int) -> int:\n    return _half(n) + 1\n"
    found = compare(code.format("n // 2"), code.format("n >> 1"), code.format("int(n / 2)"))
    assert groups(found, 3) == [[0, 1], [2]]
    assert {one["function"] for one in found.distinguishing} <= {"shop._half", "shop.f"}


def test_a_constant_counts_by_what_uses_it(compare: Compare) -> None:
    code = "LIMIT = {}\nOTHER = {}\n\n\ndef f(n: int) -> bool:\n    return n > LIMIT\n"
    found = compare(
        code.format("10", "1"), code.format("5 + 5", "1"), code.format("11", "1"), code.format("10", "2")
    )
    assert groups(found, 4) == [[0, 1], [2], [3]]


def test_files_that_are_not_python_count_as_they_are_written_and_prose_does_not(compare: Compare) -> None:
    code = "def f(n: int) -> int:\n    return n{}\n"
    found = compare(
        {"shop.py": code.format(""), "page.html": "a"},
        {"shop.py": code.format(" + 0"), "page.html": "a", "README.md": "new"},
        {"shop.py": code.format(""), "page.html": "b"},
    )
    assert groups(found, 3) == [[0, 1], [2]]


def test_chance_is_left_out_and_what_it_touches_stays_apart(compare: Compare) -> None:
    code = "import random\n\n\ndef f(n: int) -> float:\n    return random.random() + {}\n"
    assert groups(compare(code.format("n"), code.format("1 * n")), 2) == [[0], [1]]


def test_a_tree_that_hangs_or_ends_the_process_is_apart_from_the_others(compare: Compare) -> None:
    good = "def f(n: int) -> int:\n    return n\n"
    ends = "import os\n\n\ndef f(n: int) -> int:\n    return n if n < 7 else os._exit(0)\n"
    hangs = "def f(n: int) -> int:\n    while n > 7:\n        pass\n    return n\n"
    found = compare(good, ends, hangs)
    assert groups(found, 3) == [[0], [1], [2]]
    said = [text for one in found.distinguishing for text in one["outcomes"].values()]
    assert {"ends its process", "does not return"} & set(said)


def test_hostile_trees_see_nothing_of_this_machine(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    code = "def f(n: int) -> str:\n    return open({!r}).read()\n"
    found = compare(code.format(str(tmp_path / "secret")), code.format("/etc/shadow"))
    assert "a secret" not in str(found)


def test_trees_without_anything_comparable_have_no_behaviour(compare: Compare) -> None:
    found = compare({"page.html": "a"}, {"page.html": "b"})
    assert found == Comparison()
    broken = compare({"shop.py": "def f(:\n"}, {"shop.py": "def f(\n"})
    assert broken == Comparison()


def test_a_written_test_can_part_trees_and_never_bring_them_together() -> None:
    found = Comparison({"a": "same", "b": "same", "c": "other"}, [])
    equal = found.with_test("m:t.py", dict.fromkeys("abc", "passed"))
    assert equal.behaviour["a"] == equal.behaviour["b"] != equal.behaviour["c"]
    assert equal.distinguishing == []
    apart = found.with_test("m:t.py", {"a": "passed", "b": "failed", "c": "passed"})
    assert len(set(apart.behaviour.values())) == 3
    assert apart.distinguishing == [
        {"function": "m:t.py", "input": "", "outcomes": {"a": "passed", "b": "failed", "c": "passed"}}
    ]
    none: dict[str, Any] = {}
    assert Comparison(none).with_test("m:t.py", {"a": "passed", "b": "passed"}).behaviour == {}


def replayed(outcomes: dict[str, dict[int, str]]) -> dict[str, Replayed]:
    """What is kept of one tree whose two runs, by seed, said this."""

    class Told:
        async def replay(self, tree: object, calls: object, files: object, seed: str) -> Replayed:
            return Replayed(outcomes[seed])

    calls = [{"target": "shop:cost"}, {"target": "shop:cost"}]
    return asyncio.run(_replayed(Told(), {"tree": object()}, calls, []))  # type: ignore[arg-type, dict-item]


def test_a_call_that_was_late_once_is_left_out_alone_and_one_that_answers_differently_with_its_function() -> None:
    late = replayed({"0": {0: "returns 1", 1: "does not return"}, "1": {0: "returns 1", 1: "returns 2"}})
    assert late["tree"].outcomes == {0: "returns 1"}
    moody = replayed({"0": {0: "returns 1", 1: "returns 3"}, "1": {0: "returns 1", 1: "returns 2"}})
    assert moody["tree"].outcomes == {}
    endless = replayed({"0": {1: "does not return"}, "1": {1: "does not return"}})
    assert endless["tree"].outcomes == {1: "does not return"}
