"""The audit chain as pure functions: sealing an entry behind another, and judging a row by the one before it.

An entry's hash is the digest of its other fields in canonical form, one of which is the hash of the entry before.
So a changed, removed, inserted or reordered row contradicts the row itself or its successor. What a chain alone
cannot show is a cut-off tail: that takes a copy of the head kept elsewhere (:mod:`ripple.governance.anchor`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ripple.model.digest import canonical_json, digest_bytes
from ripple.model.governance import AuditEntry

GENESIS = "sha256:" + "0" * 64
"""What the first entry names as the one before it."""


@dataclass(frozen=True)
class Head:
    """The newest entry's number and hash; 0 and :data:`GENESIS` for an empty log."""

    entries: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class Break:
    """The first row that does not fit, and why."""

    at: int
    reason: str


def entry_hash(fields: Mapping[str, Any]) -> str:
    """The digest of an entry's fields but ``hash`` (RFC 8785 form)."""
    return digest_bytes(canonical_json({name: value for name, value in fields.items() if name != "hash"}))


def seal(head: Head, bodies: Iterable[Mapping[str, Any]]) -> list[AuditEntry]:
    """The entries that continue ``head``; a body has every field but ``seq``, ``previous`` and ``hash``."""
    sealed = []
    for body in bodies:
        fields = {**body, "seq": head.entries + 1, "previous": head.hash}
        entry = AuditEntry(**fields, hash=entry_hash(fields))
        sealed.append(entry)
        head = Head(entry.seq, entry.hash)
    return sealed


def follow(head: Head, rows: Iterable[Mapping[str, Any]]) -> Head | Break:
    """The head behind ``rows`` (in order of ``seq``), or the first row that does not continue the chain."""
    for row in rows:
        reason = _misfit(head, row)
        if reason:
            return Break(row["seq"], f"entry {row['seq']}: {reason}")
        head = replace(head, entries=row["seq"], hash=row["hash"])
    return head


def _misfit(head: Head, row: Mapping[str, Any]) -> str:
    expected = head.entries + 1
    if row["seq"] != expected:
        return f"entry {expected} is missing before it"
    if row["previous"] != head.hash:
        return "it does not continue the entry before it: a row was replaced, reordered or inserted"
    if row["hash"] != entry_hash(row):
        return "its content does not have the hash it was written with: a field was changed"
    return ""
