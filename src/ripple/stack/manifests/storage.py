"""``distributed/storage_policy.yaml``: where an object lives by its age, size and tags (Spec §10.6). Pure.

- Three tiers: hot is regional copies, warm is pins by popularity, cold is the archive (X76).
- An old object is archived first; its hot copy goes only after the archive's pins are confirmed (X57).
- Fewer regions than copies are shown as degraded, never counted as enough (X78).
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import Refused
from ripple.stack.manifests.section import Section

TierName = Literal["hot", "warm", "cold"]


class Step(enum.StrEnum):
    """What is to be done with an object."""

    ARCHIVE = "archive"
    PIN = "pin"
    DROP_HOT = "drop-hot"
    REPAIR = "repair"


class Hot(Section):
    """Regional copies in an object store."""

    backend: Literal["minio", "rustfs", "seaweedfs"]
    replication: int = Field(ge=1)
    regions: tuple[str, ...] = Field(min_length=1)
    max_object_size_gb: float = Field(gt=0)
    retention_days: float = Field(gt=0)


class Warm(Section):
    """Pins between nodes; ``auto`` leaves the number to ``min_providers``."""

    backend: Literal["ipfs"]
    replication: Literal["auto"] | int
    pin_policy: Literal["popular_first"]
    min_providers: int = Field(ge=1)


class Cold(Section):
    """The archive."""

    backend: Literal["ipfs_cluster"]
    replication: int = Field(ge=1)
    archive_after_days: float = Field(gt=0)


class Tiers(Section):
    """The three tiers."""

    hot: Hot
    warm: Warm
    cold: Cold


class Routing(Section):
    """How an object is found."""

    content_addressed: bool
    prefer_local: bool
    max_redirect_hops: int = Field(ge=0)


class Caching(Section):
    """What a node keeps of others."""

    local_cache_gb: float = Field(ge=0)
    cache_policy: Literal["lru"]
    prefetch_enabled: bool


class StoragePolicy(Section):
    """The policy. ``tags`` put an object into a tier whatever its age; ``exempt_tags`` keep its hot copy."""

    name: str
    tiers: Tiers
    routing: Routing
    caching: Caching
    tags: dict[str, TierName] = {}
    exempt_tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _archive_comes_first(self) -> StoragePolicy:
        if self.tiers.cold.archive_after_days > self.tiers.hot.retention_days:
            raise ValueError(
                "cold.archive_after_days is above hot.retention_days: objects would go before they are kept"
            )
        return self


class StorageFile(Section):
    """``distributed/storage_policy.yaml``."""

    storage_policy: StoragePolicy


@dataclass(frozen=True)
class Held:
    """An object as it is now: its pins in the archive and its providers are those that were confirmed."""

    size_gb: float
    age_days: float = 0.0
    tags: frozenset[str] = frozenset()
    cold_pins: int = 0
    providers: int = 0


@dataclass(frozen=True)
class Place:
    """Where it belongs, in how many copies, and what is to be done for that, in order."""

    tier: TierName
    copies: int
    steps: tuple[Step, ...]
    degraded: str = ""


def place(policy: StoragePolicy, held: Held, regions: Collection[str]) -> Place:
    """Where an object belongs while ``regions`` answer.

    Raises:
        Refused: it is larger than an object may be.
    """
    tiers = policy.tiers
    if held.size_gb > tiers.hot.max_object_size_gb:
        raise Refused(
            f"an object of {held.size_gb:g} GB is above max_object_size_gb {tiers.hot.max_object_size_gb:g}"
        )
    tier = _tier(policy, held)
    if tier == "hot":
        there = [region for region in tiers.hot.regions if region in regions]
        copies = min(tiers.hot.replication, len(there))
        wanted = tiers.hot.replication
        return Place(tier, copies, (), f"{copies} of {wanted} copies: too few regions" if copies < wanted else "")
    if tier == "warm":
        wanted = tiers.warm.min_providers if tiers.warm.replication == "auto" else tiers.warm.replication
        return Place(
            tier, wanted, (Step.PIN if held.providers == 0 else Step.REPAIR,) if held.providers < wanted else ()
        )
    return Place(tier, tiers.cold.replication, _archiving(policy, held))


def may_redirect(policy: StoragePolicy, hops: int) -> bool:
    """Whether a request that was passed on ``hops`` times may be passed on once more."""
    return hops < policy.routing.max_redirect_hops


def _tier(policy: StoragePolicy, held: Held) -> TierName:
    tagged = next((tier for tag, tier in policy.tags.items() if tag in held.tags), None)
    if tagged is not None:
        return tagged
    return "cold" if held.age_days >= policy.tiers.cold.archive_after_days else "hot"


def _archiving(policy: StoragePolicy, held: Held) -> tuple[Step, ...]:
    if held.cold_pins < policy.tiers.cold.replication:
        return (Step.ARCHIVE,)
    exempt = any(tag in held.tags for tag in policy.exempt_tags)
    due = held.age_days >= policy.tiers.hot.retention_days
    return (Step.DROP_HOT,) if due and not exempt else ()
