"""What the names of a smoke test's templates and of its scripts' environment stand for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ripple.supervisor.places import MARK


@dataclass(frozen=True)
class Place:
    """Where a system is: its folder, its programs and its own interpreter, if it has one."""

    root: Path
    bin: Path
    python: Path | None = None


@dataclass(frozen=True)
class Own:
    """What Ripple brings along: its interpreter, its sources and its Node.js."""

    python: Path
    source: Path
    node: Path


def template_names(place: Place, others: Mapping[str, Place], own: Own, base: str) -> dict[str, str]:
    """Every name but the ports; ``base`` is the folder of the run, with one folder for each purpose."""
    needed = {
        f"of.{name}.{what}": str(value)
        for name, other in others.items()
        for what, value in (("bin", other.bin), ("tree", other.root), ("venv", other.python or own.python))
    }
    return {
        "bin": str(place.bin),
        "tree": str(place.root),
        "python": str(own.python),
        "venv": str(place.python or own.python),
        "node": str(own.node),
        "src": str(own.source),
        "work": f"{base}/scratch",
        "home": f"{base}/home",
        "state": f"{base}/state",
        "run": f"{base}/run",
        **needed,
    }


def variable(name: str) -> str:
    """A template's name as a script finds it: ``{of.open-bao.bin}`` is OF_OPEN_BAO_BIN."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def step_environment(names: Mapping[str, str], path: str, mark: str) -> dict[str, str]:
    """The environment of every step; ``mark`` is what its processes are found by where nothing else holds them."""
    standing = {"PATH": path, "HOME": names["work"], "TMPDIR": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108
    standing |= {MARK: mark} if mark else {}
    return standing | {variable(name): value for name, value in names.items() if name not in ("home", "src")}


def search_path(place: Place, others: Mapping[str, Place], own: Own, standing: str) -> str:
    """The PATH: the system's programs, those it needs, Ripple's Node.js, then ``standing``."""
    folders = [place.bin, *(other.bin for other in others.values()), own.node.parent]
    return ":".join([*map(str, folders), standing])
