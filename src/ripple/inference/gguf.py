"""Is this a GGUF file? Its first bytes, read before any engine parses it."""

from __future__ import annotations

import struct
from pathlib import Path

from ripple.model.errors import Invalid, NotFound

MAGIC = b"GGUF"
VERSIONS = frozenset({2, 3})
MOST_ENTRIES = 1 << 20
_HEADER = struct.Struct("<4sIQQ")


def check_gguf(path: Path) -> None:
    """Return when ``path`` starts like a GGUF file of a known version (ggml-org/ggml, ``docs/gguf.md``).

    Raises:
        NotFound: there is no such regular file.
        Invalid: it is something else, or claims an absurd number of tensors.
    """
    if path.is_symlink() or not path.is_file():
        raise NotFound(f"no model file {path}; add the model again")
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise Invalid(f"{path.name} is not a GGUF file; add the model again")
    _, version, tensors, entries = _HEADER.unpack(head)
    if version not in VERSIONS:
        raise Invalid(f"{path.name} is GGUF version {version}; {', '.join(map(str, sorted(VERSIONS)))} are known")
    if max(tensors, entries) > MOST_ENTRIES:
        raise Invalid(f"{path.name} claims {tensors} tensors and {entries} entries; it is damaged")
