"""The ledger's rules: one row per id in its section's file, proven by tests or explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ripple.model.errors import Invalid, NotFound
from ripple.stack.requirements import FOLDER, load_ledger, report

TEST = "tests/unit/stack/test_requirements.py::test_a"
LATER = {"kind": "later", "reason": "the mesh is not built"}


def row(name: str, **more: Any) -> dict[str, Any]:
    """A row that lacks only its proof."""
    return {"id": name, "text": "Something is so.", "check": "It is seen.", **more}


def checkout(folder: Path, **sections: list[dict[str, Any]]) -> Path:
    """A checkout whose ledger has these sections."""
    (folder / FOLDER).mkdir(parents=True)
    for code, rows in sections.items():
        with (folder / FOLDER / f"{code}.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump({"section": f"{code} things", "requirements": rows}, file)
    return folder


def test_tests_prove_a_row_and_a_reason_defers_it(tmp_path: Path) -> None:
    rows = [row("R1.1", tests=[TEST]), row("R1.2", deferred=LATER), row("R1.3", tests=[TEST], deferred=LATER)]
    found = report(load_ledger(checkout(tmp_path, R1=rows)))
    assert (found["total"], found["proven"], found["deferred"]) == (3, 1, 2)
    assert found["requirements"] == [
        {"id": "R1.1", "state": "proven", "tests": [TEST], "reason": ""},
        {"id": "R1.2", "state": "deferred", "tests": [], "reason": "later: the mesh is not built"},
        {"id": "R1.3", "state": "deferred", "tests": [TEST], "reason": "later: the mesh is not built"},
    ]


def test_sections_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    root = checkout(tmp_path, R2=[row("R2.a", tests=[TEST])], R1=[row("R1.b", tests=[TEST])])
    assert [one.id for one in load_ledger(root).requirements] == ["R1.b", "R2.a"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row("R1.1"), "names neither tests nor a reason"),
        (row("R1.1", tests=[]), "names neither tests nor a reason"),
        (row("R1.1", deferred={"kind": "soon", "reason": "it is not built"}), "deferred.kind"),
        (row("R1.1", deferred={"kind": "later", "reason": "tired"}), "deferred.reason"),
        (row("R1.1", deferred={"kind": "later", "reason": "x" * 201}), "deferred.reason"),
        (row("R1.1", tests=["test_a"]), "tests.0"),
        (row("R1.1", tests=["../tests/test_a.py::test_a"]), "tests.0"),
        (row("R1.1", tests=[TEST], resolution="so"), "only they, have a resolution"),
        (row("R2.1", tests=[TEST]), "R2.1 cannot stand in section"),
        (row("R11.1", tests=[TEST]), "R11.1 cannot stand in section"),
        (row("X1", tests=[TEST], resolution="so"), "X1 cannot stand in section"),
        (row("1.1", tests=[TEST]), "id"),
        (row("R1.1", tests=[TEST], chekc="x"), "did you mean 'check'"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused_by_name(tmp_path: Path, bad: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        load_ledger(checkout(tmp_path, R1=[bad]))
    assert "R1.yaml" in str(caught.value)


def test_a_contradiction_says_how_it_is_resolved(tmp_path: Path) -> None:
    assert load_ledger(checkout(tmp_path / "a", X=[row("X1", tests=[TEST], resolution="so")])).requirements
    with pytest.raises(Invalid, match="have a resolution"):
        load_ledger(checkout(tmp_path / "b", X=[row("X1", tests=[TEST])]))


def test_an_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    rows = [row("R1.1", tests=[TEST]), row("R1.2", tests=[TEST]), row("R1.1", deferred=LATER)]
    with pytest.raises(Invalid, match=r"requirements R1\.1 stand twice"):
        load_ledger(checkout(tmp_path, R1=rows))


def test_a_folder_without_a_ledger_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="run this from a checkout"):
        load_ledger(tmp_path)
