"""The names in the prefix's ``bin``. Each belongs to one system and stays with it until that is removed.

A name that several installed systems have is the first one's; the others' programs stand in their own trees. Names
are changed only under the one lock of the prefix, and every change settles all of them: what a killed installation
left out is made good by the next one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ripple.supervisor.install.prefix import Prefix, Tree

_PYTHONS = frozenset({"python", "python3", "pip", "activate"})


@dataclass(frozen=True)
class Taken:
    """A name that another system holds; ``path`` is where this system's own program of that name is."""

    name: str
    holder: str
    path: Path


def settle_names(prefix: Prefix) -> dict[str, str]:
    """Link every name to its holder's newest tree; returns those that went to another system, with its id.

    Only for who holds ``prefix.names_lock``.
    """
    offers = _offers(prefix)
    moved = {}
    for name in sorted({*offers, *_linked(prefix)}):
        link, offered = prefix.bin / name, offers.get(name, {})
        tree = _tree_of(prefix, link)
        holder = tree.parent.name if tree else None
        if tree and holder not in offered and tree.is_dir() and prefix.read(tree) is None:
            continue  # It is being made again just now.
        if not offered:
            if tree:
                link.unlink(missing_ok=True)
            continue
        heir = holder if holder in offered else min(offered)
        _link(link, offered[heir])
        if holder not in (None, heir):
            moved[name] = heir
    return moved


def taken_names(prefix: Prefix, tree: Tree) -> list[Taken]:
    """The programs of a tree whose names in ``bin`` are another system's."""
    found = []
    for program in _programs(tree):
        holder = _tree_of(prefix, prefix.bin / program.name)
        if holder and holder.parent.name != tree.system:
            found.append(Taken(program.name, holder.parent.name, program))
    return found


def _offers(prefix: Prefix) -> dict[str, dict[str, Path]]:
    """Each name with the systems that have it, and their programs."""
    found: dict[str, dict[str, Path]] = {}
    for system in prefix.systems():
        for tree in prefix.trees(system)[:1]:
            for program in _programs(tree):
                found.setdefault(program.name, {})[system] = program
    return found


def _programs(tree: Tree) -> list[Path]:
    """What of a tree's ``bin`` gets a name; a Python environment's own programs do not."""
    kept = []
    for program in sorted(tree.bin.iterdir()) if tree.bin.is_dir() else ():
        plain = program.name.partition(".")[0]
        pythons = tree.python and plain in _PYTHONS
        if not pythons and not plain.startswith(("activate", "deactivate")) and os.access(program, os.X_OK):
            kept.append(program)
    return kept


def _linked(prefix: Prefix) -> list[str]:
    return [path.name for path in prefix.bin.iterdir() if path.is_symlink()] if prefix.bin.is_dir() else []


def _tree_of(prefix: Prefix, link: Path) -> Path | None:
    """The folder of the tree that a link leads into, whether it is there or not; None if it leads elsewhere."""
    trees = prefix.root / "trees"
    if not link.is_symlink():
        return None
    target = Path(os.path.normpath(link.parent / link.readlink()))
    parts = target.relative_to(trees).parts if target.is_relative_to(trees) else ()
    return trees / parts[0] / parts[1] if len(parts) > 2 else None


def _link(link: Path, program: Path) -> None:
    target = os.path.relpath(program, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
