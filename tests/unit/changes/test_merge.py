"""The vote's result is released only when policy lets it: a no of ``inference/merge`` ends the step as refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import ROOT, Room, as_activity, inside

from ripple.changes.calls import GO, STOP, StepCall, StepResult
from ripple.changes.candidates import candidate_row
from ripple.changes.steps.table import activities
from ripple.governance.governor import Governor
from ripple.model.candidate import Candidate, Standing, Tier
from ripple.model.change import StepName
from ripple.planes.policy import Policy
from ripple.planes.policy.regorus import RegorusPolicy

VOTERS = ("one", "two", "three")
OTHERS_ONLY = {"allowed_inference_policies": ["ripple-moe"]}


async def reduced(room: Room, settings: dict[str, Any], trees: tuple[str, ...]) -> StepResult:
    """What the real step says of a vote under the shipped policies with these settings."""
    policy = Policy(RegorusPolicy())
    policy.load_directory(ROOT / "policies", settings)
    rooms = replace(room.rooms, governor=Governor(policy, room.rooms.audit))
    await room.change()
    for name, tree in zip(VOTERS, trees, strict=True):
        given = Candidate(name, Tier.CLOUD, name, 1.0, 0.1, Standing.COUNTED, tree=tree, answer={"edits": []})
        await room.journal.put_candidates("chg-1", candidate_row(given))
    result: StepResult = await as_activity(activities(rooms).step, StepCall("chg-1", StepName.REDUCE))
    return result


@pytest.mark.parametrize(
    ("settings", "trees", "verdict", "reason", "outcome"),
    [
        ({}, ("aa", "aa", "aa"), GO, "", "allowed"),
        (
            {"allowed_inference_policies": ["ripple-moe"]},
            ("aa", "aa", "aa"),
            STOP,
            "not allowed to merge",
            "denied",
        ),
        ({}, ("aa", "bb", "cc"), STOP, "did not reach a consensus", "denied"),
    ],
)
def test_a_no_of_the_merge_policy_stops_the_change_even_where_all_models_agree(
    tmp_path: Path, settings: dict[str, Any], trees: tuple[str, ...], verdict: str, reason: str, outcome: str
) -> None:
    async def main(room: Room) -> None:
        result = await reduced(room, settings, trees)
        assert result.verdict == verdict, result.reasons
        assert reason in " ".join(result.reasons)
        step = await room.journal.step("chg-1", StepName.REDUCE)
        assert step is not None
        assert step["state"] == ("passed" if verdict == GO else "refused")
        assert (await room.journal.change("chg-1"))["consensus"]["reached"] is (len(set(trees)) == 1)
        assert [found for found, _ in await room.audited("change.merge")] == [outcome]

    inside(tmp_path, main, voters=True)
