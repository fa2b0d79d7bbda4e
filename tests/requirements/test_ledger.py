"""The ledger against the tree, both ways.

Every requirement that was asked for stands in it, with tests that are really collected or a reason why not yet;
and every end-to-end and conformance file proves a requirement.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from ripple.stack.requirements import Ledger, load_ledger, report

ROOT = Path(__file__).parents[2]
REQUIREMENTS, CONTRADICTIONS = 287, 82
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def ledger() -> Ledger:
    """The checkout's own."""
    return load_ledger(ROOT)


def test_as_many_stand_here_as_were_asked_for() -> None:
    ids = [row.id for row in ledger().requirements]
    contradictions = [name for name in ids if name.startswith("X")]
    assert (len(ids) - len(contradictions), len(contradictions)) == (REQUIREMENTS, CONTRADICTIONS)


def gaps(ids: Iterable[str]) -> list[str]:
    """Ids and sections that are missing before one that is there; siblings count 1, 2, 3 or a, b, c."""
    families = defaultdict(set)
    for name in ids:
        for place in _with_sections(name):
            found = re.fullmatch(r"(.*?)(\d+|[a-z])", place)
            if found:
                head, last = found.groups()
                families[head, last.isdigit()].add(int(last) if last.isdigit() else ord(last))
    return sorted(
        f"{head}{number if digits else chr(number)}"
        for (head, digits), there in families.items()
        for number in set(range(1 if digits else ord("a"), max(there))) - there
    )


def _with_sections(name: str) -> Iterator[str]:
    yield name
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def test_no_requirement_is_missing_among_its_siblings() -> None:
    assert gaps(row.id for row in ledger().requirements) == []


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        (["R7.2.a", "R7.2.1", "R7.2.A1", "R7.1.a"], []),
        (["R1.1.a", "R1.1.c"], ["R1.1.b"]),
        (["R1.1.a", "R1.3.a"], ["R1.2"]),
        (["R7.2.A2", "R7.1.a"], ["R7.2.A1"]),
        (["X1", "X4"], ["X2", "X3"]),
        (["RP.0", "RP.2"], ["RP.1"]),
    ],
)
def test_a_gap_between_ids_is_found(ids: list[str], missing: list[str]) -> None:
    assert [name for name in gaps(ids) if not re.fullmatch(r"R\d", name)] == missing


def runnable(text: str) -> set[str]:
    """The tests of a file by what stands behind its path in a node id, less those that are never run."""
    tree = ast.parse(text)
    if any(isinstance(node, ast.Assign) and _is_off(node.value) for node in tree.body):
        return set()
    return {"::".join(path) for path in _tests(tree, ())}


def _tests(owner: ast.Module | ast.ClassDef, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for node in owner.body:
        if isinstance(node, Definition) and not any(_is_off(mark) for mark in node.decorator_list):
            if isinstance(node, ast.ClassDef):
                yield from _tests(node, (*path, node.name)) if node.name.startswith("Test") else ()
            elif node.name.startswith("test"):
                yield (*path, node.name)


def _is_off(mark: ast.expr) -> bool:
    """Whether a decorator, or one of a list of marks, skips or excuses its test whatever the machine."""
    return any(re.match(r"pytest\.mark\.(skip|xfail)\b", ast.unparse(node)) for node in ast.walk(mark))


def test_every_named_test_is_one_that_runs() -> None:
    named = {test for row in ledger().requirements for test in row.tests}
    files = {test.partition("::")[0] for test in named}
    there = {
        f"{name}::{test}"
        for name in files
        if (ROOT / name).is_file()
        for test in runnable((ROOT / name).read_text(encoding="utf-8"))
    }
    assert sorted(named - there) == []
    assert named != set()


def test_a_row_names_a_test_once() -> None:
    twice = [row.id for row in ledger().requirements if len(set(row.tests)) != len(row.tests)]
    assert twice == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def test_a(): ...\nasync def test_b(): ...\ndef other(): ...", {"test_a", "test_b"}),
        ("class TestX:\n    def test_a(self): ...\nclass Y:\n    def test_b(self): ...", {"TestX::test_a"}),
        ("@pytest.mark.skip\ndef test_a(): ...\n@pytest.mark.xfail(reason='x')\ndef test_b(): ...", set()),
        ("@pytest.mark.skipif(ALONE, reason='x')\ndef test_a(): ...", {"test_a"}),
        ("@pytest.mark.skip\nclass TestX:\n    def test_a(self): ...", set()),
        ("pytestmark = [pytest.mark.kill, pytest.mark.skip(reason='x')]\ndef test_a(): ...", set()),
        ("pytestmark = pytest.mark.kill\ndef test_a(): ...", {"test_a"}),
    ],
)
def test_only_tests_that_run_count_as_tests(text: str, found: set[str]) -> None:
    assert runnable(text) == found


def test_every_end_to_end_and_conformance_file_proves_something() -> None:
    named = {test.partition("::")[0] for row in ledger().requirements for test in row.tests}
    files = {
        str(path.relative_to(ROOT))
        for room in ("conformance", "e2e")
        for path in (ROOT / "tests" / room).rglob("test_*.py")
        if runnable(path.read_text(encoding="utf-8"))
    }
    assert sorted(files - named) == [], "name their tests in the rows they prove, in tests/requirements/*.yaml"


def test_the_report_counts_each_row_once() -> None:
    found = json.loads(json.dumps(report(ledger())))
    states = [row["state"] for row in found["requirements"]]
    assert found["total"] == len(states) == REQUIREMENTS + CONTRADICTIONS
    assert (found["proven"], found["deferred"]) == (states.count("proven"), states.count("deferred"))
    assert all(bool(row["reason"]) == (row["state"] == "deferred") for row in found["requirements"])
