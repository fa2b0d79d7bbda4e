"""What may take longer than two seconds says what it does on what, and says when that has ended."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.unit.supervisor.install.serving import Shelf, a_system, lock_of, locked_url, tar_of

from ripple.model.system import System, VendorLock
from ripple.supervisor.install import Installer
from ripple.supervisor.install.bundle import check_bundle, create_bundle
from ripple.supervisor.install.cache import held

pytestmark = pytest.mark.anyio
ARCHIVE = tar_of({"top/bin/tool": "#!/bin/sh\n", **{f"top/share/{number}": "" for number in range(250)}})


class Heard:
    """What was told, by label."""

    def __init__(self) -> None:
        self.labels: dict[str, list[tuple[int, int | None]]] = {}
        self.waits = anyio.Event()

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.labels.setdefault(label, []).append((done, total))
        if label.startswith("waiting"):
            self.waits.set()


def a_tool(shelf: Shelf) -> tuple[System, VendorLock]:
    route = {"kind": "url", "package": shelf.put("/tool.tar.gz", ARCHIVE), "version": "1.0", "provides": ["tool"]}
    system = a_system("tool", route)
    return system, lock_of(system, locked_url(system.routes[0], ARCHIVE))


async def test_waiting_for_another_installation_is_told(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    heard = Heard()
    one = Installer(prefix, lock, progress=heard)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group, held(one.prefix.lock_file("tool")):
            group.start_soon(one.install, system)
            await heard.waits.wait()
    assert heard.labels["waiting for another installation of tool"] == [(0, None), (1, 1)]


async def test_resolving_bringing_installing_and_removing_are_told(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    heard, route = Heard(), f"tool: url {shelf.url}/tool.tar.gz"
    await Installer(prefix, VendorLock(), progress=heard).resolve(system)
    assert heard.labels[f"resolving {route}"] == [(0, None), (1, 1)]
    one = Installer(prefix, lock, progress=heard)
    await one.install(system)
    await one.remove("tool")
    for label in (f"bringing the files of {route}", f"installing {route}", "removing tool"):
        assert heard.labels[label] == [(0, None), (1, 1)]


async def test_how_many_files_were_checked_is_told(shelf: Shelf, prefix: Path) -> None:
    system, lock = a_tool(shelf)
    heard = Heard()
    one = Installer(prefix, lock, progress=heard)
    await one.install(system)
    await one.verify(system)
    told = heard.labels["checking the files of tool"]
    assert (told[0], told[-1]) == ((0, None), (1, 1))
    assert told[1:-1] == [(0, 252), (100, 252), (200, 252), (252, 252)]


async def test_how_far_a_bundle_is_made_and_checked_is_told(shelf: Shelf, prefix: Path, tmp_path: Path) -> None:
    system, lock = a_tool(shelf)
    heard = Heard()
    bundle = await create_bundle(Installer(prefix, lock, progress=heard), [system], tmp_path / "bundle")
    assert heard.labels["copying the files of tool"] == [(1, 1)]
    check_bundle(bundle.folder, heard)
    assert heard.labels[f"checking the files of {bundle.folder}"] == [(0, 1)]
