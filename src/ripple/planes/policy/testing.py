"""``python -m ripple.planes.policy.testing FOLDER``: runs every ``test_*`` rule of the ``_test.rego`` files.

A rule that is false, undefined or fails is a failed test: the rules are counted from the parsed files, so an
engine that leaves failing tests out of its answer cannot make them pass. A test file without tests fails too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.model.errors import Invalid, RippleError
from ripple.planes.policy import encode, read_bundle
from ripple.planes.policy.regorus import UNDEFINED, build_engine, complaint, inspect, syntax
from ripple.planes.policy.vocabulary import rules


@dataclass(frozen=True)
class TestResult:
    """One test rule, where it stands and whether it held; ``reason`` says why not."""

    __test__ = False
    rule: str
    place: str
    passed: bool
    reason: str = ""


def run_tests(folder: Path) -> list[TestResult]:
    """The outcome of every test rule below ``folder``, in file order.

    Raises:
        Invalid: a module does not parse, uses an unsupported built-in, or a test file holds no test.
    """
    modules, data = read_bundle(folder)
    engine = build_engine(modules, encode(data))
    inspect(engine)
    tests = {
        f"{rule.package}.{rule.name}": f"{rule.file}:{rule.line}"
        for rule in rules(syntax(engine))
        if rule.file.endswith("_test.rego") and rule.name.startswith("test_")
    }
    empty = [
        name
        for name in modules
        if name.endswith("_test.rego") and not any(place.startswith(f"{name}:") for place in tests.values())
    ]
    if empty:
        raise Invalid(f"no test_ rule in {', '.join(empty)}; add one or remove the file")
    return [_outcome(engine, rule, place) for rule, place in tests.items()]


def main(arguments: list[str]) -> int:
    """Print the outcome; 0 only when there are tests and all hold."""
    folder = Path(arguments[0]) if arguments else Path("policies")
    try:
        results = run_tests(folder)
    except RippleError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    failed = [result for result in results if not result.passed]
    for result in failed:
        sys.stdout.write(f"FAILED {result.place} {result.rule}: {result.reason}\n")
    sys.stdout.write(f"{len(results) - len(failed)} passed, {len(failed)} failed\n")
    return 0 if results and not failed else 1


def _outcome(engine: Any, rule: str, place: str) -> TestResult:
    try:
        answer = engine.eval_rule_as_json(f"data.{rule}")
    except (RuntimeError, ValueError, TypeError) as error:
        return TestResult(rule, place, False, complaint(error))
    if answer == "true":
        return TestResult(rule, place, True)
    return TestResult(rule, place, False, "is undefined" if answer == UNDEFINED else f"is {answer}, not true")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
