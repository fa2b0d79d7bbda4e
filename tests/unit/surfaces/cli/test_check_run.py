"""A check's outcome comes from its exit status and its report, and a doubt is a failure."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ripple.surfaces.cli import check_run
from ripple.surfaces.cli.check_run import NOTHING_COLLECTED, REPORT, TOO_LATE, Check, judge, run_check

PYTEST = Check("unit", "unit", (sys.executable, "-m", "pytest", "-q", f"--junitxml={REPORT}", "."))
BARE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
TESTS = """
import pytest

def test_that_this_one_passes(): pass
def test_that_this_one_fails(): assert 1 == 2
@pytest.mark.skip(reason="no browser here")
def test_that_this_one_is_skipped(): pass
@pytest.fixture
def broken(): raise OSError
def test_whose_set_up_breaks(broken): pass
"""


def python(code: str, *, reports: bool = False) -> Check:
    """A check that runs Python code; with a report it gets the report's path as its argument."""
    return Check("lint", "code", (sys.executable, "-c", code, *([REPORT] if reports else [])))


def test_pytest_is_counted_by_its_report(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    outcome = run_check(PYTEST, tmp_path, BARE, live=False)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 1)
    assert outcome.reasons == ("no browser here",)
    assert outcome.word == "FAILED"
    assert "assert 1 == 2" in outcome.said
    assert outcome.seconds > 0


def test_a_file_that_cannot_be_collected_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import nothing_of_that_name\n")
    outcome = run_check(PYTEST, tmp_path, BARE, live=False)
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_a_part_without_tests_did_not_run_and_did_not_pass(tmp_path: Path) -> None:
    outcome = run_check(PYTEST, tmp_path, BARE, live=False)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (0, 0, 1)
    assert outcome.word == "not run"


def test_a_command_without_a_report_is_one_test(tmp_path: Path) -> None:
    good = run_check(python("print('fine')"), tmp_path, os.environ, live=False)
    bad = run_check(python("raise SystemExit(4)"), tmp_path, os.environ, live=False)
    assert [(one.passed, one.failed) for one in (good, bad)] == [(1, 0), (0, 1)]
    assert good.said == "fine\n"


def test_a_program_that_is_not_there_is_a_failure_with_its_name(tmp_path: Path) -> None:
    outcome = run_check(Check("lint", "tool", ("/nonexistent/tool",)), tmp_path, os.environ, live=False)
    assert outcome.failed == 1
    assert "/nonexistent/tool" in outcome.said


def test_a_runner_that_dies_after_a_good_report_has_not_passed(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write('<r><testcase/></r>'); sys.exit(9)"
    outcome = run_check(python(code, reports=True), tmp_path, os.environ, live=False)
    assert (outcome.passed, outcome.failed) == (1, 1)
    assert "exit status 9" in outcome.reasons[0]


@pytest.mark.parametrize("report", [None, "", "<testsuites", "<testsuites/>"])
def test_a_runner_that_leaves_no_whole_report_has_not_passed(report: str | None, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    if report is not None:
        path.write_text(report)
    assert judge(PYTEST, 0, path).failed == 1


@pytest.mark.parametrize("status", [1, 2, 3, 4, TOO_LATE, -9])
def test_no_bad_exit_status_ever_passes(status: int, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text("<testsuites><testsuite><testcase name='a'/></testsuite></testsuites>")
    assert judge(PYTEST, status, path).failed >= 1
    assert judge(python(""), status, path).failed == 1
    assert status != NOTHING_COLLECTED


def test_nodes_own_report_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(
        '<?xml version="1.0"?><testsuites><testcase name="top"/><testsuite name="s"><testcase name="a"/>'
        '<testcase name="b" failure="x"><failure type="testCodeFailure">x</failure></testcase>'
        '<testcase name="c"><skipped type="skipped" message="later"/></testcase></testsuite></testsuites>'
    )
    outcome = judge(PYTEST, 1, path)
    assert (outcome.passed, outcome.failed, outcome.skipped, outcome.reasons) == (2, 1, 1, ("later",))


def test_a_check_past_its_deadline_is_stopped_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import pathlib, subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        "new = pathlib.Path('child.new'); new.write_text(str(child.pid)); new.rename('child'); time.sleep(60)"
    )
    for seconds in (1.0, 5.0, 20.0):  # until there was time to start the child
        monkeypatch.setattr(check_run, "CHECK_SECONDS", seconds)
        outcome = run_check(python(code, reports=True), tmp_path, os.environ, live=False)
        assert outcome.failed == 1
        assert "was stopped" in outcome.reasons[0]
        if (tmp_path / "child").exists():
            break
    child = int((tmp_path / "child").read_text())
    _has_ended(lambda: _runs(child))


def test_what_a_check_starts_while_it_is_stopped_does_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import pathlib, subprocess, time; pathlib.Path('begun').touch()\n"
        "for _ in range(500): subprocess.Popen(['sleep', '60']); time.sleep(0.005)\n"
        "time.sleep(60)"
    )
    for seconds in (1.0, 5.0, 20.0):  # until there was time to begin
        monkeypatch.setattr(check_run, "CHECK_SECONDS", seconds)
        run_check(python(code), tmp_path, os.environ, live=False)
        if (tmp_path / "begun").exists():
            break
    assert (tmp_path / "begun").exists()
    _has_ended(lambda: any(one.info["cwd"] == str(tmp_path) for one in psutil.process_iter(["cwd"])))


def _has_ended(runs: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while runs():
        assert time.monotonic() < deadline, "the child outlived its check"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
