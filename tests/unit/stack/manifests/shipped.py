"""The manifests of this checkout, to be changed one value at a time."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ripple.stack.load import load_manifest, parse
from ripple.stack.manifests.registry import kind_of
from ripple.stack.root import project_root

ROOT = project_root()
MANIFESTS = ROOT / "manifests"
SPECIFICATION: dict[str, Any] = json.loads((Path(__file__).parent / "specification.json").read_text())
"""What the specification says of these files, taken from it word for word."""
T = TypeVar("T", bound=BaseModel)


def data(name: str) -> Any:
    """The plain value of a file, to be changed freely."""
    return copy.deepcopy(load_manifest(MANIFESTS / name))


def changed(name: str, /, **values: Any) -> BaseModel:
    """The file with some of its values others; ``a__b__0`` is the value at a.b[0]."""
    found = data(name)
    for path, value in values.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        place = found
        for part in parents:
            place = place[part]
        place[last] = value
    return parse(kind_of(name)[0], found, name)


def load(name: str, kind: type[T]) -> T:
    """The file as it stands."""
    found = changed(name)
    assert isinstance(found, kind)
    return found
