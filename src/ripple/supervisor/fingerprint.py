"""Which Ripple this is: one digest of its code, its policies and the manifests it was given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ripple.stack.root import project_root


def fingerprint(manifests: Path) -> str:
    """Equal as long as no file has changed that Ripple's own processes run or read at their start."""
    digest = hashlib.sha256()
    for room in (project_root() / "src" / "ripple", project_root() / "policies", manifests):
        for path in _files(room):
            data = path.read_bytes()
            digest.update(f"{room.name}/{path.relative_to(room)}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()


def _files(room: Path) -> Iterator[Path]:
    for path in sorted(room.rglob("*")):
        if "__pycache__" not in path.parts and not path.name.startswith(".") and path.is_file():
            yield path
