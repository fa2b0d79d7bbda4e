"""The rows and profiles as they are checked in, and what is wrong with wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ripple import __version__
from ripple.model.component import Component
from ripple.model.errors import Invalid, NotFound, Unavailable
from ripple.stack.components import in_order, load_component, load_stack
from ripple.stack.root import project_root
from ripple.stack.systems import as_component, load_map
from ripple.supervisor.launch import resolve
from ripple.supervisor.templates import Names

MANIFESTS = project_root() / "manifests"
FOLDERS = ("bin", "tree", "venv", "node", "python", "home", "state", "run")


def system(run: dict[str, Any]) -> dict[str, Any]:
    answers = {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "take it out"}
    external = {"why": "made for this test", "covered_by": "nothing yet"}
    named = {"id": run["id"], "name": run["id"], "kind": "server", "role": "r", "status": "default"}
    return {**named, "summary": "a row of a test", "answers": answers, "external": external, "run": run}


def write_rows(folder: Path, *runs: dict[str, Any]) -> None:
    layer = {"id": "1.9", "name": "L", "purpose": "p"}
    write(folder, "components", "l", {"layer": layer, "systems": [system(run) for run in runs]})


def write(folder: Path, kind: str, name: str, content: dict[str, Any]) -> None:
    path = folder / kind / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)


def row(name: str, *requires: str, **given: Any) -> Component:
    return Component(id=name, name=name, command=("true",), requires=requires, **given)


def test_the_laptop_profile_loads_in_order_and_every_template_in_it_holds() -> None:
    stack = load_stack(MANIFESTS, "laptop")
    names = [one.id for one in stack.components]
    assert set(names) == set(YAML(typ="safe").load(MANIFESTS / "profiles" / "laptop.yaml")["components"])
    assert all(names.index(needed) < names.index(one.id) for one in stack.components for needed in one.requires)
    peers = {one.id: {name: 1000 + number for number, name in enumerate(one.ports)} for one in stack.components}
    folders = dict.fromkeys(FOLDERS, "/x")
    for one in stack.components:
        launch = resolve(one, Names(folders, peers[one.id], peers), "")
        assert launch.ready is not None
        assert launch.live is not None
        assert one.licence
        assert one.version


def test_every_row_of_the_map_that_runs_can_be_started_by_the_supervisor() -> None:
    rows = [as_component(row.system) for row in load_map(MANIFESTS).rows if row.system.run is not None]
    peers = {one.id: dict.fromkeys(one.ports, 1) for one in rows}
    for one in rows:
        resolve(one, Names(dict.fromkeys(FOLDERS, "/x"), peers[one.id], peers), "")


def test_versions_are_those_of_the_installed_packages_and_ripples_own() -> None:
    found = {one.id: one.version for one in load_stack(MANIFESTS, "laptop").components}
    assert found["api"] == found["worker"] == __version__
    written = [row.system.run.version for row in load_map(MANIFESTS).rows if row.system.run is not None]
    assert all(one == "" or one.startswith("{package.") for one in written), "a version is repeated by hand"


def test_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    write_rows(tmp_path, {"id": "a", "command": ["x"], "restart": {"give_up_afer": 3}})
    with pytest.raises(Invalid, match=r"give_up_afer.*did you mean 'give_up_after'"):
        load_map(tmp_path)
    write(tmp_path, "profiles", "p", {"name": "p", "component": ["a"]})
    with pytest.raises(Invalid, match="did you mean 'components'"):
        load_stack(tmp_path, "p")


def test_an_id_that_stands_twice_and_a_name_that_is_not_its_files_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path, {"id": "a", "command": ["x"]}, {"id": "a", "command": ["x"]})
    with pytest.raises(Invalid, match="stands twice"):
        load_map(tmp_path)
    write(tmp_path, "profiles", "p", {"name": "q", "components": ["a"]})
    with pytest.raises(Invalid, match="must agree"):
        load_stack(tmp_path, "p")


@pytest.mark.parametrize("name", ["../laptop", "", "/etc/passwd", "Laptop", "none"])
def test_a_profile_that_is_not_there_names_those_that_are(name: str) -> None:
    with pytest.raises(NotFound, match="laptop"):
        load_stack(MANIFESTS, name)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path, {"id": "a", "command": ["x"], "version": "{package.no-such-package}"})
    with pytest.raises(Unavailable, match="no-such-package"):
        load_component(load_map(tmp_path), "a")
    with pytest.raises(NotFound, match="there are: a"):
        load_component(load_map(tmp_path), "b")


def test_circles_and_missing_rows_are_refused() -> None:
    with pytest.raises(Invalid, match="circle"):
        in_order([row("a", "b"), row("b", "a")])
    with pytest.raises(Invalid, match="a requires b"):
        in_order([row("a", "b")])


def test_a_row_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    write_rows(tmp_path, *({"id": name, "command": ["x"], "enabled": name == "a"} for name in ("a", "b")))
    write(tmp_path, "profiles", "p", {"name": "p", "components": ["a", "b"]})
    assert [one.id for one in load_stack(tmp_path, "p").components] == ["a"]
