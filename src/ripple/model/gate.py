"""Gates and the evidence they leave (Spec §2)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class GateName(enum.StrEnum):
    """The six promotion gates, in the specification's order."""

    BUILD = "build"
    INTEGRATION = "integration"
    SECURITY = "security"
    POLICY = "policy"
    EVALS = "evals"
    CANARY = "canary"


class Verdict(enum.StrEnum):
    """A gate's answer. Only ``pass`` lets a release through."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Evidence:
    """What a gate saw of one subject.

    ``subject`` is the digest the evidence speaks of; evidence about another digest counts as none.
    ``environment`` is None for gates 1-5, which judge the tree, and the environment's name for gate 6.
    """

    gate: GateName
    subject: str
    verdict: Verdict
    reasons: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None
    at: str = ""
    duration_seconds: float = 0.0
