"""Real systems for the tests that need one, installed from the lock as an operator installs them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import anyio
import pytest

from ripple.model.errors import Unavailable
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.stack.vendorlock import load_lock
from ripple.supervisor.install import Installer

PREFIX = Path(sys.prefix) / "share" / "ripple-tests"
"""Beside the environment of the tests, so that the next run finds it."""


def program(system: str, name: str) -> str:
    """The program ``name`` of a system; the test is not run where the system cannot be had."""
    found = _program(system, name)
    if isinstance(found, Path):
        return str(found)
    pytest.skip(f"not run: {found}")


@functools.cache
def _program(system: str, name: str) -> Path | str:
    manifests = project_root() / "manifests"
    try:
        tree = anyio.run(Installer(PREFIX, load_lock(manifests)).install, load_map(manifests).get(system).system)
    except Unavailable as error:
        return str(error)
    return next(path for path in sorted(tree.root.rglob(name)) if path.is_file())
