"""One check of ``./ripple test``: running its command, and counting what its report says happened."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import psutil

REPORT = "{report}"
"""Stands in a command for the file that its JUnit report goes to."""
CHECK_SECONDS = 1500.0
NOT_THERE, TOO_LATE, NOTHING_COLLECTED = 127, 124, 5


@dataclass(frozen=True)
class Check:
    """One command of a part. Without :data:`REPORT` among its words it counts as one test."""

    part: str
    name: str
    command: tuple[str, ...]
    folder: str = "."

    @property
    def reports(self) -> bool:
        """Whether the command counts its own tests."""
        return any(REPORT in word for word in self.command)


@dataclass(frozen=True)
class Outcome:
    """What became of a check: counts of tests, why some were skipped, and what it said unless that was shown."""

    part: str
    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0
    said: str = ""

    @property
    def word(self) -> str:
        """The outcome in a word or two."""
        if self.failed:
            return "FAILED"
        return "ok" if self.passed else "not run"


def run_check(check: Check, root: Path, environment: Mapping[str, str], *, live: bool) -> Outcome:
    """Run a check to its end or deadline. With ``live`` its output goes where ours goes, else into the outcome."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ripple-check-") as folder, tempfile.TemporaryFile() as output:
        report = Path(folder) / "report.xml"
        command = [word.replace(REPORT, str(report)) for word in check.command]
        try:
            process = subprocess.Popen(
                command,
                cwd=root / check.folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=None if live else output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            return replace(judge(check, NOT_THERE, report), said=f"cannot run {command[0]}: {error}\n")
        status = _wait(process)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
        return replace(judge(check, status, report), seconds=time.monotonic() - began, said=said)


def judge(check: Check, status: int, report: Path) -> Outcome:
    """The outcome by exit status and report; a bad status is at least one failure, whatever the report says."""
    outcome = Outcome(check.part, check.name)
    if status == NOT_THERE:
        return replace(outcome, failed=1, reasons=("its program is not there; delete .venv and repeat",))
    if not check.reports:
        return replace(outcome, passed=int(status == 0), failed=int(status != 0))
    if status == NOTHING_COLLECTED:
        return replace(outcome, skipped=1, reasons=("there is no such test",))
    counted = count(outcome, report)
    if status == TOO_LATE:
        why = f"it did not end within {CHECK_SECONDS:.0f} s and was stopped"
        return replace(counted, failed=counted.failed + 1, reasons=(*counted.reasons, why))
    if status and not counted.failed:
        why = f"it ended with exit status {status} without saying which test failed"
        return replace(counted, failed=1, reasons=(*counted.reasons, why))
    if not counted.passed + counted.failed + counted.skipped:
        return replace(counted, failed=1, reasons=("it left no report of its tests",))
    return counted


def count(outcome: Outcome, report: Path) -> Outcome:
    """The outcome with the test cases of a JUnit report; none where the report is missing or torn."""
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 (written by our own test runner)
    except (OSError, ElementTree.ParseError):
        return outcome
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [found for case in cases if case not in failed and (found := case.find("skipped")) is not None]
    reasons = tuple(dict.fromkeys(found.get("message", "") for found in skipped))
    passed = len(cases) - len(failed) - len(skipped)
    return replace(outcome, passed=passed, failed=len(failed), skipped=len(skipped), reasons=reasons)


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(CHECK_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_all(psutil.Process(process.pid))
        process.wait()
        return TOO_LATE


def _kill_all(parent: psutil.Process) -> None:
    """Kill a process and everything under it. All are halted first, or they start more after they were listed."""
    halted: set[psutil.Process] = set()
    while found := {parent, *parent.children(recursive=True)} - halted:
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        halted |= found
    for one in halted:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
