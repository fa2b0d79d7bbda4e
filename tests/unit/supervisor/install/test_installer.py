"""A system is installed from the lock, once, whole, or not at all with every route's reason."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from pydantic import ValidationError
from tests.unit.supervisor.install.serving import Shelf, a_system, lock_of, locked_url, tar_of

from ripple.model.errors import Invalid, NotFound, Refused
from ripple.model.system import LockedFile, RouteKind, System, VendorLock
from ripple.supervisor.install import Installer, NotObtainable

pytestmark = pytest.mark.anyio
PROGRAM = "#!/bin/sh\necho said $1\n"
ARCHIVE = tar_of({"tool-1.0/bin/tool": PROGRAM, "tool-1.0/share/data": "data"})


def a_tool(shelf: Shelf) -> tuple[System, VendorLock]:
    """A system with a url route, and its lock."""
    address = shelf.put("/tool.tar.gz", ARCHIVE)
    system = a_system("tool", {"kind": "url", "package": address, "version": "1.0", "provides": ["tool"]})
    return system, lock_of(system, locked_url(system.routes[0], ARCHIVE))


def said(program: Path) -> str:
    return subprocess.run([program, "hello"], check=True, capture_output=True, text=True, timeout=30).stdout


async def test_an_installed_program_runs_and_is_found_without_a_second_fetch(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    assert one.installed(system) is None
    tree = await one.install(system)
    assert said(tree.bin / "tool") == "said hello\n"
    assert said(prefix / "bin" / "tool") == "said hello\n"
    assert (tree.system, tree.version, tree.route, tree.python) == ("tool", "1.0", RouteKind.URL, None)
    assert await one.install(system) == tree
    assert Installer(prefix, lock).installed(system) == tree
    assert await one.verify(system) == []
    assert len(shelf.asked) == 1
    assert list((prefix / "scratch").iterdir()) == []


async def test_one_changed_byte_an_added_and_a_missing_file_are_seen_and_mended(
    shelf: Shelf, prefix: Path
) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    real = tree.root / "app/tool-1.0/bin/tool"
    real.write_text(PROGRAM.replace("said", "Said"))
    (tree.root / "new").touch()
    (tree.root / "app/tool-1.0/share/data").unlink()
    expected = ["app/tool-1.0/share/data is missing", "new was added", "app/tool-1.0/bin/tool was changed"]
    assert await one.verify(system) == expected
    assert one.prefix.differences(tree, touched_only=True) == expected
    mended, different = await one.fix(system)
    assert (mended, different) == (tree, expected)
    assert await one.verify(system) == []
    assert await one.fix(system) == (tree, [])


async def test_a_byte_changed_behind_a_set_back_clock_is_seen_by_the_whole_check(
    shelf: Shelf, prefix: Path
) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    data = tree.root / "app/tool-1.0/share/data"
    before = data.stat()
    data.write_text("DATA")
    subprocess.run(["touch", "-d", f"@{before.st_mtime_ns / 1e9}", data], check=True, timeout=10)
    assert await one.verify(system) == ["app/tool-1.0/share/data was changed"]
    assert one.prefix.differences(tree, touched_only=True) == ["app/tool-1.0/share/data was changed"]


async def test_what_python_compiled_since_is_no_difference(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    (tree.root / "app/__pycache__").mkdir()
    (tree.root / "app/__pycache__/a.pyc").touch()
    assert await one.verify(system) == []


async def test_a_tree_without_a_receipt_is_made_again(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    tree.root.with_name(f"{tree.root.name}.json").unlink()
    (tree.root / "half").touch()
    assert one.installed(system) is None
    assert (await one.install(system)).root == tree.root
    assert await one.verify(system) == []


async def test_removing_takes_the_trees_and_their_links_and_leaves_the_cache(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    assert one.prefix.systems() == ["tool"]
    assert (await one.remove("tool")).trees == (tree,)
    assert not tree.root.exists()
    assert list((prefix / "bin").iterdir()) == []
    assert one.prefix.systems() == []
    await one.install(system)
    assert len(shelf.asked) == 1
    with pytest.raises(NotFound, match="not installed"):
        await one.verify(a_system("other"))


KILLED = """
import os, sys, anyio
from pathlib import Path
from ripple.model.system import System, VendorLock
from ripple.supervisor.install import Installer
from ripple.supervisor.install import prefix as module
prefix, system, lock = sys.argv[1:]
module.digests = lambda *_, **__: os.kill(os.getpid(), 9)
one = Installer(Path(prefix), VendorLock.model_validate_json(lock))
anyio.run(one.install, System.model_validate_json(system))
"""


async def test_removing_takes_what_a_killed_installation_left_and_nothing_that_a_link_leads_to(
    shelf: Shelf, prefix: Path, tmp_path: Path
) -> None:
    system, lock = a_tool(shelf)
    words = [sys.executable, "-c", KILLED, str(prefix), system.model_dump_json(), lock.model_dump_json()]
    source = str(Path(__file__).parents[4] / "src")
    killed = subprocess.run(words, env={"PYTHONPATH": source, "PATH": "/bin:/usr/bin"}, timeout=60, check=False)
    assert killed.returncode == -9
    (tmp_path / "mine").mkdir()
    (prefix / "trees/tool/link").symlink_to(tmp_path / "mine")
    one = Installer(prefix, lock)
    (half,) = one.prefix.half_laid("tool")
    assert (half / "bin/tool").exists()
    removed = await one.remove("tool")
    assert (removed.trees, removed.half_laid) == ((), (half,))
    assert not half.exists()
    assert (tmp_path / "mine").is_dir()
    with pytest.raises(Invalid, match="is no system's id"):
        await one.remove("../trees/tool")


async def test_a_file_that_is_not_the_locked_one_is_refused_and_leaves_nothing(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    shelf.put("/tool.tar.gz", ARCHIVE[:-1] + b"\xff")
    with pytest.raises(Refused, match=f"url {shelf.url}/tool.tar.gz 1.0: .* do not use it"):
        await Installer(prefix, lock).install(system)
    assert not (prefix / "bin").exists()
    assert not list((prefix / "trees" / "tool").glob("1.0*"))


async def test_the_routes_are_tried_in_order_and_every_error_is_told(shelf: Shelf, prefix: Path) -> None:
    first = {"kind": "url", "package": f"{shelf.url}/gone", "version": "2"}
    second = {"kind": "oci", "package": "image.example/tool", "version": "3"}
    third = {"kind": "url", "package": f"{shelf.url}/gone-too", "version": "4"}
    system = a_system("tool", first, second, third)
    locked = [locked_url(system.routes[0], b"x"), locked_url(system.routes[2], b"y" * len(ARCHIVE))]
    with pytest.raises(NotObtainable) as caught:
        await Installer(prefix, lock_of(system, *locked)).install(system)
    attempts = caught.value.attempts
    assert [text.split(" ")[0] for text in attempts] == ["url", "oci", "url"]
    assert "HTTP 404" in attempts[0]
    assert "container engine" in attempts[1]
    assert "HTTP 404" in attempts[2]
    assert not caught.value.retryable


@pytest.mark.parametrize("harm", ["chmod", "fifo", "socket"])
async def test_a_program_that_cannot_be_run_and_what_is_no_file_are_differences(
    shelf: Shelf, prefix: Path, harm: str
) -> None:
    system, lock = a_tool(shelf)
    one = Installer(prefix, lock)
    tree = await one.install(system)
    assert await one.verify(system) == []
    if harm == "chmod":
        (tree.bin / "tool").resolve().chmod(0o644)
    elif harm == "fifo":
        os.mkfifo(tree.root / "pipe")
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(os.path.relpath(tree.root / "s"))
        listening.close()
    assert await one.verify(system)
    mended, different = await one.fix(system)
    assert different
    assert await one.verify(system) == []
    assert subprocess.check_output([mended.bin / "tool"], timeout=30) == b"said\n"


async def test_two_that_mend_one_tree_mend_it_once(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    tree = await Installer(prefix, lock).install(system)
    (tree.bin / "tool").resolve().chmod(0o644)
    found: list[list[str]] = []

    async def mend() -> None:
        found.append((await Installer(prefix, lock).fix(system))[1])

    async with anyio.create_task_group() as group:
        group.start_soon(mend)
        group.start_soon(mend)
    assert sorted(map(bool, found)) == [False, True]


async def test_a_tree_that_cannot_be_mended_stays_and_one_of_another_route_takes_its_place(
    shelf: Shelf, prefix: Path
) -> None:
    first = {"kind": "url", "package": shelf.put("/first", ARCHIVE), "version": "1"}
    second = {"kind": "url", "package": shelf.put("/second", ARCHIVE), "version": "2"}
    system = a_system("tool", {**first, "provides": ["tool"]}, {**second, "provides": ["tool"]})
    lock = lock_of(system, *(locked_url(route, ARCHIVE) for route in system.routes))
    tree = await Installer(prefix, lock).install(system)
    (tree.bin / "tool").resolve().unlink()
    shutil.rmtree(prefix / "cache")
    bodies = dict(shelf.bodies)
    shelf.bodies.clear()
    with pytest.raises(NotObtainable):
        await Installer(prefix, lock).fix(system)
    assert tree.root.is_dir(), "what there is is not thrown away for nothing"
    shelf.bodies["/second"] = bodies["/second"]
    mended, _ = await Installer(prefix, lock).fix(system)
    assert (mended.version, tree.root.exists()) == ("2", False)
    assert await Installer(prefix, lock).verify(system) == []


async def test_a_route_that_nobody_locked_is_not_resolved_while_another_one_works(
    shelf: Shelf, prefix: Path
) -> None:
    first = {"kind": "url", "package": shelf.put("/loose", ARCHIVE), "version": "1"}
    second = {"kind": "url", "package": shelf.put("/locked", ARCHIVE), "version": "2", "provides": ["tool"]}
    system = a_system("tool", first, second)
    lock = lock_of(system, locked_url(system.routes[1], ARCHIVE))
    assert (await Installer(prefix, lock).install(system)).version == "2"
    assert not any(path == "/loose" for path, _ in shelf.asked)


@pytest.mark.parametrize("into", ["/etc/x", "../x", "node_modules/../../x", "node_modules\\x", "elsewhere/x"])
def test_a_lock_cannot_send_a_file_out_of_its_tree(into: str) -> None:
    with pytest.raises(ValidationError, match="no folder below node_modules"):
        LockedFile(url="pkg:npm/x@1", sha256="a" * 64, size=1, into=into)
    assert LockedFile(url="pkg:npm/x@1", sha256="a" * 64, size=1, into="node_modules/@x/y").into


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-rf"])
def test_a_row_cannot_name_a_program_outside_of_bin(name: str) -> None:
    with pytest.raises((ValidationError, Invalid)):
        a_system("tool", {"kind": "npm", "package": "x", "version": "1", "provides": [name]})


async def test_other_bytes_than_the_lock_names_are_no_reason_to_try_the_next_route(
    shelf: Shelf, prefix: Path
) -> None:
    first = {"kind": "url", "package": shelf.put("/bad", ARCHIVE[:-1] + b"\xff"), "version": "1"}
    second = {"kind": "url", "package": shelf.put("/good", ARCHIVE), "version": "1"}
    system = a_system("tool", first, second)
    locked = [locked_url(route, ARCHIVE) for route in system.routes]
    with pytest.raises(Refused, match="do not use it"):
        await Installer(prefix, lock_of(system, *locked)).install(system)
    assert not any("/good" in str(one) for one in shelf.asked)


async def test_a_later_route_is_taken_when_an_earlier_one_fails(shelf: Shelf, prefix: Path) -> None:
    good, _ = a_tool(shelf)
    first = {"kind": "url", "package": f"{shelf.url}/gone", "version": "2"}
    system = a_system("tool", first, good.routes[0].model_dump())
    both = (locked_url(system.routes[0], b"x"), locked_url(system.routes[1], ARCHIVE))
    one = Installer(prefix, lock_of(system, *both))
    assert (await one.install(system)).version == "1.0"
    assert one.installed(system) is not None


async def test_a_system_that_is_not_in_the_lock_says_how_to_lock_it(shelf: Shelf, prefix: Path) -> None:
    system, _ = a_tool(shelf)
    with pytest.raises(NotFound, match=r"\./ripple lock update tool") as caught:
        await Installer(prefix, VendorLock()).install(system)
    assert caught.value.code == "not_locked"


async def test_a_row_of_another_version_is_not_installed_from_an_old_lock(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    newer = a_system("tool", {**system.routes[0].model_dump(), "version": "1.1"})
    with pytest.raises(NotObtainable, match=r"the lock holds 1\.0, the row says 1\.1"):
        await Installer(prefix, lock).install(newer)


async def test_locking_a_url_gives_what_installs_it(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert found.attempts == ()
    assert found.routes[0].files == lock.systems["tool"][next(iter(lock.systems["tool"]))][0].files


async def test_a_route_that_cannot_be_had_is_locked_as_tried_and_installs_nothing(
    shelf: Shelf, prefix: Path
) -> None:
    tool, _ = a_tool(shelf)
    gone = {"kind": "url", "package": f"{shelf.url}/gone", "version": "2"}
    image = {"kind": "oci", "package": "image.example/tool", "version": "3"}
    system = a_system("tool", gone, image, tool.routes[0].model_dump())
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert [(one.package, len(one.files)) for one in found.routes] == [(gone["package"], 0), ("", 1)]
    assert len(found.attempts) == 2
    assert (await Installer(prefix, lock_of(system, *found.routes)).install(system)).version == "1.0"
    with pytest.raises(NotObtainable, match="HTTP 404"):
        await Installer(prefix, lock_of(system, found.routes[0])).install(a_system("tool", gone))


async def test_a_route_whose_resolving_was_ended_from_outside_does_not_count_as_tried(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dying = tmp_path / "go"
    dying.write_text("#!/bin/sh\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    system = a_system("tool", {"kind": "go", "package": "example.test/tool", "version": "v1.0.0"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert (found.routes, len(found.attempts)) == ((), 1)


async def test_an_error_does_not_name_the_host_of_a_registry(prefix: Path) -> None:
    system = a_system("tool", {"kind": "url", "package": "http://registry.example/tool", "version": "1"})
    found = await Installer(prefix, VendorLock()).resolve(system)
    assert "(registry)/tool is not https" in found.attempts[0]


async def test_a_cancelled_installation_leaves_no_half_tree(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)

    def stop(label: str, _done: int, _total: int | None) -> None:
        if label.startswith("installing"):
            scope.cancel()

    with anyio.CancelScope() as scope:
        await Installer(prefix, lock, progress=stop).install(system)
    assert scope.cancelled_caught
    assert Installer(prefix, lock).installed(system) is None
    assert not [path for path in (prefix / "trees/tool").iterdir() if path.name != ".lock"]


INSTALL = """
import sys, anyio
from pathlib import Path
from ripple.model.system import System, VendorLock
from ripple.supervisor.install import Installer
prefix, system, lock = sys.argv[1:]
one = Installer(Path(prefix), VendorLock.model_validate_json(lock))
print(anyio.run(one.install, System.model_validate_json(system)).root)
"""


async def test_processes_that_install_at_once_do_not_harm_each_other(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    words = [sys.executable, "-c", INSTALL, str(prefix), system.model_dump_json(), lock.model_dump_json()]
    source = str(Path(__file__).parents[4] / "src")
    running = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": source, "PATH": "/bin:/usr/bin"}
        )
        for _ in range(3)
    ]
    roots = {one.communicate(timeout=120)[0] for one in running}
    assert [one.returncode for one in running] == [0, 0, 0]
    assert len(roots) == 1
    assert await Installer(prefix, lock).verify(system) == []
    assert len([path for path, _ in shelf.asked if path == "/tool.tar.gz"]) == 1


async def test_the_receipt_says_what_a_tree_is(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    tree = await Installer(prefix, lock).install(system)
    receipt = json.loads(tree.root.with_name(f"{tree.root.name}.json").read_text())
    assert (receipt["system"], receipt["version"], receipt["route"]) == ("tool", "1.0", "url")
