"""The shapes that surfaces show, from the rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import Room, inside

from ripple.changes.steps.gating import keep_evidence
from ripple.changes.view import change_view, ours_seconds, summary
from ripple.model.gate import Evidence, GateName, Verdict

SUBJECT = f"sha256:{'ab' * 32}"


def test_a_summary_has_every_key_even_of_a_row_that_lacks_some() -> None:
    assert summary({"id": "chg-1", "reasons": None}, "admit") == {
        **dict.fromkeys(("application", "kind", "intent", "policy", "principal", "state", "trace_id")),
        "created_at": None,
        "ended_at": None,
        "id": "chg-1",
        "reasons": [],
        "step": "admit",
    }


def test_ripples_own_time_is_what_is_not_spent_outside() -> None:
    steps: list[dict[str, Any]] = [
        {"duration_seconds": 2.5, "outside_seconds": 2.0},
        {"duration_seconds": 0.25, "outside_seconds": 0.0},
        {"duration_seconds": None, "outside_seconds": 0.0},
    ]
    assert ours_seconds(steps) == 0.75


@pytest.mark.parametrize(
    ("state", "outputs", "sampled", "shown"),
    [
        (None, {}, False, "waiting"),
        ("running", {}, False, "deploying"),
        ("running", {}, True, "canary"),
        ("running", {"awaiting_approval": True}, False, "awaiting_approval"),
        ("passed", {}, True, "passed"),
        ("refused", {}, True, "failed"),
        ("passed", {"undone": True}, True, "rolled_back"),
        ("refused", {"undone": True}, True, "rolled_back"),
    ],
)
def test_an_environment_shows_where_the_change_stands_in_it(
    tmp_path: Path, state: str | None, outputs: dict[str, Any], sampled: bool, shown: str
) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        await room.change()
        if state:
            await room.step("promote/qa", state, outputs=outputs)
        if sampled:
            await room.journal.sample("chg-1", "qa", {"canary": {"requests": 1}, "baseline": None, "slo": {}})
        found = await change_view(room.journal, room.rooms.applications, "chg-1")
        environments = {one["environment"]: one for one in found["environments"]}
        assert environments["qa"]["state"] == shown
        assert environments["prod"]["state"] == "waiting"
        assert environments["qa"]["url"].startswith("http://127.0.0.1:")
        assert found["step"] == ("promote/qa" if state == "running" else None)

    inside(tmp_path, scenario)


def test_a_gate_is_shown_as_its_signed_statement_tells_it(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        change = await room.change()
        evidence = Evidence(GateName.BUILD, SUBJECT, Verdict.FAIL, ("it does not build",), {"commands": []})
        await keep_evidence(room.rooms, change, evidence)
        gate = (await change_view(room.journal, room.rooms.applications, "chg-1"))["gates"][0]
        assert (gate["gate"], gate["verdict"], gate["reasons"]) == ("build", "fail", ["it does not build"])
        assert (gate["subject"], gate["data"], gate["environment"]) == (SUBJECT, {"commands": []}, None)

    inside(tmp_path, scenario)
