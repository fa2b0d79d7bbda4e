"""What ./ripple test runs, in which order, and what its last line says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ripple.model.errors import Invalid
from ripple.stack.root import project_root
from ripple.surfaces.cli import checks
from ripple.surfaces.cli.check_run import Check, Outcome
from ripple.surfaces.cli.checks import PHASES, check_environment, chosen, closing_line, run_checks

ALL = [check for phase in PHASES for lane in phase for check in lane]


def test_every_folder_of_tests_is_run_by_one_check() -> None:
    folders = {path.name for path in (project_root() / "tests").iterdir() if (path / "").is_dir()}
    words = [word for check in ALL for word in check.command]
    for room in ("unit", "conformance", "e2e"):
        assert room in folders
        assert f"tests/{room}" in words
    (rest,) = [check for check in ALL if "tests" in check.command and "pytest" in check.command]
    assert [word for word in rest.command if word.startswith("--ignore")] == [
        f"--ignore=tests/{room}" for room in ("unit", "conformance", "e2e")
    ]


def test_instances_share_the_machine_with_instances_and_the_browser_with_nothing() -> None:
    for phase in PHASES:
        parts = {check.part for lane in phase for check in lane}
        if parts & {"e2e", "browser"}:
            assert len(parts) == 1
        if "browser" in parts:
            assert len(phase) == 1


def test_one_part_can_be_chosen_and_an_unknown_one_names_those_there_are() -> None:
    assert {check.part for phase in chosen("lint") for lane in phase for check in lane} == {"lint"}
    assert [check for phase in chosen("") for lane in phase for check in lane] == ALL
    with pytest.raises(Invalid, match="choose one of lint, console, unit, conformance, e2e, browser"):
        chosen("lnit")


def test_the_checks_lean_on_no_personal_git_settings(tmp_path: Path) -> None:
    environment = check_environment({"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, tmp_path)
    (tmp_path / ".gitconfig").write_text("[user]\nname = Somebody\nemail = somebody@example.invalid\n")
    asked = subprocess.run(["git", "config", "user.name"], env=environment, capture_output=True, check=False)
    trusted = subprocess.run(
        ["git", "config", "--get-all", "safe.directory"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout == b""
    assert trusted.stdout.strip() == str(tmp_path)


def test_the_closing_line_adds_up_every_check() -> None:
    outcomes = [Outcome("a", "one", passed=3, skipped=1), Outcome("b", "two", passed=1, failed=2)]
    assert closing_line(outcomes) == "4 passed, 2 failed, 1 skipped"
    assert closing_line([]) == "0 passed, 0 failed, 0 skipped"


def test_lanes_run_beside_each_other_and_the_last_line_counts_what_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    meet = f"import pathlib, sys, time\np = pathlib.Path({str(tmp_path)!r})\n(p / sys.argv[1]).touch()\n" + (
        "deadline = time.time() + 20\n"
        "while not (p / sys.argv[2]).exists():\n    assert time.time() < deadline\n    time.sleep(0.01)\n"
    )
    one = Check("lint", "one", (sys.executable, "-c", meet, "a", "b"))
    two = Check("unit", "two", (sys.executable, "-c", meet, "b", "a"))
    bad = Check("e2e", "bad", (sys.executable, "-c", "raise SystemExit('it broke')"))
    monkeypatch.setattr(checks, "PHASES", (((one,), (two,)), ((bad,),)))
    assert run_checks("") == 1
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == "2 passed, 1 failed, 0 skipped"
    assert "FAILED" in out
