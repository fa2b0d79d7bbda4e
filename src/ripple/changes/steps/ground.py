"""What a change stands on: the base commit's files, what its manifest says, and the toolchain its lock names.

Every command and every limit comes from here, never from a candidate: a change cannot rewrite how it is judged.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.changes.steps.rooms import Rooms
from ripple.delivery.application import load_application
from ripple.delivery.toolchain import Toolchain, toolchain_of
from ripple.model.application import ApplicationManifest


@dataclass(frozen=True)
class Ground:
    """The base commit of one change, checked out."""

    folder: Path
    manifest: ApplicationManifest

    @property
    def guarded(self) -> dict[str, Any]:
        """What the edits policy is told beside the paths: the configuration's folder, the files out of reach."""
        named = (self.manifest.toolchain.python, self.manifest.evals)
        return {"config_dir": self.manifest.config or "", "protected": [path for path in named if path]}


async def ground_of(rooms: Rooms, change: Mapping[str, Any], commit: str | None = None) -> Ground:
    """The files of ``commit`` (the change's base by default), checked out once under the change's folder."""
    wanted = commit or change["base_commit"]
    folder = rooms.folder(change) / "base"
    marker = folder.with_name("base.commit")
    if not (marker.exists() and marker.read_text() == wanted):
        marker.unlink(missing_ok=True)
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
        folder.parent.mkdir(parents=True, exist_ok=True)
        await (await rooms.repository(change)).checkout(wanted, folder)
        marker.write_text(wanted)
    return Ground(folder, load_application(folder))


async def toolchain_for(rooms: Rooms, folder: Path, manifest: ApplicationManifest) -> Toolchain:
    """The toolchain of the tree in ``folder``, built once per lock."""
    return await toolchain_of(rooms.home.toolchains, folder, manifest)


async def placed_tree(rooms: Rooms, change: Mapping[str, Any], tree: str) -> Path:
    """The files of a candidate's tree, byte for byte what its hash names; they are there whole or not at all."""
    folder = tree_folder(rooms, change, tree)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        await (await rooms.repository(change)).checkout(tree, folder)
    return folder


def tree_folder(rooms: Rooms, change: Mapping[str, Any], tree: str) -> Path:
    """Where a candidate's tree lies."""
    return rooms.folder(change) / "trees" / tree
