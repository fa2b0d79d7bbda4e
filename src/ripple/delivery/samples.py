"""Reading an access log as it grows: each finished line once, across partial lines and rotation."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Sample:
    """One answered request: when (Unix seconds), by which instance's socket, how, and how long it took."""

    at: float
    upstream: str
    status: int
    seconds: float
    synthetic: bool = False

    @property
    def failed(self) -> bool:
        """True for a server error, including an instance that could not be reached (502, 503, 504)."""
        return self.status >= 500


@dataclass(frozen=True)
class Position:
    """How far a log was read: the file's inode and the offset behind the last finished line."""

    inode: int = 0
    offset: int = 0


class AccessLog:
    """An incremental reader. Keeps the open file, so the end of a rotated log is read before the new one."""

    def __init__(self, path: Path, position: Position | None = None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._partial = b""
        if position is not None:
            self._open(position)

    @classmethod
    def at_end(cls, path: Path) -> AccessLog:
        """A reader that starts behind the last finished line."""
        log = cls(path)
        log._open(Position())
        if log._file is not None:
            size = log._file.seek(0, os.SEEK_END)
            start = max(0, size - (64 << 10))
            log._file.seek(start)
            tail = log._file.read(size - start)
            log._partial = tail[tail.rfind(b"\n") + 1 :]
        return log

    @property
    def position(self) -> Position:
        """Where a later reader has to start to miss nothing and see nothing twice."""
        if self._file is None:
            return Position()
        return Position(os.fstat(self._file.fileno()).st_ino, self._file.tell() - len(self._partial))

    def read(self) -> list[Sample]:
        """The requests logged since the last call, oldest first. Lines that are no request are skipped."""
        if self._file is None:
            self._open(Position())
        samples = self._drain()
        if self._file is not None and self._rotated():
            samples += self._drain()
            self.close()
            self._open(Position())
            samples += self._drain()
        return samples

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
        self._file, self._partial = None, b""

    def _open(self, position: Position) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return
        status = os.fstat(self._file.fileno())
        if status.st_ino == position.inode and position.offset <= status.st_size:
            self._file.seek(position.offset)

    def _rotated(self) -> bool:
        assert self._file is not None
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _drain(self) -> list[Sample]:
        if self._file is None:
            return []
        lines = (self._partial + self._file.read()).split(b"\n")
        self._partial = lines.pop()
        return [sample for line in lines if (sample := parse_line(line)) is not None]


def parse_line(line: bytes) -> Sample | None:
    """One line of the log; None when it is not an answered request or no instance was involved."""
    try:
        row = json.loads(line)
        upstream = row["upstream"]
        if not isinstance(upstream, str) or not upstream:
            return None
        return Sample(
            at=float(row["ts"]),
            upstream=upstream.removeprefix("unix/"),
            status=int(row["status"]),
            seconds=float(row["duration"]),
            synthetic=bool(row.get("synthetic")),
        )
    except (ValueError, KeyError, TypeError):
        return None
