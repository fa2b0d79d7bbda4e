"""The head of the audit log, kept in a file of its own, so that a cut-off tail is noticed.

What it proves: when the file was written, the log had that many entries and ended in that hash; a log that now is
shorter, or has another hash there, lost or changed entries. It moves at most once a second, so the entries since
are not covered yet. It is not signed: who can write both the database and this file can forge both. Keep a copy
of the head elsewhere (``ripple audit verify --json`` prints it) to be safe from that.

- The anchor only moves forward, and only over a log that still contains it: a cut log cannot renew its anchor.
- It is replaced by rename after fsync; several processes take turns by a lock file.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from ripple.governance.chain import GENESIS, Head
from ripple.model.errors import Broken


class Anchor:
    """One anchor file; it need not exist yet."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Head:
        """The kept head; an empty one when there is no file. Broken when the file is unreadable."""
        try:
            found = json.loads(self.file.read_text())
            return Head(int(found["entries"]), str(found["hash"]))
        except FileNotFoundError:
            return Head(0, GENESIS)
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "compare the log with a head kept elsewhere, then remove the file"
            raise Broken(f"the audit anchor {self.file} is unreadable: {error!r}; {hint}") from error

    def advance(self, known: Head, head: Head) -> None:
        """Move from ``known`` to ``head``; does nothing when another process has moved on already."""
        with self.file.with_name(f"{self.file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.read() == known and head.entries > known.entries:
                self._replace(head)

    def _replace(self, head: Head) -> None:
        fresh = self.file.with_name(f"{self.file.name}.new")
        with fresh.open("w") as handle:
            json.dump({"entries": head.entries, "hash": head.hash}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
