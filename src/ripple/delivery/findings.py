"""What a scanner saw, and what of it is new against the base commit; as rows for policy and evidence.

A row is ``{scanner, version, covers, state, findings, known, notes?, reason?}`` with the states that policy
``ripple/gates/security`` knows: clean, findings, not_scanned, not_applicable.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.delivery.trees import CACHES
from ripple.planes.sandbox import Limits, Sandbox, SandboxSpec

LIMITS = Limits(cpu_seconds=300, wall_seconds=300, memory_bytes=2 << 30, output_bytes=32 << 20)
MAX_SHOWN = 100
_LESSER = frozenset({"MEDIUM", "LOW", "INFO", "NEGLIGIBLE"})
_SKIPPED = CACHES | {".git"}


class NotScannedError(Exception):
    """A scanner could not look; the message says why."""


@dataclass(frozen=True)
class Finding:
    """One thing a scanner found. ``key`` stays the same when the place moves within its file."""

    path: str
    line: int
    severity: str
    rule: str
    message: str
    key: tuple[str, ...]

    def as_row(self) -> dict[str, Any]:
        """Plain data; ``title`` is what policy shows in a reason."""
        path, severity, rule, message = map(_sound, (self.path, self.severity, self.rule, self.message))
        place = f"{path}:{self.line}" if self.line else path
        return {
            "path": path,
            "line": self.line,
            "severity": severity,
            "rule": rule,
            "message": message,
            "title": f"{rule} {message} ({place})",
        }


@dataclass(frozen=True)
class Scanner:
    """Who looked, for what."""

    name: str
    version: str
    covers: str

    def judged(
        self, seen: Sequence[Finding], known: Sequence[Finding], small: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """The row for what was ``seen`` in the tree but not in its base; severities in ``small`` are notes."""
        # Grave ones first: what is cut off at the end must not be what policy would refuse.
        fresh = sorted(_fresh(seen, known), key=lambda one: (one.severity in _LESSER, one.path, one.line))
        findings = [one.as_row() for one in fresh if one.severity not in small]
        notes = [one.as_row() for one in fresh if one.severity in small]
        row = self._row("findings" if findings else "clean", findings[:MAX_SHOWN], len(seen) - len(fresh))
        return {**row, "notes": notes[:MAX_SHOWN]} if notes else row

    def without(self, state: str, reason: str) -> dict[str, Any]:
        """The row of a scan that was not made, ``not_scanned`` or ``not_applicable``."""
        return {**self._row(state, [], 0), "reason": reason}

    def _row(self, state: str, findings: list[dict[str, Any]], known: int) -> dict[str, Any]:
        return {
            "scanner": self.name,
            "version": self.version,
            "covers": self.covers,
            "state": state,
            "findings": findings,
            "known": known,
        }


async def json_of(sandbox: Sandbox, spec: SandboxSpec) -> dict[str, Any]:
    """The JSON object that a scanner prints.

    Raises:
        NotScannedError: it failed, was stopped, or printed something else.
    """
    result = await sandbox.run(spec)
    if not result.ok:
        said = " ".join(result.stderr.decode(errors="replace").split())[-300:]
        raise NotScannedError(f"{result.reason}{f': {said}' if said else ''}")
    try:
        found = json.loads(result.stdout)
    except (ValueError, RecursionError) as error:
        raise NotScannedError(f"its answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise NotScannedError("its answer is no JSON object")
    return found


def changed_files(folder: Path, base: Path) -> frozenset[str]:
    """Paths that are new, gone or other in ``folder`` than in ``base``; links count by where they lead."""
    mine, theirs = dict(_files(folder)), dict(_files(base))
    return frozenset(
        path
        for path in mine.keys() | theirs.keys()
        if path not in mine or path not in theirs or _content(mine[path]) != _content(theirs[path])
    )


def _sound(text: str) -> str:
    """Text that can be signed: half a surrogate pair, which a hostile file can bring in, is no UTF-8."""
    return text.encode(errors="replace").decode()


def _fresh(seen: Iterable[Finding], known: Iterable[Finding]) -> list[Finding]:
    left = Counter(one.key for one in known)
    fresh = []
    for one in seen:
        if left[one.key] > 0:
            left[one.key] -= 1
        else:
            fresh.append(one)
    return fresh


def _files(root: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.is_file():
            yield prefix + path.name, path
        elif path.is_dir() and path.name not in _SKIPPED:
            yield from _files(path, f"{prefix}{path.name}/")


def _content(path: Path) -> bytes:
    return b"link\0" + bytes(path.readlink()) if path.is_symlink() else b"file\0" + path.read_bytes()


def text_of(found: Mapping[str, Any], *keys: str) -> str:
    """The first of ``keys`` that holds something, as text."""
    return next((str(found[key]) for key in keys if found.get(key)), "")
