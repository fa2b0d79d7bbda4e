"""What starts an instance: short sockets, files kept read-only, braces left alone."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from ripple.delivery.instances import Launch, Places, component_of, make_read_only
from ripple.model.errors import NotFound, Refused
from ripple.model.paths import Home
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox

RELEASE = "sha256:" + "ab" * 32


def launch(**changes: object) -> Launch:
    row = {
        "application": "shop",
        "environment": "qa",
        "release": RELEASE,
        "commit": "c" * 40,
        "command": ["python", "-c", "print({'a': 1})"],
        "env": {"LEVEL": "{debug}"},
        "read_only": [],
        "ready_path": "/healthz",
        "startup_seconds": 5,
        "memory_bytes": 1 << 28,
    }
    return Launch.model_validate({**row, **changes})


def test_a_socket_is_short_however_long_the_home_is(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep/" * 30))
    path = Places(home).socket("shop", "qa", RELEASE)
    assert len(os.fsencode(path)) <= 100
    private = path.parents[2]
    assert private.stat().st_mode & 0o077 == 0
    assert path == Places(home).socket("shop", "qa", RELEASE)
    assert path != Places(home).socket("shop", "prod", RELEASE)
    assert path != Places(Home(tmp_path / ("other/" * 30))).socket("shop", "qa", RELEASE)
    private.rmdir()


def test_a_socket_folder_that_others_could_enter_is_refused(tmp_path: Path) -> None:
    places = Places(Home(tmp_path / ("deep/" * 30)))
    folder = places.socket("shop", "qa", RELEASE).parents[2]
    folder.chmod(0o755)
    with pytest.raises(Refused, match="private"):
        places.socket("shop", "qa", RELEASE)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(Refused, match="private"):
        places.socket("shop", "qa", RELEASE)
    folder.unlink()


def test_an_instance_is_started_from_what_was_kept(tmp_path: Path) -> None:
    places = Places(Home(tmp_path))
    with pytest.raises(NotFound, match="gone"):
        places.load("shop", "qa", RELEASE)
    places.tree("shop", RELEASE).mkdir(parents=True)
    places.save(launch())
    assert places.load("shop", "qa", RELEASE) == launch()


def test_the_component_runs_the_application_read_only_without_network() -> None:
    with tempfile.TemporaryDirectory(prefix="rpl-") as folder:
        places = Places(Home(Path(folder)))
        places.tree("shop", RELEASE).mkdir(parents=True)
        component = component_of(launch(), places, Sandbox(BubblewrapSandbox()))
    assert component.id == "app.shop.qa.abababab"
    assert component.ready is not None
    assert component.ready.target.endswith("/s|/healthz")
    words = component.command
    assert words[words.index("/work") - 2] == "--ro-bind"
    assert "--share-net" not in words
    assert "print({{'a': 1}})" in words, "braces of a command are doubled: a component's strings are templates"
    assert "{{debug}}" in words


def test_files_of_a_release_cannot_be_written(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src" / "app.py").write_text("x")
    (tree / "link").symlink_to("src/app.py")
    make_read_only(tree)
    assert (tree / "src" / "app.py").stat().st_mode & 0o222 == 0
    assert (tree / "src").stat().st_mode & 0o222 == 0


def test_only_needed_releases_are_kept(tmp_path: Path) -> None:
    places = Places(Home(tmp_path))
    for release in (RELEASE, "sha256:" + "cd" * 32):
        tree = places.tree("shop", release)
        tree.mkdir(parents=True)
        (tree / "file").write_text(json.dumps({}))
        make_read_only(tree)
    places.prune("shop", {RELEASE})
    assert [path.name for path in places.releases("shop").iterdir()] == ["ab" * 8]
    places.prune("nothing", set())
