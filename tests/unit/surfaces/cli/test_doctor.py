"""The doctor tries what it reports, and says what to do about what it misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ripple.model.paths import Home
from ripple.surfaces.cli import doctor
from ripple.surfaces.cli.doctor import examine


async def rows(home: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in await examine(Home(home))}


@pytest.mark.anyio
async def test_every_system_that_runs_here_says_its_version(tmp_path: Path) -> None:
    found = await rows(tmp_path)
    for name in ("nats-server", "temporal", "caddy", "git"):
        assert found[name]["ok"], found[name]
        assert any(digit in found[name]["found"] for digit in "0123456789")
    assert found["sandbox"]["found"] == "bubblewrap"
    assert found["instance"]["found"] == "not running"


@pytest.mark.anyio
async def test_what_is_missing_says_what_to_do_and_what_is_there_says_nothing(tmp_path: Path) -> None:
    for row in (await rows(tmp_path)).values():
        assert set(row) == {"name", "ok", "needed", "found", "fix"}
        assert bool(row["fix"]) != row["ok"]


@pytest.mark.anyio
async def test_a_program_that_is_there_but_does_not_run_is_not_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("caddy", "#!/nonexistent/loader\n"), ("temporal", "#!/bin/sh\nexit 3\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(doctor, "BIN", tmp_path)
    found = await rows(tmp_path)
    assert not found["caddy"]["ok"]
    assert "does not run" in found["caddy"]["found"]
    assert not found["temporal"]["ok"]


@pytest.mark.anyio
async def test_a_home_that_cannot_be_written_is_found_by_writing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = await rows(tmp_path / "file" / "home")
    assert not found["home"]["ok"]
    assert "RIPPLE_HOME" in found["home"]["fix"]
    assert (await rows(tmp_path / "not" / "yet"))["home"]["ok"]
    assert not (tmp_path / "not").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.anyio
async def test_a_console_that_was_never_built_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "project_root", lambda: tmp_path)
    row = (await rows(tmp_path))["console"]
    assert (row["ok"], row["needed"]) == (False, True)
    assert "index.html" in row["found"]
