"""A candidate as a row and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ripple.model.candidate import Candidate, Standing, Tier


def candidate_row(candidate: Candidate) -> dict[str, Any]:
    """The JSON form of a candidate."""
    return {
        **asdict(candidate),
        "tier": candidate.tier.value,
        "standing": candidate.standing.value,
        "reasons": list(candidate.reasons),
    }


def candidate_of(row: Mapping[str, Any]) -> Candidate:
    """The candidate of a row made by :func:`candidate_row`."""
    return Candidate(
        **{
            **row,
            "tier": Tier(row["tier"]),
            "standing": Standing(row["standing"]),
            "reasons": tuple(row["reasons"]),
        }
    )
