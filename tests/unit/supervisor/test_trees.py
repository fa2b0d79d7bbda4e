"""Components that run from the tree of their system: installed first, or given up with what to do."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.unit.supervisor.conftest import SERVICE, Instance, alive, until
from tests.unit.supervisor.install.serving import Shelf, tar_of
from typer.testing import CliRunner

from ripple.model.component import ComponentState
from ripple.model.system import Smoke, Step, System, this_platform
from ripple.stack.components import load_stack
from ripple.stack.root import project_root
from ripple.stack.systems import as_component, load_map
from ripple.stack.vendorlock import load_lock, update_lock
from ripple.supervisor import start
from ripple.supervisor.install import Installer, Tree
from ripple.supervisor.install.own import own_package
from ripple.supervisor.smoke.outside import task_of
from ripple.supervisor.trees import Trees, trees_of
from ripple.surfaces.cli import installing
from ripple.surfaces.cli.verbs import program

S = ComponentState
REASON = "tool is not installed; run ./ripple component install tool"
SMOKE = Smoke(purpose="is used for a test", steps=(Step(run=("true",), expect="x"),))


class Checkout:
    """An instance with one component of its own environment, and one of a system that a loopback server gives."""

    def __init__(self, instance: Instance, shelf: Shelf) -> None:
        self.instance = instance
        program = {"tool-1.0/bin/tool": f"#!{sys.executable} -IS\n{SERVICE.read_text()}"}
        address = shelf.put("/tool.tar.gz", tar_of(program))
        route = {"kind": "url", "package": address, "version": "1.0", "provides": ["tool"]}
        row = instance.row("tool", "dump", routes=[route], env={"TREE": "{tree}", "NODE": "{node}"})
        row["command"][:4] = ["{bin}/tool"]
        instance.write(instance.row("one"), row)
        found = anyio.run(self.installer.resolve, self.system)
        update_lock(instance.manifests, this_platform(), {"tool": found.routes})

    @property
    def system(self) -> System:
        return load_map(self.instance.manifests).get("tool").system

    @property
    def installer(self) -> Installer:
        return Installer(self.instance.home.prefix, load_lock(self.instance.manifests))

    def install(self) -> Tree:
        return anyio.run(self.installer.install, self.system)

    def up_without_it(self) -> None:
        """Have the instance run while the tool is not installed."""
        self.instance.up(ready=False)
        until(lambda: self.instance.of("tool").state is S.GAVE_UP, "it is given up")
        assert self.instance.of("tool").reason == REASON
        self.instance.call(lambda client: client.wait(["one"], S.READY, 10))


@pytest.fixture
def checkout(instance: Instance) -> Iterator[Checkout]:
    shelf = Shelf()
    yield Checkout(instance, shelf)
    shelf.close()


def test_what_is_not_installed_says_so_and_starts_from_its_tree_once_it_is(checkout: Checkout) -> None:
    instance = checkout.instance
    checkout.up_without_it()
    tree = checkout.install()
    instance.up()
    assert len(instance.starts("one")) == 1
    found = dict(line.split("=", 1) for line in (instance.folder("tool") / "env").read_text().splitlines())
    assert found["TREE"] == str(tree.root)
    assert found["PATH"].split(":")[:2] == [str(tree.bin), str(Path(found["NODE"]).parent)]
    assert os.access(found["NODE"], os.X_OK)


def test_what_is_removed_while_it_runs_is_given_up_when_it_ends(checkout: Checkout) -> None:
    instance = checkout.instance
    checkout.install()
    instance.up()
    anyio.run(checkout.installer.remove, "tool")
    os.kill(instance.of("tool").pid or 0, signal.SIGKILL)
    checkout.up_without_it()
    checkout.install()
    instance.call(lambda client: client.restart("tool"))
    instance.call(lambda client: client.wait(["tool"], S.READY, 10))


def test_what_an_earlier_supervisor_started_is_stopped_when_it_is_not_installed_any_more(
    checkout: Checkout,
) -> None:
    instance = checkout.instance
    checkout.install()
    instance.up()
    pid = instance.of("tool").pid or 0
    instance.kill_daemon()
    anyio.run(checkout.installer.remove, "tool")
    checkout.up_without_it()
    assert not alive(pid)


def test_up_installs_what_the_profile_needs_before_it_starts(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = checkout.instance
    monkeypatch.setenv("RIPPLE_HOME", str(instance.home.root))
    monkeypatch.setattr(installing, "project_root", lambda: instance.root)
    monkeypatch.setattr(start, "MANIFESTS", instance.manifests)
    for name in ("fitting", "ensure_running"):
        with_these = functools.partial(getattr(start, name), manifests=instance.manifests)
        monkeypatch.setattr(start, name, with_these)
    # There is no API in this profile: the verb ends without its link, after everything has started.
    CliRunner().invoke(program, ["up", "--profile", "small", "--no-models"])
    assert checkout.installer.installed(checkout.system) is not None
    instance.call(lambda client: client.wait(["one", "tool"], S.READY, 10))
    assert len(instance.starts("tool")) == 1


def test_the_names_stand_for_the_same_as_in_a_smoke_test(checkout: Checkout) -> None:
    tree, row = checkout.install(), as_component(checkout.system)
    manifests, home = checkout.instance.manifests, checkout.instance.home
    for trees, place in (
        (trees_of(home, manifests, [row]), tree),
        (Trees(home.prefix, manifests), None),
    ):
        names = task_of(checkout.system, SMOKE, place, {}, "/x").names
        assert trees.names(row) == {name: names[name] for name in ("bin", "tree", "venv", "node")}


def test_packages_of_the_environment_need_no_tree_and_nothing_that_installs_is_loaded_for_them() -> None:
    rows = [row.system for row in load_map(project_root() / "manifests").rows if row.system.run is not None]
    here = [system for system in rows if system.run and system.run.version.startswith("{package.")]
    assert here
    assert all(own_package(system) is not None for system in here)
    names = [as_component(system).id for system in here]
    script = f"""
import sys
from pathlib import Path
from ripple.model.paths import Home
from ripple.stack.components import load_component
from ripple.stack.systems import load_map
from ripple.supervisor.__main__ import MANIFESTS
from ripple.supervisor.trees import trees_of
rows = [load_component(load_map(MANIFESTS), name) for name in {names!r}]
trees = trees_of(Home(Path("/none")), MANIFESTS, rows)
assert trees.missing() == []
assert "bin" in trees.names(rows[0])
assert not [name for name in sys.modules if name.startswith("ripple.supervisor.install")]
"""
    env = {**os.environ, "PYTHONPATH": str(project_root() / "src")}
    subprocess.run([sys.executable, "-c", script], check=True, env=env)


def test_a_system_of_another_route_has_a_tree(tmp_path: Path) -> None:
    manifests = project_root() / "manifests"
    opa = load_map(manifests).component("opa")
    assert opa is not None
    home = Instance(tmp_path).home
    (tmp_path / "all").mkdir()
    shutil.copytree(manifests / "components", tmp_path / "all" / "components")
    (tmp_path / "all" / "profiles").mkdir()
    (tmp_path / "all" / "profiles" / "p.yaml").write_text("name: p\ncomponents: [opa, nats]\n")
    stack = load_stack(tmp_path / "all", "p")
    assert [one.id for one in trees_of(home, tmp_path / "all", stack.components).missing()] == ["opa"]
