"""What the command line prints: errors for people and machines, cells as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ripple.model.errors import Unavailable
from ripple.surfaces.cli import output

ROOT = Path(__file__).parents[4]


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ripple.surfaces.cli", *arguments], capture_output=True, text=True, timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}, check=False,
    )  # fmt: skip


def test_an_error_is_one_line_and_one_json_document_when_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ripple", "change", "list", "--json"])
    assert output.fail(Unavailable("nothing [bold]answers[/bold] on /tmp/[x]")) == 1
    seen = capfd.readouterr()
    assert json.loads(seen.out)["error"] == {
        "code": "unavailable",
        "message": "nothing [bold]answers[/bold] on /tmp/[x]",
        "retryable": True,
    }
    assert seen.err.strip() == "error nothing [bold]answers[/bold] on /tmp/[x]"


def test_a_table_shows_what_a_model_wrote_as_text_and_lists_in_one_cell(capfd: pytest.CaptureFixture[str]) -> None:
    output.table([{"a": "[red]x[/red]", "b": None, "c": ["1", "2"]}], {"a": "A", "b": "B", "c": "C"}, "none")
    output.table([], {"a": "A"}, "nothing yet")
    out = capfd.readouterr().out
    assert "[red]x[/red]" in out
    assert "1; 2" in out
    assert "nothing yet" in out


def test_a_command_without_an_instance_says_how_to_start_one_and_exits_1(tmp_path: Path) -> None:
    done = cli("change", "list", "--json", RIPPLE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "./ripple up" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


def test_help_is_said_for_the_wrapper_and_a_terminal_without_unicode_survives_it(tmp_path: Path) -> None:
    done = cli("--help", RIPPLE_HOME=str(tmp_path), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "./ripple" in done.stdout
    assert "surfaces.cli" not in done.stdout
