"""The commit and the evidence bundle: once, wherever a crash cut the step short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import Room, git, inside, step_context

from ripple.changes.steps.gating import keep_evidence
from ripple.changes.steps.recording import record
from ripple.model.errors import Conflict
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.planes import content

SUBJECT = f"sha256:{'ab' * 32}"


async def promoted(room: Room) -> dict[str, Any]:
    """A change whose commit is made but not on the branch."""
    await room.application()
    base = git(room.origin, "rev-parse", "HEAD")
    change = await room.change(base_commit=base, release=SUBJECT)
    repository = await room.rooms.repository(change)
    await repository.sync()
    await repository.checkout(base, scratch := room.rooms.home.root / "scratch")
    (scratch / "word.py").write_text("WORD = 'two'\n")
    tree = await repository.write_tree(scratch, base)
    await room.journal.set_change("chg-1", commit=await repository.commit(tree, base, "two", change["created_at"]))
    await keep_evidence(room.rooms, change, Evidence(GateName.BUILD, SUBJECT, Verdict.PASS, ("said",)))
    return await room.journal.change("chg-1")


def test_a_record_that_is_made_again_makes_no_second_commit(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        context = step_context(await promoted(room), "record")
        first, second = await record(room.rooms, context), await record(room.rooms, context)
        assert first.outputs == second.outputs
        assert git(room.origin, "rev-list", "--count", "HEAD") == "2"
        assert (room.origin / "word.py").read_text() == "WORD = 'two'\n"
        filed = first.outputs["evidence"]
        bundle = json.loads(await content.get(room.rooms.objects, content.Filed(filed["cid"], filed["profile"])))
        assert (bundle["change"], len(bundle["envelopes"])) == ("chg-1", filed["statements"])

    inside(tmp_path, scenario)


def test_a_branch_that_moved_during_the_promotion_is_never_overwritten(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await promoted(room)
        head = room.commit("kept\n", "other.txt")
        with pytest.raises(Conflict, match="moved"):
            await record(room.rooms, step_context(change, "record"))
        assert git(room.origin, "rev-parse", "HEAD") == head

    inside(tmp_path, scenario)


def test_a_commit_that_has_to_wait_says_where(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        change = await promoted(room)
        (room.origin / "word.py").write_text("WORD = 'mine'\n")
        found = await record(room.rooms, step_context(change, "record"))
        assert found.outputs["branch"] == "ripple/chg-1"
        assert "ripple/chg-1" in found.reasons[0]
        assert (room.origin / "word.py").read_text() == "WORD = 'mine'\n"

    inside(tmp_path, scenario)
