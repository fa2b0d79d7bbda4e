"""A name in the prefix's ``bin`` is one system's, and stays with it until that is removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.unit.supervisor.install.serving import Shelf, a_system, locked_url, tar_of

from ripple.model.errors import RippleError
from ripple.model.system import System, VendorLock, this_platform
from ripple.supervisor.install import Installer
from ripple.supervisor.install.cache import held
from ripple.supervisor.install.names import settle_names, taken_names

pytestmark = pytest.mark.anyio


class Programs:
    """Systems that all have the program ``tool``, which says whose and which version it is."""

    def __init__(self, shelf: Shelf, prefix: Path) -> None:
        self.shelf, self.prefix = shelf, prefix

    def one(self, name: str, version: str = "1", *more: str) -> tuple[System, VendorLock]:
        """A system and its lock."""
        files = dict.fromkeys(("tool", *more), f"#!/bin/sh\necho {name} {version}\n")
        body = tar_of({f"top/bin/{program}": text for program, text in files.items()})
        address = self.shelf.put(f"/{name}-{version}.tar.gz", body)
        route = {"kind": "url", "package": address, "version": version, "provides": list(files)}
        system = a_system(name, route)
        return system, VendorLock(systems={name: {this_platform(): (locked_url(system.routes[0], body),)}})

    async def install(self, name: str, version: str = "1", *more: str) -> Installer:
        system, lock = self.one(name, version, *more)
        installer = Installer(self.prefix, lock)
        await installer.install(system)
        return installer

    def said(self, name: str = "tool") -> str:
        return subprocess.check_output([self.prefix / "bin" / name], text=True, timeout=30).strip()

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.prefix / "bin").iterdir())


@pytest.fixture
def programs(shelf: Shelf, prefix: Path) -> Programs:
    return Programs(shelf, prefix)


async def test_a_name_stays_with_the_system_that_holds_it_and_goes_on_when_that_is_removed(
    programs: Programs,
) -> None:
    await programs.install("b-first")
    other = await programs.install("a-second", "1", "own")
    assert (programs.said(), programs.said("own")) == ("b-first 1", "a-second 1")
    (tree,) = other.prefix.trees("a-second")
    (taken,) = taken_names(other.prefix, tree)
    assert (taken.name, taken.holder, taken.path) == ("tool", "b-first", tree.bin / "tool")
    assert subprocess.check_output([taken.path], text=True, timeout=30) == "a-second 1\n"
    assert (await other.remove("b-first")).names == {"tool": "a-second"}
    assert programs.said() == "a-second 1"
    assert taken_names(other.prefix, tree) == []
    assert (await other.remove("a-second")).names == {}
    assert programs.names() == []


async def test_a_newer_version_and_a_mended_tree_keep_their_names(programs: Programs) -> None:
    await programs.install("b-first", "1", "gone")
    await programs.install("a-second")
    first = await programs.install("b-first", "2")
    assert (programs.said(), programs.names()) == ("b-first 2", ["tool"])
    tree = first.prefix.trees("b-first")[0]
    (tree.root / "new").touch()
    await first.fix(programs.one("b-first", "2")[0])
    assert programs.said() == "b-first 2"


async def test_a_name_is_not_given_away_while_its_holder_is_made_again(programs: Programs) -> None:
    await programs.install("a-second", "1")
    system, lock = programs.one("b-first", "1", "own")
    seen: list[str] = []

    def look(label: str, _done: int, _total: int | None) -> None:
        if label.startswith("installing b-first"):
            settle_names(one.prefix)
            seen.extend(programs.names())

    one = Installer(programs.prefix, lock, progress=look)
    tree = await one.install(system)
    (tree.root / "new").touch()
    seen.clear()
    await one.fix(system)
    assert {"own", "tool"} <= set(seen)
    assert programs.said("own") == "b-first 1"


async def test_a_system_that_cannot_be_made_again_gives_its_names_up(programs: Programs) -> None:
    system, lock = programs.one("b-first")
    one = Installer(programs.prefix, lock)
    tree = await one.install(system)
    await programs.install("a-second")

    def spoil(label: str, _done: int, _total: int | None) -> None:
        if label.startswith("installing b-first"):
            raise RippleError("the disk is full")

    (tree.root / "new").touch()
    with pytest.raises(RippleError, match="the disk is full"):
        await Installer(programs.prefix, lock, progress=spoil).fix(system)
    assert programs.said() == "a-second 1"


async def test_names_are_changed_by_one_installation_at_a_time(programs: Programs) -> None:
    system, lock = programs.one("tool")
    waits = anyio.Event()

    def tell(label: str, _done: int, _total: int | None) -> None:
        if label == "waiting for another installation that links its programs":
            waits.set()

    one = Installer(programs.prefix, lock, progress=tell)
    async with anyio.create_task_group() as group:
        with anyio.fail_after(30):
            async with held(one.prefix.names_lock):
                group.start_soon(one.install, system)
                await waits.wait()
                assert not programs.prefix.joinpath("bin").exists()
    assert programs.said() == "tool 1"


async def test_what_a_killed_installation_left_out_is_linked_by_the_next_one(programs: Programs) -> None:
    await programs.install("a-second")
    (programs.prefix / "bin/tool").unlink()
    await programs.install("other", "1", "else")
    assert programs.said() == "a-second 1"
    (programs.prefix / "bin/mine").write_text("not a link")
    (programs.prefix / "bin/abroad").symlink_to("/bin/sh")
    await programs.install("third", "1", "mine")
    assert programs.names() == ["abroad", "else", "mine", "tool"]


WORK = """
import sys, anyio
from pathlib import Path
from ripple.model.system import System, VendorLock
from ripple.supervisor.install import Installer
prefix, system, lock, last = sys.argv[1:]
row, one = System.model_validate_json(system), Installer(Path(prefix), VendorLock.model_validate_json(lock))
async def work():
    for _ in range(8):
        await one.install(row)
        await one.remove(row.id)
    if last == "stay":
        await one.install(row)
anyio.run(work)
"""


async def test_processes_that_install_and_remove_at_once_leave_every_name_whole(programs: Programs) -> None:
    running = []
    for name, last in (("a", "go"), ("b", "go"), ("c", "stay")):
        system, lock = programs.one(name, "1", f"only-{name}")
        words = [
            sys.executable,
            "-c",
            WORK,
            str(programs.prefix),
            system.model_dump_json(),
            lock.model_dump_json(),
        ]
        env = {"PYTHONPATH": str(Path(__file__).parents[4] / "src"), "PATH": "/bin:/usr/bin"}
        running.append(subprocess.Popen([*words, last], env=env))
    assert [one.wait(200) for one in running] == [0, 0, 0]
    assert (programs.names(), programs.said()) == (["only-c", "tool"], "c 1")
