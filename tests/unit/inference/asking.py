"""Voters, requests and plans for the tests that ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ripple.inference.request import Request
from ripple.inference.voters import Plan, TierNeed, Voter
from ripple.model.candidate import Tier

REQUEST = Request(({"role": "user", "content": "make it so"},), {"type": "object"}, "candidate", 256)
VOTER = Voter(
    name="one",
    tier=Tier.CLOUD,
    weight=1.0,
    lineage="one",
    context_tokens=8192,
    adapter="openai",
    model="one",
    base_url=None,
    key_name=None,
    priority=100,
    specialization="general",
    timeout_seconds=10.0,
    output_tokens=1024,
    takes_schema=True,
)


def voter(name: str, url: str | None = None, **given: Any) -> Voter:
    """A voter of that name, model and lineage."""
    return replace(VOTER, name=name, model=name, lineage=name, base_url=url, **given)


def plan(voters: Sequence[Voter], reserves: Sequence[Voter] = ()) -> Plan:
    """A plan that asks ``voters``; reserves of either tier may stand in."""
    needs = tuple(TierNeed(tier, 0, True) for tier in Tier)
    return Plan("test", tuple(voters), tuple(reserves), needs)
