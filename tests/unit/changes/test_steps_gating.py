"""Gates 1-5: one signed statement each, bound to the release, and what it said stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import TRACE, Room, git, inside, step_context

from ripple.changes.attested import doubt
from ripple.changes.calls import GO, STOP
from ripple.changes.steps.gating import commit_message, keep_evidence, run_gates
from ripple.changes.steps.ground import ground_of, toolchain_for
from ripple.delivery.gates import TREE_GATES
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.release import Release

SUBJECT = f"sha256:{'ab' * 32}"
CONSENSUS = {
    "score": 2 / 3,
    "method": "weighted_consensus/tree",
    "winner": "sha256:w",
    "clusters": [
        {"key": "sha256:w", "models": ["b", "a"]},
        {"key": "sha256:x", "models": ["c"]},
    ],
}


def test_a_gate_speaks_once_of_a_release_in_an_environment(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await room.change()
        for verdict in (Verdict.FAIL, Verdict.PASS):
            await keep_evidence(room.rooms, change, Evidence(GateName.BUILD, SUBJECT, verdict, ("said",)))
        await keep_evidence(
            room.rooms, change, Evidence(GateName.CANARY, SUBJECT, Verdict.PASS, ("said",), environment="qa")
        )
        rows = await room.journal.evidence("chg-1")
        assert [(row["gate"], row["environment"], row["verdict"]) for row in rows] == [
            ("build", None, "fail"),
            ("canary", "qa", "pass"),
        ]
        assert [kind for kind, _ in await room.timeline()].count("gate") == 2
        assert [doubt(row, room.rooms.key.public_pem) for row in rows] == ["", ""]

    inside(tmp_path, scenario)


@pytest.mark.parametrize(("key", "value"), [("verdict", "pass"), ("subject", "sha256:x"), ("environment", "prod")])
def test_a_row_that_says_something_else_than_its_statement_is_doubted(
    tmp_path: Path, key: str, value: str
) -> None:
    async def scenario(room: Room) -> None:
        change = await room.change()
        await keep_evidence(room.rooms, change, Evidence(GateName.BUILD, SUBJECT, Verdict.FAIL, ("no",)))
        row = (await room.journal.evidence("chg-1"))[0]
        assert f"differ in {key}" in doubt({**row, key: value}, room.rooms.key.public_pem)

    inside(tmp_path, scenario)


async def judged(room: Room, verdicts: dict[GateName, Verdict]) -> Any:
    """The gates step of a change whose gates said this before a crash."""
    await room.application()
    base = git(room.origin, "rev-parse", "HEAD")
    tree = git(room.origin, "rev-parse", "HEAD^{tree}")
    change = await room.change(base_commit=base, consensus={**CONSENSUS, "details": {"tree": tree}})
    repository = await room.rooms.repository(change)
    await repository.sync()
    context = step_context(change, "gates")
    release = Release("shop", "", tree, (await _toolchain(room, change)))
    for gate, verdict in verdicts.items():
        await keep_evidence(room.rooms, change, Evidence(gate, release.digest, verdict, (f"{gate} said so",)))
    return await run_gates(room.rooms, context)


async def _toolchain(room: Room, change: dict[str, Any]) -> str:
    ground = await ground_of(room.rooms, change)
    return (await toolchain_for(room.rooms, ground.folder, ground.manifest)).digest


def test_gates_that_spoke_before_a_crash_are_not_asked_again(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        found = await judged(room, dict.fromkeys(TREE_GATES, Verdict.PASS))
        assert found.verdict == GO
        assert [one["gate"] for one in found.outputs["gates"]] == list(TREE_GATES)
        assert len(await room.journal.evidence("chg-1")) == 5
        change = await room.journal.change("chg-1")
        assert change["release"] == found.inputs["release"]
        clone = room.rooms.home.applications / "shop" / "repo.git"
        assert git(clone, "cat-file", "-t", change["commit"]) == "commit"

    inside(tmp_path, scenario)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_a_no_said_before_a_crash_is_not_thrown_again_like_a_die(tmp_path: Path, verdict: Verdict) -> None:
    async def scenario(room: Room) -> None:
        found = await judged(room, {GateName.BUILD: verdict})
        assert found.verdict == STOP
        assert found.reasons == [f"gate build says {verdict}: build said so"]
        assert len(await room.journal.evidence("chg-1")) == 1, "no later gate was asked"

    inside(tmp_path, scenario)


def test_a_commit_leads_back_to_its_change_and_its_vote() -> None:
    change = {
        "id": "chg-1",
        "intent": "  Say two\n\ninstead of one. " + "And so on. " * 20,
        "policy": "ripple-moe",
        "principal": "operator:local",
        "trace_id": TRACE,
        "consensus": CONSENSUS,
    }
    message = commit_message(change)
    subject, _, rest = message.partition("\n\n")
    assert subject.startswith("Say two instead of one.")
    assert len(subject) <= 72
    trailers = dict(line.split(": ", 1) for line in rest.strip().rpartition("\n\n")[2].splitlines())
    assert trailers == {
        "Ripple-Change": "chg-1",
        "Ripple-Policy": "ripple-moe",
        "Ripple-Consensus": "0.667 by weighted_consensus/tree",
        "Ripple-Models": "a, b",
        "Ripple-Asked-By": "operator:local",
        "Ripple-Trace": TRACE,
    }
