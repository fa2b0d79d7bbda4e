"""What runs: the profiles of ``manifests/profiles`` over the map.

Rules of the rows:

- A profile's name is its file's; a component is the ``run`` section of a system (:mod:`ripple.stack.systems`).
- ``version: "{package.NAME}"`` is the version of the installed package NAME; a row without one is Ripple's own.
- What a row requires is in the same profile, and nothing requires itself in a circle.
"""

from __future__ import annotations

import graphlib
import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ripple import __version__
from ripple.model.component import Component
from ripple.model.errors import Invalid, NotFound, Unavailable
from ripple.stack.load import load_manifest, parse
from ripple.stack.systems import StackMap, as_component, load_map

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_PACKAGE = re.compile(r"\{package\.([A-Za-z0-9._-]+)\}")


class Profile(BaseModel):
    """Which components make an instance. ``url`` is a template and leads to the console.

    ``pass_env`` names what Ripple's own processes inherit of the operator's environment; ``settings`` are read by
    :mod:`ripple.stack.settings`. ``budget_mib`` is the memory its rows may need together, 0 for as much as there
    is; ``smaller`` is the profile that runs instead where that or the machine is too small.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    title: str = ""
    components: tuple[str, ...] = Field(min_length=1)
    url: str = ""
    pass_env: tuple[str, ...] = ()
    budget_mib: int = Field(default=0, ge=0)
    smaller: str = ""
    settings: dict[str, Any] = {}


@dataclass(frozen=True)
class Stack:
    """A profile with its enabled rows, each after what it requires."""

    profile: Profile
    components: tuple[Component, ...]


def load_stack(manifests: Path, profile: str) -> Stack:
    """The stack of the profile called ``profile``.

    Raises:
        NotFound: there is no such profile or row.
        Invalid: a file does not parse, has an unknown key, or requires what is not there.
        Unavailable: a package that a row takes its version from is not installed.
    """
    chosen = load_profile(manifests, profile)
    found = load_map(manifests)
    rows = [load_component(found, name) for name in chosen.components]
    return Stack(chosen, in_order(row for row in rows if row.enabled))


def load_profile(manifests: Path, name: str) -> Profile:
    """One file of ``manifests/profiles``; NotFound names the profiles there are."""
    path = manifests / "profiles" / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(file.stem for file in (manifests / "profiles").glob("*.yaml"))) or "none"
        raise NotFound(f"no profile {name!r} in {manifests / 'profiles'}; there are: {known}")
    found = parse(Profile, load_manifest(path), str(path))
    if found.name != name:
        raise Invalid(f"{path} calls itself {found.name!r}; name and file must agree")
    return found


def load_component(found: StackMap, name: str) -> Component:
    """The component ``name`` of the map, its version looked up."""
    row = found.component(name)
    if row is None:
        known = sorted(placed.system.run.id for placed in found.rows if placed.system.run is not None)
        raise NotFound(f"no system of the map runs as {name!r}; there are: {', '.join(known) or 'none'}")
    component = as_component(row.system)
    return component.model_copy(update={"version": _version(component.version, row.file)})


def in_order(rows: Iterable[Component]) -> tuple[Component, ...]:
    """The rows, each after what it requires; Invalid for a circle or a missing row."""
    known = {row.id: row for row in rows}
    for row in known.values():
        missing = [name for name in row.requires if name not in known]
        if missing:
            raise Invalid(
                f"{row.id} requires {', '.join(missing)}, which the profile lacks; add it or drop it there"
            )
    try:
        ordered = tuple(
            graphlib.TopologicalSorter({row.id: row.requires for row in known.values()}).static_order()
        )
    except graphlib.CycleError as error:
        raise Invalid(f"components require each other in a circle: {' → '.join(error.args[1])}") from error
    return tuple(known[name] for name in ordered)


def _version(given: str, path: Path) -> str:
    package = _PACKAGE.fullmatch(given)
    if package is None:
        return given or __version__
    try:
        return importlib.metadata.version(package[1])
    except importlib.metadata.PackageNotFoundError as error:
        raise Unavailable(
            f"{path} needs the package {package[1]}, which is not installed; delete .venv and run ./ripple up"
        ) from error
