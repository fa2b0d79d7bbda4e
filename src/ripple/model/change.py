"""A change: what an operator asked for and how far it came."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class ChangeKind(enum.StrEnum):
    """What a change touches (Spec §10.4 ``trigger``)."""

    CODE = "code"
    CONFIG = "config"


class ChangeState(enum.StrEnum):
    """Where a change stands. It ends in exactly one of the last four."""

    RUNNING = "running"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """True once the change can never move again."""
        return self is not ChangeState.RUNNING


class StepName(enum.StrEnum):
    """The steps of the flow, in order (design: the spine)."""

    ADMIT = "admit"
    CONTEXT = "context"
    PROPOSE = "propose"
    TRY = "try"
    REDUCE = "reduce"
    GATES = "gates"
    DEV = "promote/dev"
    QA = "promote/qa"
    STAGING = "promote/staging"
    PROD = "promote/prod"
    RECORD = "record"


class StepState(enum.StrEnum):
    """State of one step as the timeline shows it."""

    RUNNING = "running"
    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Intent:
    """What was asked: in the operator's words, for one application, under one inference policy."""

    application: str
    text: str
    policy: str
    kind: ChangeKind | None = None


@dataclass(frozen=True)
class StepRecord:
    """One step of one change, as kept and shown. Durations are seconds."""

    change_id: str
    step: StepName
    state: StepState
    started_at: str
    ended_at: str | None = None
    duration_seconds: float | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
