"""``./ripple verify``: which systems it tries, when it stops, what it prints and how it ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import jsonschema
import pytest
from tests.unit.delivery.proofs import a_system, bench, smoke
from typer.testing import CliRunner

from ripple.delivery.evidence import schema_text
from ripple.delivery.proof import Bench
from ripple.model.errors import Invalid, NotFound, RippleError
from ripple.model.system import Outcome, Verdict
from ripple.stack.proven import evidence_name
from ripple.surfaces.cli.verbs import program
from ripple.surfaces.cli.verify import prove_each

GOOD = a_system(id="good")
BAD = a_system(id="bad", smoke=smoke("exit 1"))
UNLOCKED = a_system(id="unlocked", kind="server", routes=[{"kind": "oci", "package": "example.org/x"}])


def tried(given: Bench, *, go_on: bool = False, resume: bool = False) -> list[tuple[str, Outcome]]:
    main = prove_each(given, given.rows.rows, go_on, resume)
    found: list[Verdict] = asyncio.run(asyncio.wait_for(main, 60))
    return [(one.id, one.outcome) for one in found]


def test_the_first_failure_ends_the_run_unless_it_is_told_to_go_on(tmp_path: Path) -> None:
    given = bench(tmp_path, BAD, GOOD)
    assert tried(given) == [("bad", Outcome.FAILED)]
    assert tried(given, go_on=True) == [("bad", Outcome.FAILED), ("good", Outcome.WORKS)]


def test_a_system_that_cannot_be_tried_is_an_error_or_goes_unproven(tmp_path: Path) -> None:
    given = bench(tmp_path, UNLOCKED, GOOD)
    with pytest.raises(NotFound, match="not in the lock"):
        tried(given)
    assert tried(given, go_on=True) == [("unlocked", Outcome.UNPROVEN), ("good", Outcome.WORKS)]


def test_a_run_goes_on_where_it_stood_and_tries_failures_again(tmp_path: Path) -> None:
    given = bench(tmp_path, BAD, GOOD)
    tried(given, go_on=True)
    good, bad = (given.root / evidence_name(name) for name in ("good", "bad"))
    before = good.stat().st_mtime_ns, bad.stat().st_mtime_ns
    assert tried(given, go_on=True, resume=True) == [("bad", Outcome.FAILED), ("good", Outcome.WORKS)]
    assert good.stat().st_mtime_ns == before[0]
    assert bad.stat().st_mtime_ns > before[1]
    tried(given, go_on=True)
    assert good.stat().st_mtime_ns > before[0]


def test_evidence_is_read_without_running_anything_and_printed_in_the_published_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIPPLE_HOME", str(tmp_path))
    result = CliRunner().invoke(program, ["verify", "--from-evidence", "--layer", "0", "--json"])
    answer = json.loads(result.stdout)
    jsonschema.validate(answer, json.loads(schema_text()))
    outcomes = {one["outcome"] for one in answer["systems"]}
    assert {one["layer"] for one in answer["systems"]} == {"0"}
    assert result.exit_code == (2 if "unproven" in outcomes else 0)
    assert not (tmp_path / "prefix").exists()


def test_something_has_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIPPLE_HOME", str(tmp_path))
    for words, kind in ((["verify"], Invalid), (["verify", "no-such-system"], NotFound)):
        result = CliRunner().invoke(program, words)
        assert isinstance(result.exception, RippleError)
        assert isinstance(result.exception, kind)
