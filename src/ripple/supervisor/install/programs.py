"""The programs of a tree: small wrappers in its ``bin`` that start the real ones where they stand."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ripple.model.errors import Invalid

_FOLDERS = ("", "bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/games", "usr/libexec")


def find_program(root: Path, name: str) -> Path:
    """The program of that name below ``root``; Invalid if there is none."""
    for folder in _FOLDERS:
        path = root / folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = sorted(path for path in root.rglob(name) if path.is_file() and os.access(path, os.X_OK))
    if not found:
        raise Invalid(f"the package holds no program {name!r}; mend 'provides' of the route")
    return found[0]


def wrap(bin_folder: Path, name: str, words: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """A program ``name`` that becomes ``words``; ``env`` are shell words, which may use the old values."""
    bin_folder.mkdir(parents=True, exist_ok=True)
    settings = "".join(f"export {key}={value}\n" for key, value in (env or {}).items())
    command = " ".join(shlex.quote(str(word)) for word in words)
    target = bin_folder / name
    target.write_text(f'#!/bin/sh\n{settings}exec {command} "$@"\n')
    target.chmod(0o755)


def first_bytes(path: Path, count: int = 128) -> bytes:
    """How a file begins: what kind of program it is."""
    with path.open("rb") as file:
        return file.read(count)
