"""Into an environment: with a person where one is asked for, and only on evidence that can be believed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import Room, git, inside, step_context

from ripple.changes.calls import STOP, WAIT
from ripple.changes.steps.gating import keep_evidence
from ripple.changes.steps.promotion import promote
from ripple.delivery.gates import TREE_GATES
from ripple.delivery.releases import make_release
from ripple.model.errors import Unavailable
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.release import Release
from ripple.planes.records import tables as t


def vote(tree: str, **more: Any) -> dict[str, Any]:
    """A consensus as the reducing step stores it."""
    return {"reached": True, "score": 1.0, "winner": tree, "details": {"tree": tree}, **more}


async def released(room: Room, verdicts: dict[GateName, Verdict]) -> dict[str, Any]:
    """A change with a release about which the gates said this."""
    await room.application()
    base, tree = git(room.origin, "rev-parse", "HEAD"), git(room.origin, "rev-parse", "HEAD^{tree}")
    change = await room.change(base_commit=base)
    repository = await room.rooms.repository(change)
    await repository.sync()
    release = await make_release(
        room.rooms.records, room.rooms.objects, Release("shop", base, tree, "sha256:t"), repository
    )
    for gate, verdict in verdicts.items():
        await keep_evidence(room.rooms, change, Evidence(gate, release.digest, verdict, ("said",)))
    await room.journal.set_change("chg-1", release=release.digest, commit=base, consensus=vote(tree))
    return await room.journal.change("chg-1")


PASSED = dict.fromkeys(TREE_GATES, Verdict.PASS)


def test_with_every_gate_passed_the_release_is_deployed(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        with pytest.raises(Unavailable, match="supervisor"):
            await promote(room.rooms, step_context(change, "promote/dev"))
        assert [outcome for outcome, _ in await room.audited("release.promote")] == ["allowed"]

    inside(tmp_path, scenario, voters=True)


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        *((gate, None) for gate in TREE_GATES),
        (GateName.BUILD, Verdict.FAIL),
        (GateName.EVALS, Verdict.INCONCLUSIVE),
    ],
)
def test_a_gate_that_does_not_say_pass_keeps_the_release_out(
    tmp_path: Path, gate: GateName, verdict: Verdict | None
) -> None:
    async def scenario(room: Room) -> None:
        said = {**PASSED, gate: verdict} if verdict else {one: PASSED[one] for one in PASSED if one != gate}
        change = await released(room, {key: value for key, value in said.items() if value})
        found = await promote(room.rooms, step_context(change, "promote/dev"))
        assert found.verdict == STOP
        assert any(f"gate {gate} " in reason for reason in found.reasons)

    inside(tmp_path, scenario, voters=True)


def test_evidence_whose_row_was_turned_into_a_pass_counts_as_none(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, {**PASSED, GateName.SECURITY: Verdict.FAIL})
        async with room.rooms.records.write() as connection:
            for name in ("evidence_no_update", "evidence_no_delete"):
                await connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
            for (name,) in (
                await connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='trigger'")
            ).fetchall():
                await connection.exec_driver_sql(f"DROP TRIGGER {name}")
            await connection.execute(t.evidence.update().values(verdict="pass"))
        found = await promote(room.rooms, step_context(change, "promote/dev"))
        assert found.verdict == STOP
        assert found.reasons == ["gate security left no evidence"]

    inside(tmp_path, scenario, voters=True)


def test_evidence_of_another_change_about_the_same_release_counts_as_none(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        told = {key: change[key] for key in ("release", "base_commit", "consensus")}
        other = await room.change("chg-2", **told)
        found = await promote(room.rooms, step_context(other, "promote/dev"))
        assert found.verdict == STOP
        assert len(found.reasons) == len(TREE_GATES)

    inside(tmp_path, scenario, voters=True)


def test_a_held_release_is_kept_out_whatever_its_gates_say(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        await room.rooms.environments.table.hold(change["release"], "it was slow")
        found = await promote(room.rooms, step_context(change, "promote/dev"))
        assert found.verdict == STOP
        assert found.reasons == ["the release is held: it was slow; an operator can let it go again"]

    inside(tmp_path, scenario, voters=True)


async def kept_out(room: Room, change: dict[str, Any], **stored: Any) -> list[str]:
    """Why the change with this written into its row is not deployed; it is not, and that is written down."""
    await room.journal.set_change(change["id"], **stored)
    found = await promote(room.rooms, step_context(await room.journal.change(change["id"]), "promote/dev"))
    assert found.verdict == STOP
    assert await room.rows(t.deployments) == []
    assert [outcome for outcome, _ in await room.audited("release.promote")][-1] == "denied"
    return found.reasons


def test_a_change_without_a_consensus_record_is_refused_at_the_gate_to_deployment(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        lacking = "the change has no consensus record: no models voted for it"
        assert await kept_out(room, change, consensus=None) == [lacking]

    inside(tmp_path, scenario, voters=True)


def test_a_consensus_that_is_foreign_or_not_enough_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        tree, none = change["consensus"]["winner"], "the models did not reach a consensus on the change"
        foreign = f"the consensus is about another tree ({'0' * 40}) than the release's ({tree})"
        assert await kept_out(room, change, consensus=vote("0" * 40)) == [foreign]
        assert await kept_out(room, change, consensus=vote(tree, reached=False)) == [none]
        weak = (await kept_out(room, change, consensus=vote(tree, score=0.4)))[0]
        assert re.match(r"agreement 0\.4 is below the 0\.\d+ that ripple-moe-embedded asks for", weak)

    inside(tmp_path, scenario, voters=True)


def test_a_vote_under_a_policy_that_is_gone_lets_nothing_in(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        gone = "the change's inference policy is not known, or sets no min_agreement above 0"
        assert await kept_out(room, change, policy="gone") == [gone]

    inside(tmp_path, scenario, voters=True)


@pytest.mark.parametrize("environment", ["qa", "staging", "prod"])
def test_no_environment_is_skipped(tmp_path: Path, environment: str) -> None:
    async def scenario(room: Room) -> None:
        change = await released(room, PASSED)
        found = await promote(room.rooms, step_context(change, f"promote/{environment}"))
        assert found.verdict == STOP
        assert any("environments are not skipped" in reason for reason in found.reasons)

    inside(tmp_path, scenario, voters=True)


@pytest.mark.parametrize("by", ["", "operator:local"])
def test_an_overlay_that_asks_for_a_person_waits_for_one(tmp_path: Path, by: str) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        (room.origin / "environments").mkdir()
        room.commit("require_approval: true\n", "environments/dev.yaml")
        async with room.rooms.records.write() as connection:
            await connection.execute(t.applications.delete())
        change = await released(room, PASSED)
        context = step_context(change, "promote/dev", by)
        if by:
            with pytest.raises(Unavailable):
                await promote(room.rooms, context)
        else:
            found = await promote(room.rooms, context)
            assert (found.verdict, found.outputs["awaiting_approval"]) == (WAIT, True)
            assert await room.audited("release.promote") == [], "policy is asked once there is an approval"

    inside(tmp_path, scenario, voters=True)
