"""The report pytest leaves of a run, read as data: which tests there were and how each ended.

An exit status alone can lie: code that ends the process while its tests are collected leaves status 0 and no test.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

FILE = ".ripple-tests.xml"
OPTIONS = {"PYTEST_ADDOPTS": f"--junit-xml=/work/{FILE}"}
"""Environment that makes any pytest below ``/work`` leave its report."""

MAX_BYTES = 32 << 20
_STATES = {"failure": "failed", "error": "error", "skipped": "skipped"}


@dataclass(frozen=True)
class Report:
    """How each test ended, by name: ``passed``, ``failed``, ``error`` or ``skipped``."""

    tests: Mapping[str, str]

    def named(self, *states: str) -> list[str]:
        """The tests that ended in one of ``states``, in their own order."""
        return [name for name, state in self.tests.items() if state in states]


def read_report(tree: Path) -> Report | None:
    """The report in ``tree``, or None when there is none or it is unusable."""
    try:
        data = _bytes(tree / FILE)
        # Declarations are what makes XML from strangers dangerous, and pytest writes none.
        if b"<!" in data:
            return None
        root = ElementTree.fromstring(data)  # noqa: S314
    except (OSError, ElementTree.ParseError, ValueError):
        return None
    return Report({_name(case): _state(case) for case in root.iter("testcase")})


def is_pytest(command: Sequence[str]) -> bool:
    """Whether the command runs pytest itself, so that a report has to be there afterwards."""
    words = [word for part in command for word in _words(part)]
    return any(PurePosixPath(word).name in ("pytest", "py.test") for word in words)


def _bytes(file: Path) -> bytes:
    number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as handle:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise ValueError(f"{file.name} is no file or larger than {MAX_BYTES} bytes")
        return handle.read()


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:
        return part.split()


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname') or ''}::{case.get('name') or ''}".removeprefix("::")


def _state(case: ElementTree.Element) -> str:
    states = [_STATES[child.tag] for child in case if child.tag in _STATES]
    return states[0] if states else "passed"
