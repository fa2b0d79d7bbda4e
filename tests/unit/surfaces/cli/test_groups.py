"""The verbs for groups and for deep probes, against a real daemon of small real processes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.supervisor.conftest import Instance, instance
from typer.testing import CliRunner

from ripple.model.component import ComponentState
from ripple.surfaces.cli.verbs import program

__all__ = ["instance"]
S = ComponentState


def run(instance: Instance, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setenv("RIPPLE_HOME", str(instance.home.root))
    done = CliRunner().invoke(program, [*words, "--json"])
    assert done.stdout, done.exception
    return json.loads(done.stdout)


def test_a_group_is_stopped_and_started_alone_by_its_verbs(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [instance.row("one", group="back"), instance.row("two", requires=["one"]), instance.row("three")]
    instance.write(*rows)
    instance.up()
    assert run(instance, monkeypatch, "down", "--group", "back") == {"stopped": True, "group": "back"}
    shown = {one["id"]: one for one in run(instance, monkeypatch, "status")["components"]}
    assert {name: (row["state"], row["group"]) for name, row in shown.items()} == {
        "one": (S.STOPPED, "back"),
        "two": (S.READY, ""),
        "three": (S.READY, ""),
    }
    assert run(instance, monkeypatch, "up", "--group", "back") == {"group": "back", "components": ["one"]}
    assert instance.of("one").state is S.READY
    assert [len(instance.starts(name)) for name in ("one", "two", "three")] == [2, 1, 1]


def test_the_doctor_asks_deep_probes_only_when_told_to(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = instance.root / "works"
    instance.write(instance.row("one", deep={"kind": "file", "target": str(flag)}))
    instance.up()
    assert not [row for row in run(instance, monkeypatch, "doctor")["findings"] if row["name"].startswith("deep")]
    found = run(instance, monkeypatch, "doctor", "--deep")
    (row,) = [row for row in found["findings"] if row["name"] == "deep one"]
    assert (found["ok"], row["ok"], row["found"]) == (False, False, f"there is no {flag}")
    flag.touch()
    found = run(instance, monkeypatch, "doctor", "--deep")
    assert next(row for row in found["findings"] if row["name"] == "deep one")["ok"] is True
