"""The prefix on disk: one tree per system and lock entry, each with a receipt that was written last.

    prefix/trees/ID/VERSION-LOCK/            the tree, never changed once its receipt is there
    prefix/trees/ID/VERSION-LOCK.json        the receipt: what it is
    prefix/trees/ID/VERSION-LOCK.files.json  the digest of every file of it
    prefix/bin/NAME                          links to programs (:mod:`ripple.supervisor.install.names`)
    prefix/cache/                            what was fetched (:mod:`ripple.supervisor.install.cache`)

A tree without a receipt is what an interrupted installation left; it is removed and made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.model.errors import Unavailable
from ripple.model.system import RouteKind
from ripple.stack.files import write_whole
from ripple.supervisor.install.cache import Tell, hash_file

TOLD_FILES = 100
_IGNORED = "__pycache__"


@dataclass(frozen=True)
class Tree:
    """An installed system. ``python`` is the tree's own interpreter where it has one (the pypi route)."""

    system: str
    version: str
    route: RouteKind
    root: Path
    python: Path | None = None

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.root / "bin"


class Prefix:
    """The folder that holds all installed systems."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def cache(self) -> Path:
        """What was fetched, by digest."""
        return self.root / "cache"

    @property
    def bin(self) -> Path:
        """Links to the programs of all systems."""
        return self.root / "bin"

    @property
    def names_lock(self) -> Path:
        """Held by whoever changes what stands in ``bin``."""
        return self.root / ".bin.lock"

    def folder(self, system: str, version: str, key: str) -> Path:
        """Where the tree of one lock entry stands."""
        # A colon, as in Debian's epochs, would divide the search paths that the tree stands in.
        plain = re.sub(r"[^A-Za-z0-9._+~-]", "_", version) or "0"
        return self.root / "trees" / system / f"{plain}-{key[:12]}"

    def lock_file(self, system: str) -> Path:
        """Held by whoever changes the trees of a system."""
        return self.root / "trees" / system / ".lock"

    def read(self, folder: Path) -> Tree | None:
        """The tree in ``folder``, if it was finished."""
        try:
            found = json.loads(_receipt(folder).read_text())
            python = folder / found["python"] if found["python"] else None
            tree = Tree(found["system"], found["version"], RouteKind(found["route"]), folder, python)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return tree if folder.is_dir() else None

    def trees(self, system: str) -> list[Tree]:
        """Every finished tree of a system, the newest first."""
        receipts = [
            path
            for path in (self.root / "trees" / system).glob("*.json")
            if not path.name.endswith(".files.json") and not path.name.startswith(".")
        ]
        newest = sorted(receipts, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found = (self.read(path.with_name(path.name.removesuffix(".json"))) for path in newest)
        return [tree for tree in found if tree is not None]

    def half_laid(self, system: str) -> list[Path]:
        """The folders that a killed installation or removal of the system left: trees without a receipt."""
        place = self.root / "trees" / system
        whole = {tree.root for tree in self.trees(system)}
        with contextlib.suppress(OSError):
            return sorted(path for path in place.iterdir() if _is_folder(path) and path not in whole)
        return []

    def finish(self, tree: Tree, facts: dict[str, Any]) -> Tree:
        """Write the receipt of a whole tree."""
        write_whole(_files(tree.root), json.dumps(digests(tree.root), sort_keys=True, indent=0) + "\n")
        python = str(tree.python.relative_to(tree.root)) if tree.python else ""
        known = {"system": tree.system, "version": tree.version, "route": tree.route.value, "python": python}
        write_whole(_receipt(tree.root), json.dumps({**facts, **known}, sort_keys=True, indent=1) + "\n")
        return tree

    def systems(self) -> list[str]:
        """The systems with at least one finished tree."""
        with contextlib.suppress(OSError):
            return sorted(path.name for path in (self.root / "trees").iterdir() if self.trees(path.name))
        return []

    def differences(self, tree: Tree, *, touched_only: bool = False, tell: Tell | None = None) -> list[str]:
        """What of the tree is not as it was installed.

        ``touched_only`` hashes only what was written or linked since the receipt was: fast, and as sharp against
        everything but who sets the clock back.
        """
        try:
            wanted: dict[str, str] = json.loads(_files(tree.root).read_text())
            since = _receipt(tree.root).stat().st_mtime_ns if touched_only else 0
        except (OSError, ValueError):
            return ["its list of files is missing or broken"]
        label = f"checking the files of {tree.system}"
        found = digests(
            tree.root,
            known=wanted,
            since=since,
            tell=lambda done: tell(label, done, len(wanted)) if tell else None,
        )
        return (
            [f"{name} is missing" for name in sorted(set(wanted) - set(found))]
            + [f"{name} was added" for name in sorted(set(found) - set(wanted))]
            + [f"{name} was changed" for name in sorted(set(wanted) & set(found)) if wanted[name] != found[name]]
        )

    def forget(self, folder: Path) -> None:
        """Remove a tree: first its receipt, so that half of it is never taken for a whole one."""
        _receipt(folder).unlink(missing_ok=True)
        _files(folder).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise Unavailable(f"{folder} cannot be removed; see who owns it or what is mounted there")


def digests(
    root: Path,
    *,
    known: Mapping[str, str] | None = None,
    since: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> dict[str, str]:
    """Every file below ``root`` with its SHA-256 and whether it may be run, every link with where it leads.

    Compiled Python is left out, and nothing that could block is opened.

    What is ``known`` and was not touched ``since`` (nanoseconds) is not hashed again.
    """
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != _IGNORED]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in [*names, *links]:
            path = os.path.join(folder, name)  # noqa: PTH118 - half the time over a hundred thousand files
            inside = os.path.relpath(path, root)
            if len(found) % TOLD_FILES == 0:
                tell(len(found))
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[inside] = f"-> {os.readlink(path)}"  # noqa: PTH115
            elif not stat.S_ISREG(status.st_mode):
                found[inside] = "special file"
            elif since and known and inside in known and max(status.st_ctime_ns, status.st_mtime_ns) < since:
                found[inside] = known[inside]
            else:
                runs = " runs" if status.st_mode & 0o111 else ""
                found[inside] = hash_file(Path(path), {"sha256"})["sha256"] + runs
    tell(len(found))
    return found


def _is_folder(path: Path) -> bool:
    """Whether it is a folder itself: what a link leads to is nobody's tree."""
    return path.is_dir() and not path.is_symlink()


def _receipt(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _files(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.files.json")
