"""The map: every system of ``manifests/components``, one file a layer."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.model.component import Component
from ripple.model.errors import Invalid, NotFound
from ripple.model.system import Layer, LayerFile, System
from ripple.stack.load import load_manifest, parse

FOLDER = "components"


@dataclass(frozen=True)
class Placed:
    """A system, its layer and the file it stands in."""

    system: System
    layer: Layer
    file: Path


@dataclass(frozen=True)
class StackMap:
    """All systems in the order of the layers."""

    rows: tuple[Placed, ...]

    def get(self, name: str) -> Placed:
        """The system with that id; NotFound names the nearest one."""
        found = next((row for row in self.rows if row.system.id == name), None)
        if found is None:
            near = difflib.get_close_matches(name, [row.system.id for row in self.rows], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; ./ripple stack list shows them"
            raise NotFound(f"no system {name!r} in the map{hint}")
        return found

    def component(self, name: str) -> Placed | None:
        """The system that runs as the component ``name``, if one does."""
        return next((row for row in self.rows if row.system.run is not None and row.system.run.id == name), None)


def load_map(manifests: Path) -> StackMap:
    """Every row below ``manifests``.

    Raises:
        Invalid: a file does not parse, has an unknown key, or an id stands twice.
    """
    files = [(path, _layer(path)) for path in sorted((manifests / FOLDER).glob("*.yaml"))]
    return in_layers([Placed(system, found.layer, path) for path, found in files for system in found.systems])


def in_layers(rows: Sequence[Placed]) -> StackMap:
    """The rows as a map; Invalid where an id stands twice or a layer has two files."""
    layers = {(row.layer.id, row.file) for row in rows}
    for what, names in (
        ("system", [row.system.id for row in rows]),
        ("component", [row.system.run.id for row in rows if row.system.run is not None]),
        ("layer", [layer for layer, _ in layers]),
    ):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise Invalid(f"the {what} {', '.join(twice)} stands twice in manifests/{FOLDER}; keep one")
    return StackMap(tuple(sorted(rows, key=lambda row: order_of(row.layer.id))))


def as_component(system: System) -> Component:
    """The component a system runs as; its version is a template, or else that of its first route."""
    if system.run is None:
        raise Invalid(f"{system.id} has no run section; it is not something the supervisor starts")
    own: dict[str, Any] = {
        "name": system.name,
        "role": system.role,
        "licence": system.licence,
        "upstream": system.upstream,
        "memory_mib": system.resources.memory_mib,
        "version": system.run.version or next((one.version for one in system.routes), "").removeprefix("v"),
    }
    if system.deep is not None:
        own["deep"] = system.deep.model_dump()
    return Component.model_validate(system.run.model_dump() | own)


def order_of(layer: str) -> tuple[int, ...]:
    """A layer's id as it sorts: 1.2 before 1.10."""
    return tuple(int(part) for part in layer.split("."))


def _layer(path: Path) -> LayerFile:
    return parse(LayerFile, load_manifest(path), str(path))
