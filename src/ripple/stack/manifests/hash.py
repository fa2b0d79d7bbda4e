"""One digest for the whole folder of manifests, as X39 settles it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ripple.model.errors import Invalid


def manifest_hash(folder: Path) -> str:
    """The SHA-256, in hex, of one line ``sha256  path`` per regular file below ``folder``, sorted by path.

    Paths are relative, in POSIX form. Neither times nor modes count.

    Raises:
        Invalid: there is a link or another thing that is no regular file, or no file at all.
    """
    lines = []
    for path in sorted(folder.rglob("*"), key=lambda one: one.relative_to(folder).as_posix()):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or not path.is_file():
            raise Invalid(f"{path} is no regular file; the manifests hold nothing else")
        name = path.relative_to(folder).as_posix()
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    if not lines:
        raise Invalid(f"{folder} holds no manifest")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
