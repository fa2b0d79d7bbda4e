"""One supervisor per instance: an advisory lock that the kernel lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ripple.model.errors import Conflict
from ripple.model.paths import Home
from ripple.supervisor.places import lock_file

_POLL_SECONDS = 0.02


@contextmanager
def locked(home: Home, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the instance while the block runs.

    Raises:
        Conflict: another process goes on holding it for ``patience_seconds``.
    """
    give_up = time.monotonic() + patience_seconds
    handle = os.open(lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _taken(handle):
            if time.monotonic() >= give_up:
                raise Conflict(f"another supervisor (pid {holder(home)}) runs the instance in {home.root}")
            time.sleep(_POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(home: Home) -> str:
    """The pid of the last process that held the instance."""
    try:
        return lock_file(home).read_text().strip() or "unknown"
    except OSError:
        return "unknown"


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
