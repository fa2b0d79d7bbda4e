"""Providers that are too slow, by the policy's own deadline: the next one is asked, or the tier has failed."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from starlette.responses import Response
from tests.unit.inference.asking import REQUEST, voter
from tests.unit.inference.endpoint import EDIT, Endpoint, said

from ripple.inference.adapters import adapters_of
from ripple.inference.catalogue import Catalogue
from ripple.inference.fanout import Asking, Fanout
from ripple.inference.keys import Keyring
from ripple.inference.policy import CloudTier, InferencePolicy, Reducer
from ripple.inference.voters import plan_voters
from ripple.model.candidate import Candidate
from ripple.model.change import ChangeKind

ORDER = ("quick", "slow", "next", "last")
"""By priority; the first two are asked."""


def asked(catalogue: Catalogue, endpoint: Endpoint, fallback: bool) -> tuple[dict[str, Candidate], list[str]]:
    """Who was asked under a policy that asks two providers at a time, and what is missing afterwards."""
    over = threading.Event()

    async def late(payload: dict[str, Any]) -> Response:
        while not over.is_set():
            await asyncio.sleep(0.02)
        return await said(EDIT)(payload)

    endpoint.answers["slow"] = late
    tier = CloudTier(min_parallel=1, max_parallel=2, timeout_ms=6000, fallback_on_timeout=fallback)
    policy = InferencePolicy(name="two-clouds", cloud_tier=tier, reducer=Reducer(min_agreement=0.6))
    voters = [voter(name, endpoint.url, priority=place) for place, name in enumerate(ORDER)]
    planned = plan_voters(policy, ChangeKind.CODE, voters)
    found: dict[str, Candidate] = {}

    async def keep(candidate: Candidate) -> None:
        found[candidate.model] = candidate

    fanout = Fanout(adapters_of(catalogue), Keyring(Path("/nonexistent")))
    try:
        asyncio.run(asyncio.wait_for(fanout.run(Asking(planned, lambda _: REQUEST, keep)), 60))
    finally:
        over.set()
    rows = [
        {"model": one.model, "tier": one.tier.value, "lineage": one.lineage, "standing": one.standing.value,
         "reasons": list(one.reasons)}
        for one in found.values()
    ]  # fmt: skip
    return found, planned.too_few(rows)


def test_a_slow_provider_is_replaced_by_the_next_priority(catalogue: Catalogue, endpoint: Endpoint) -> None:
    found, missing = asked(catalogue, endpoint, fallback=True)
    assert {name: one.standing.value for name, one in found.items()} == {
        "quick": "counted", "slow": "absent", "next": "counted",
    }  # fmt: skip
    assert found["slow"].reasons[0].startswith("timeout")
    assert missing == []


def test_without_fallback_a_slow_provider_fails_its_tier(catalogue: Catalogue, endpoint: Endpoint) -> None:
    found, missing = asked(catalogue, endpoint, fallback=False)
    assert {name: one.standing.value for name, one in found.items()} == {"quick": "counted", "slow": "absent"}
    assert len(missing) == 1
    assert "two-clouds takes no fallback" in missing[0]
    assert "slow: timeout" in missing[0]
