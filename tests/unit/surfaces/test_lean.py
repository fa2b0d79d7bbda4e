"""What the processes of an instance load when they start: nothing that only developers or later calls need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ripple.stack.root import project_root

HEAVY = {
    "ripple.surfaces.http.__main__": ("temporalio", "rich.console", "ruamel.yaml", "hypothesis", "bandit"),
    "ripple.surfaces.worker": ("rich.console", "hypothesis", "bandit", "fastapi"),
    "ripple.surfaces.cli.everyday": ("httpx", "google.protobuf", "ripple.supervisor.install", "ripple.delivery"),
    "ripple.supervisor.__main__": ("temporalio", "rich.console", "ruamel.yaml", "sqlalchemy", "httpx", "fastapi"),
}


def printed(code: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(project_root() / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return done.stdout


@pytest.mark.parametrize("module", HEAVY)
def test_a_process_starts_without_what_it_does_not_need(module: str) -> None:
    """``rich`` itself may be there, empty: what costs is what lies below it."""
    asked = f"import sys, {module}; print([name for name in {HEAVY[module]!r} if name in sys.modules])"
    assert printed(asked) == "[]\n"


def test_what_was_loaded_without_rich_leaves_rich_to_others() -> None:
    asked = (
        "import ripple.surfaces.lean, structlog, httpx, rich.console; print(structlog.dev.rich, httpx.get is None)"
    )
    assert printed(asked) == "None False\n"
