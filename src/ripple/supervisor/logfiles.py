"""One bounded log per component: processes write to it directly, so it is shortened while they have it open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MAX_BYTES = 8 << 20
"""What a component may have written before its log is rotated; as much again is kept in ``.1``."""
TAIL_BYTES = 1 << 20


def rotate(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move a log that is too large to ``.1``; true when it was.

    The file is copied and then emptied, since its writers keep it open (they append). What is written between the
    two, a matter of milliseconds, is lost.
    """
    try:
        size = path.stat().st_size
        if size <= max_bytes:
            return False
        old, fresh = path.with_name(f"{path.name}.1"), path.with_name(f".{path.name}.1")
        with path.open("rb") as source, fresh.open("wb") as copy:
            offset, left = size - max_bytes, max_bytes
            while left:
                sent = os.sendfile(copy.fileno(), source.fileno(), offset, left)
                if not sent:
                    break
                offset, left = offset + sent, left - sent
        os.truncate(path, 0)
        fresh.replace(old)
    except FileNotFoundError:
        return False
    except OSError:
        # A full disk: better an empty log than one that keeps the disk full.
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
    return True


def tail(path: Path, lines: int) -> str:
    """The last ``lines`` lines, going back to the file before; at most a megabyte."""
    data = _end(path, TAIL_BYTES)
    if data.count(b"\n") < lines and len(data) < TAIL_BYTES:
        data = _end(path.with_name(f"{path.name}.1"), TAIL_BYTES - len(data)) + data
    found = data.decode("utf-8", errors="replace").splitlines()
    return "\n".join(found[-lines:]) + "\n" if found else ""


def discard(path: Path) -> None:
    """Remove a log and the one before it."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.1").unlink(missing_ok=True)


def _end(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)
    except OSError:
        return b""
