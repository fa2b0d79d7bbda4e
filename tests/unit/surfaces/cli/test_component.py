"""The verbs about installed systems, as they are typed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn
from ruamel.yaml import YAML
from tests.unit.supervisor.install.serving import Shelf, a_system, tar_of
from typer.testing import CliRunner

from ripple.model.errors import Invalid, NotFound
from ripple.surfaces.cli import installing
from ripple.surfaces.cli.verbs import program

ARCHIVE = tar_of({"tool-1.0/bin/tool": "#!/bin/sh\necho hello\n"})


class Checkout:
    """A checkout with one system that a loopback server gives, and a home of its own."""

    def __init__(self, root: Path, shelf: Shelf) -> None:
        self.root, self.shelf = root, shelf
        (root / "manifests" / "components").mkdir(parents=True)
        self.write("1.0")

    def write(self, version: str, *names: str) -> None:
        """Rows of those names, or of ``tool`` alone, with the same program."""
        address = self.shelf.put("/tool.tar.gz", ARCHIVE)
        route = {"kind": "url", "package": address, "version": version, "provides": ["tool"]}
        rows = [
            a_system(name, route).model_dump(mode="json", exclude_defaults=True) for name in names or ("tool",)
        ]
        layer = {"id": "1.3", "name": "Tools", "purpose": "for a test"}
        with (self.root / "manifests/components/03-tools.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump({"layer": layer, "systems": rows}, file)

    def ask(self, *words: str, exit_code: int = 0) -> Any:
        found = CliRunner().invoke(program, [*words, "--json"], catch_exceptions=False)
        assert found.exit_code == exit_code, found.output
        return json.loads(found.stdout)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    shelf = Shelf()
    monkeypatch.setenv("RIPPLE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(installing, "project_root", lambda: tmp_path / "checkout")
    yield Checkout(tmp_path / "checkout", shelf)
    shelf.close()


def test_a_system_is_locked_installed_checked_mended_and_removed(checkout: Checkout) -> None:
    assert checkout.ask("component", "detect")["systems"][0]["where"] == "absent"
    assert not checkout.ask("lock", "--check", exit_code=2)["ok"]
    locked = checkout.ask("lock", "update")["systems"]
    assert locked == [{"id": "tool", "locked": ["url 1.0"], "files": 1, "failed": []}]
    assert checkout.ask("lock", "--check") == {"ok": True, "findings": []}
    tree = checkout.ask("component", "install", "tool")
    assert (tree["version"], tree["programs"]) == ("1.0", ["tool"])
    assert checkout.ask("component", "verify", "tool") == {"id": "tool", "whole": True, "different": []}
    (Path(tree["root"]) / "bin/tool").write_text("#!/bin/sh\n")
    assert checkout.ask("component", "verify", "tool", exit_code=2)["different"] == ["bin/tool was changed"]
    assert checkout.ask("component", "fix", "tool")["different"] == ["bin/tool was changed"]
    assert checkout.ask("component", "detect", "tool")["systems"][0]["where"] == "prefix"
    assert checkout.ask("component", "info", "tool")["trees"][0]["root"] == tree["root"]
    half = Path(tree["root"]).with_name("half")
    half.mkdir()
    removed = checkout.ask("component", "remove", "tool")
    assert (removed["removed"], removed["half_laid"]) == ([tree["root"]], [str(half)])
    assert checkout.ask("component", "detect")["systems"][0]["where"] == "absent"


def test_of_two_systems_with_one_program_the_second_is_told_whose_the_name_is(checkout: Checkout) -> None:
    checkout.write("1.0", "tool", "twin")
    checkout.ask("lock", "update")
    tree = checkout.ask("component", "install", "tool")
    assert tree["held_elsewhere"] == []
    twin = checkout.ask("component", "install", "twin")
    own = f"{twin['root']}/bin/tool"
    assert twin["held_elsewhere"] == [{"name": "tool", "holder": "tool", "own": own}]
    told = CliRunner().invoke(program, ["component", "install", "twin"], catch_exceptions=False).stdout
    assert f"bin/tool stays tool's; that of twin is {own}\n" in told
    assert checkout.ask("component", "remove", "tool")["names"] == {"tool": "twin"}
    assert checkout.ask("component", "remove", "twin")["names"] == {}


def test_a_row_that_moved_on_is_seen_by_detect_and_by_the_lock(checkout: Checkout) -> None:
    checkout.ask("lock", "update", "tool")
    checkout.ask("component", "install", "tool")
    checkout.write("1.1")
    (found,) = checkout.ask("component", "detect")["systems"]
    assert (found["where"], found["version"]) == ("prefix (not as locked)", "1.0")
    (finding,) = checkout.ask("lock", "--check", exit_code=2)["findings"]
    assert finding["fix"] == "./ripple lock update tool"
    checkout.ask("lock", "update")
    assert checkout.ask("component", "install", "tool")["version"] == "1.1"


def test_a_bundle_is_made_checked_and_installed_from(checkout: Checkout, tmp_path: Path) -> None:
    checkout.ask("lock", "update")
    made = checkout.ask("bundle", "create", str(tmp_path / "bundle"), "tool")
    assert (made["files"], made["size"]) == (1, len(ARCHIVE))
    assert checkout.ask("bundle", "check", str(tmp_path / "bundle"))["digest"] == made["digest"]
    assert (tmp_path / "bundle/sha256" / hashlib.sha256(ARCHIVE).hexdigest()).read_bytes() == ARCHIVE
    checkout.shelf.bodies.clear()
    found = checkout.ask("component", "install", "tool", "--assets-dir", str(tmp_path / "bundle"))
    assert found["version"] == "1.0"


def test_a_system_that_is_gone_from_the_map_is_dropped_from_the_lock(checkout: Checkout) -> None:
    checkout.ask("lock", "update")
    lock = checkout.root / "manifests/vendor.lock.json"
    lock.write_text(lock.read_text().replace('"tool"', '"gone"', 1))
    assert {one["system"] for one in checkout.ask("lock", "--check", exit_code=2)["findings"]} == {"gone", "tool"}
    checkout.ask("lock", "update", "--drop", "gone")
    checkout.ask("lock", "update", "tool")
    assert checkout.ask("lock", "--check")["ok"]


def test_an_unknown_system_is_an_error_that_names_the_nearest(checkout: Checkout) -> None:
    with pytest.raises(NotFound, match="did you mean 'tool'"):
        checkout.ask("component", "install", "tol")


def test_a_line_says_what_is_done_in_what_it_is_counted_in_until_it_ends() -> None:
    screen = Console(file=io.StringIO(), width=100)
    bars = Progress(TextColumn("{task.description}"), installing.Amount())
    shown = installing.Shown(bars, quiet=False)
    shown("checking the files of tool", 120, 2400)
    shown("fetching tool 1.0", 1_500_000, 3_000_000)
    shown("waiting for another installation of tool", 0, None)
    screen.print(bars.get_renderable())
    shown("waiting for another installation of tool", 1, 1)
    shown.stop()
    lines = [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[:2] == ["checking the files of tool 120/2400", "fetching tool 1.0 1.5/3.0 MB"]
    assert lines[2].startswith("waiting for another installation of tool 0:00:")
    assert len(bars.tasks) == 2


def test_a_folder_that_is_no_bundle_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    checkout.ask("lock", "update")
    with pytest.raises(Invalid, match=r"is no bundle .*; make one with \./ripple bundle create"):
        checkout.ask("component", "install", "tool", "--assets-dir", str(tmp_path))
