"""``distributed/resource_policy.yaml``: who may have how much, what it costs, and from where (R10.8.1). Pure.

- A request is within its quota together with what its owner holds already, or it is refused with the numbers.
- Cost is by unit and hour. The cheapest node is the one that says the least; one without a price comes last (X71).
- The fastest node is the one with most tokens a second for inference and most bandwidth for everything else.
- A node that is silent for three heartbeats is offline, and forgotten after twenty minutes (X80).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound
from ripple.stack.manifests.nodes import Measure, Node, ResourceType, gpu_count
from ripple.stack.manifests.section import Section

Preference = Literal["nearest", "cheapest", "fastest", "any"]
Unit = Literal["cpu_cores", "memory_gb", "gpu", "gpu_vram_gb", "storage_gb"]
Amounts = Mapping[Unit, float]


class Presence(enum.StrEnum):
    """What is believed of a node."""

    ONLINE = "online"
    OFFLINE = "offline"
    EXPIRED = "expired"


class Lease(Section):
    """How long an allocation holds."""

    default_seconds: float = Field(gt=0)
    max_seconds: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Lease:
        if self.default_seconds > self.max_seconds:
            raise ValueError("default_seconds is above max_seconds")
        return self


class Order(Section):
    """How nodes are ranked: by which measure for which resource; the least first unless ``most``."""

    by: dict[ResourceType, Measure] = {}
    most: bool = False


class PresenceRule(Section):
    """How long silence is borne."""

    heartbeat_seconds: float = Field(gt=0)
    offline_after_misses: int = Field(ge=1)
    expire_after_seconds: float = Field(gt=0)


class ResourcePolicy(Section):
    """The policy. ``prices`` are in ``currency`` per unit and hour."""

    name: str
    lease: Lease
    quotas: dict[str, dict[ResourceType, dict[Unit, float]]] = Field(min_length=1)
    currency: str
    prices: dict[Unit, float]
    locality: dict[Preference, Order]
    presence: PresenceRule

    @model_validator(mode="after")
    def _whole(self) -> ResourcePolicy:
        if missing := {"nearest", "cheapest", "fastest", "any"} - set(self.locality):
            raise ValueError(f"locality says nothing of {', '.join(sorted(missing))}")
        return self


class ResourceFile(Section):
    """``distributed/resource_policy.yaml``."""

    resource_policy: ResourcePolicy


@dataclass(frozen=True)
class Asked:
    """A request for resources; ``amounts`` is its ``requirements`` in numbers."""

    owner: str
    kind: ResourceType
    amounts: Amounts
    seconds: float | None = None


@dataclass(frozen=True)
class Answer:
    """Whether it is granted, for how long and at what cost; ``reasons`` says why not."""

    granted: bool
    seconds: float
    cost: float
    reasons: tuple[str, ...]


def amounts(requirements: Mapping[str, object]) -> dict[Unit, float]:
    """The numbers of a tool call's ``requirements``; ``gpu`` is true or a count (X72), names are left out."""
    units: tuple[Unit, ...] = ("cpu_cores", "memory_gb", "gpu_vram_gb", "storage_gb")
    found: dict[Unit, float] = {
        unit: float(value) for unit in units if isinstance(value := requirements.get(unit), int | float)
    }
    gpu = requirements.get("gpu")
    if isinstance(gpu, int) and gpu_count(gpu):
        found["gpu"] = gpu_count(gpu)
    return found


def answer(policy: ResourcePolicy, asked: Asked, held: Amounts) -> Answer:
    """Whether ``asked`` is within the quota of its owner's class, who holds ``held`` already.

    Raises:
        NotFound: there is no quota for that class of owners.
    """
    quota = policy.quotas.get(asked.owner)
    if quota is None:
        raise NotFound(f"no quota for {asked.owner!r}; there are {', '.join(policy.quotas)}")
    limits = quota.get(asked.kind, {})
    reasons = []
    for unit, wanted in asked.amounts.items():
        limit, has = limits.get(unit, 0.0), held.get(unit, 0.0)
        if has + wanted > limit:
            reasons.append(f"{unit}: {wanted:g} asked and {has:g} held is above the {limit:g} of {asked.owner}")
    seconds = policy.lease.default_seconds if asked.seconds is None else asked.seconds
    if not 0 < seconds <= policy.lease.max_seconds:
        reasons.append(f"{seconds:g} s is no time a lease may last; the most is {policy.lease.max_seconds:g}")
    return Answer(not reasons, seconds, cost(policy, asked.amounts, seconds), tuple(reasons))


def cost(policy: ResourcePolicy, wanted: Amounts, seconds: float) -> float:
    """What that much costs for that long, in the policy's currency."""
    hourly = sum(policy.prices.get(unit, 0.0) * amount for unit, amount in wanted.items())
    return round(hourly * seconds / 3600, 6)


def ranked(
    policy: ResourcePolicy, preference: Preference, kind: ResourceType, nodes: Sequence[Node]
) -> list[Node]:
    """The nodes, the best first; one that does not say its measure comes last, and equals go by id."""
    order = policy.locality[preference]
    measure = order.by.get(kind)

    def key(node: Node) -> tuple[bool, float, str]:
        value = getattr(node, measure) if measure else 0
        return value is None, (-value if order.most else value) if value is not None else 0, node.id

    return sorted(nodes, key=key)


def presence(policy: ResourcePolicy, silent_seconds: float) -> Presence:
    """What is believed of a node that was last heard of so long ago."""
    rule = policy.presence
    if silent_seconds >= rule.expire_after_seconds:
        return Presence.EXPIRED
    missed = silent_seconds > rule.heartbeat_seconds * rule.offline_after_misses
    return Presence.OFFLINE if missed else Presence.ONLINE
