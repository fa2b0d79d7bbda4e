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
from ripple.supervisor.launch import resolve
from ripple.supervisor.templates import Names

MANIFESTS = project_root() / "manifests"


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
    assert set(names) == {"nats", "temporal", "caddy", "api", "worker"}
    assert all(names.index(needed) < names.index(one.id) for one in stack.components for needed in one.requires)
    peers = {one.id: {name: 1000 + number for number, name in enumerate(one.ports)} for one in stack.components}
    folders = dict.fromkeys(("bin", "python", "home", "state", "run"), "/x")
    for one in stack.components:
        launch = resolve(one, Names(folders, peers[one.id], peers), "")
        assert launch.ready is not None
        assert launch.live is not None
        assert one.licence
        assert one.version


def test_versions_are_those_of_the_installed_packages_and_ripples_own() -> None:
    found = {one.id: one.version for one in load_stack(MANIFESTS, "laptop").components}
    assert found["api"] == found["worker"] == __version__
    for path in (MANIFESTS / "components").glob("*.yaml"):
        written = YAML(typ="safe", pure=True).load(path.read_text()).get("version", "")
        assert written == "" or written.startswith("{package."), f"{path.name} repeats a version by hand"


def test_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, "components", "a", {"id": "a", "name": "A", "command": ["x"], "restart": {"give_up_afer": 3}})
    with pytest.raises(Invalid, match=r"give_up_afer.*did you mean 'give_up_after'"):
        load_component(tmp_path, "a")
    write(tmp_path, "profiles", "p", {"name": "p", "component": ["a"]})
    with pytest.raises(Invalid, match="did you mean 'components'"):
        load_stack(tmp_path, "p")


def test_a_name_that_is_not_its_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "components", "a", {"id": "b", "name": "A", "command": ["x"]})
    with pytest.raises(Invalid, match="must agree"):
        load_component(tmp_path, "a")
    write(tmp_path, "profiles", "p", {"name": "q", "components": ["a"]})
    with pytest.raises(Invalid, match="must agree"):
        load_stack(tmp_path, "p")


@pytest.mark.parametrize("name", ["../laptop", "", "/etc/passwd", "Laptop", "none"])
def test_a_profile_that_is_not_there_names_those_that_are(name: str) -> None:
    with pytest.raises(NotFound, match="laptop"):
        load_stack(MANIFESTS, name)


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    content = {"id": "a", "name": "A", "command": ["x"], "version": "{package.no-such-package}"}
    write(tmp_path, "components", "a", content)
    with pytest.raises(Unavailable, match="no-such-package"):
        load_component(tmp_path, "a")


def test_circles_and_missing_rows_are_refused() -> None:
    with pytest.raises(Invalid, match="circle"):
        in_order([row("a", "b"), row("b", "a")])
    with pytest.raises(Invalid, match="a requires b"):
        in_order([row("a", "b")])


def test_a_row_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    for name, enabled in (("a", True), ("b", False)):
        content = {"id": name, "name": name, "command": ["x"], "enabled": enabled}
        write(tmp_path, "components", name, content)
    write(tmp_path, "profiles", "p", {"name": "p", "components": ["a", "b"]})
    assert [one.id for one in load_stack(tmp_path, "p").components] == ["a"]
