"""What a model answers, and what becomes of it. The JSON form is published as ``schemas/candidate.json``."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Tier(enum.StrEnum):
    """Where a model runs (Spec §10.4)."""

    LOCAL = "local"
    CLOUD = "cloud"


class Edit(BaseModel):
    """One file edit: exactly one of find+replace, content, or delete."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str = Field(min_length=1, max_length=400)
    find: str | None = Field(default=None, min_length=1, max_length=20_000)
    replace: str | None = Field(default=None, max_length=40_000)
    content: str | None = Field(default=None, max_length=200_000)
    delete: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Edit:
        forms = [self.find is not None and self.replace is not None, self.content is not None, bool(self.delete)]
        if sum(forms) != 1 or (self.find is None) != (self.replace is None):
            raise ValueError("an edit has either find and replace, or content, or delete: true")
        return self


class PatchOperation(BaseModel):
    """One RFC 6902 operation."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str = Field(max_length=1000)
    from_: str | None = Field(default=None, alias="from", max_length=1000)
    value: Any = None


class ConfigPatch(BaseModel):
    """An RFC 6902 patch of one configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str = Field(min_length=1, max_length=400)
    patch: tuple[PatchOperation, ...] = Field(min_length=1, max_length=100)


class Answer(BaseModel):
    """A model's answer to one intent."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    summary: str = Field(default="", max_length=4_000)
    edits: tuple[Edit, ...] = Field(default=(), max_length=50)
    config: tuple[ConfigPatch, ...] = Field(default=(), max_length=50)


class Standing(enum.StrEnum):
    """What a voter's answer amounts to."""

    ABSENT = "absent"
    """no answer: timeout, error, not installed"""
    SPOILED = "spoiled"
    """answered, but not a usable edit: garbage, outside the repository, does not apply"""
    REFUTED = "refuted"
    """applies, but the application's own build or tests fail"""
    COUNTED = "counted"
    """survives the application's tests and takes part in the vote"""


@dataclass(frozen=True)
class Candidate:
    """One model's proposal and what was found out about it.

    ``lineage`` groups correlated voters (quantisations and decodings of one model): they share one weight.
    ``tree`` is the hash of the resulting Git tree; ``canonical`` the digest of the canonical JSON patch
    (config changes); ``behaviour`` the digest of what the tree was observed to do.
    """

    model: str
    tier: Tier
    lineage: str
    weight: float
    latency_seconds: float
    standing: Standing
    reasons: tuple[str, ...] = ()
    answer: Mapping[str, Any] | None = None
    response_digest: str | None = None
    tree: str | None = None
    canonical: str | None = None
    behaviour: str | None = None
    diff: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass(frozen=True)
class Cluster:
    """Ballots that mean the same thing."""

    key: str
    weight: float
    models: tuple[str, ...]
    representative: str


@dataclass(frozen=True)
class Consensus:
    """The reducer's answer: the same for the same votes in any order.

    ``score`` is the winner's weight over the weight of the ballots that count, 0 when none do.
    """

    reached: bool
    score: float
    winner: str | None
    representative: str | None
    method: str
    clusters: tuple[Cluster, ...]
    reasons: tuple[str, ...]
    contested: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
