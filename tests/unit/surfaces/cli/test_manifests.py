"""What the command line says of the manifests that are no rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ripple.model.errors import Invalid, NotFound
from ripple.stack.load import load_manifest
from ripple.stack.manifests.hash import manifest_hash
from ripple.stack.manifests.registry import FILES
from ripple.stack.root import project_root
from ripple.surfaces.cli import stack
from ripple.surfaces.cli.pinned import examine_pinned
from ripple.surfaces.cli.verbs import program

MANIFESTS = project_root() / "manifests"


def say(*words: str) -> str:
    done = CliRunner().invoke(program, ["stack", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one manifest."""
    monkeypatch.setattr(stack, "project_root", lambda: tmp_path)
    (tmp_path / "manifests" / "holochain").mkdir(parents=True)
    return tmp_path / "manifests"


def test_the_hash_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = folder(tmp_path, monkeypatch)
    (found / "stack.yaml").write_text("roles: {}\n")
    assert say("hash").strip() == manifest_hash(found)
    assert json.loads(say("hash", "--json")) == {"manifest_hash": manifest_hash(found)}


def test_a_hash_is_refused_where_there_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder(tmp_path, monkeypatch) / "link").symlink_to(tmp_path)
    with pytest.raises(Invalid, match="no regular file"):
        say("hash")


@pytest.mark.parametrize("name", [*FILES, "distributed/inference_policy.yaml", "profiles/laptop.yaml"])
def test_every_manifest_is_shown_as_it_is_read(name: str) -> None:
    shown = json.loads(say("show", name))
    assert shown.keys() >= set(load_manifest(MANIFESTS / name))
    assert json.loads(say("show", f"manifests/{name}", "--json")) == shown


def test_what_is_shown_has_its_defaults_filled_in() -> None:
    assert "discovery" not in load_manifest(MANIFESTS / "holochain/networks.json")["mainnet"]
    assert json.loads(say("show", "holochain/networks.json"))["mainnet"]["discovery"] == "bootstrap"


def test_a_file_with_a_wrong_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = folder(tmp_path, monkeypatch)
    (found / "holochain/versions.json").write_text('{"holochian": "0.4.0"}')
    with pytest.raises(Invalid, match="did you mean 'holochain'"):
        say("show", "holochain/versions.json")
    with pytest.raises(NotFound):
        say("show", "../pyproject.toml")


@pytest.mark.anyio
async def test_the_programs_of_a_conductor_are_compared_with_their_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, said in (
        ("holochain", "holochain 0.4.0"),
        ("hc", "holochain_cli 0.6.3"),
        ("lair-keystore", "hello"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    found = {row["name"]: (row["ok"], row["found"]) for row in await examine_pinned(MANIFESTS)}
    assert found == {
        "holochain": (True, "0.4.0 as pinned"),
        "hc": (False, "hc is pinned to 0.4.0 and is 0.6.3"),
        "lair-keystore": (False, "lair-keystore is pinned to 0.4.5 and is unknown"),
    }


@pytest.mark.anyio
async def test_a_program_that_is_not_there_is_told_with_its_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = await examine_pinned(MANIFESTS)
    assert [row["found"] for row in rows] == [
        "holochain is pinned to 0.4.0 and is not installed",
        "hc is pinned to 0.4.0 and is not installed",
        "lair-keystore is pinned to 0.4.5 and is not installed",
    ]
    assert not any(row["needed"] for row in rows)


@pytest.mark.anyio
async def test_pins_that_cannot_be_read_are_told_and_stop_nothing_else(tmp_path: Path) -> None:
    (row,) = await examine_pinned(tmp_path)
    assert (row["ok"], row["needed"]) == (False, False)
    assert "versions.json" in row["found"]
