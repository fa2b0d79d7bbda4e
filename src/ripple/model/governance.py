"""Who asks, what policy answered, and what was written down."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class PrincipalKind(enum.StrEnum):
    """How the principal proved who it is."""

    OPERATOR = "operator"
    AGENT = "agent"
    SERVICE = "service"


@dataclass(frozen=True)
class Principal:
    """Who asks. ``id`` is unique per kind (an operator's name, an agent key, a component id)."""

    kind: PrincipalKind
    id: str
    roles: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    def as_input(self) -> dict[str, Any]:
        """The principal as policy input."""
        return {"kind": str(self.kind), "id": self.id, "roles": list(self.roles)}


@dataclass(frozen=True)
class Decision:
    """Policy's answer. Anything but an explicit allow is a no, with ``reasons`` saying why."""

    id: str
    path: str
    allowed: bool
    reasons: tuple[str, ...]
    revision: str
    value: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditEntry:
    """One line of the append-only, hash-chained log.

    ``hash`` is the digest of every other field in canonical form; ``previous`` is the hash of the entry with
    the sequence number before it (64 zeros behind ``sha256:`` for the first).
    """

    seq: int
    at: str
    principal: str
    action: str
    resource: str
    outcome: str
    decision_id: str | None
    policy_revision: str | None
    trace_id: str | None
    data: Mapping[str, Any]
    previous: str
    hash: str
