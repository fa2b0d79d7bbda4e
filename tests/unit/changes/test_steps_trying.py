"""Answers become trees: what cannot be used is spoiled with its reason, and never stops the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import Room, git, inside, step_context

from ripple.changes.candidates import candidate_row
from ripple.changes.steps.trying import try_candidates
from ripple.model.candidate import Candidate, Standing, Tier
from ripple.model.errors import Refused
from ripple.planes.sandbox import SandboxResult, SandboxSpec

TWO = {"summary": "two", "edits": [{"path": "word.py", "find": "'one'", "replace": "'two'"}]}


async def asked(room: Room, *answers: Mapping[str, Any] | None) -> dict[str, Any]:
    """A change whose models saw the branch's head and answered this."""
    await room.application()
    head = git(room.origin, "rev-parse", "HEAD")
    change = await room.change(base_commit=head)
    await (await room.rooms.repository(change)).sync()
    await room.step("context", inputs={"base_commit": head})
    for number, answer in enumerate(answers):
        standing = Standing.COUNTED if answer else Standing.ABSENT
        model = f"m{number}"
        row = Candidate(model, Tier.LOCAL, model, 1.0, 0.1, standing, (), answer, None)
        await room.journal.put_candidates("chg-1", candidate_row(row))
    return change


async def tried(room: Room) -> list[dict[str, Any]]:
    await try_candidates(room.rooms, step_context(await room.journal.change("chg-1"), "try"))
    return await room.journal.candidates("chg-1")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"summary": "x", "edits": [{"path": "../out", "content": "x"}]}, "out"),
        ({"summary": "x", "edits": [{"path": ".git/config", "content": "x"}]}, ".git"),
        ({"summary": "x", "edits": [{"path": "ripple.app.yaml", "content": "x"}]}, "protected"),
        ({"summary": "x", "edits": [{"path": "word.py", "find": "absent", "replace": "x"}]}, "0 times"),
        ({"summary": "x", "edits": [{"path": "word.py"}]}, "edits"),
        ({"summary": "x", "edits": []}, "nothing"),
    ],
)
def test_an_answer_that_cannot_be_used_is_spoiled_with_the_reason(
    tmp_path: Path, answer: Mapping[str, Any], why: str
) -> None:
    async def scenario(room: Room) -> None:
        await asked(room, answer, None)
        spoiled, absent = await tried(room)
        assert (spoiled["standing"], absent["standing"]) == ("spoiled", "absent")
        assert why in spoiled["reasons"][0]
        assert spoiled["tree"] is None

    inside(tmp_path, scenario)


def test_answers_that_edit_alike_are_applied_once_and_each_keeps_its_own_words(tmp_path: Path) -> None:
    other = {"summary": "three", "edits": [{"path": "word.py", "find": "'one'", "replace": "'three'"}]}

    async def scenario(room: Room) -> None:
        await asked(room, TWO, other, {**TWO, "summary": "the same in other words"})
        first, second, third = await tried(room)
        assert None not in (first["tree"], second["tree"])
        assert first["tree"] == third["tree"] != second["tree"]
        assert (first["standing"], first["reasons"]) == (third["standing"], third["reasons"])
        assert (first["diff"], first["answer"]) == (third["diff"], TWO)
        assert third["answer"]["summary"] == "the same in other words"
        assert len(await room.audited("candidate.edit")) == 2

    inside(tmp_path, scenario)


def test_what_the_branch_holds_already_is_no_change_and_cannot_touch_what_runs(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await asked(room, TWO)
        head = room.commit("WORD = 'two'\n")
        await (await room.rooms.repository({"application": "shop"})).sync()
        await room.journal.rebase("chg-1", head, [])
        (only,) = await tried(room)
        assert only["standing"] == "spoiled"
        assert "holds all of this already" in only["reasons"][0]

    inside(tmp_path, scenario)


def test_an_answer_is_merged_onto_a_moved_base_and_keeps_what_came_in_between(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await asked(room, TWO)
        head = room.commit("kept\n", "other.txt")
        repository = await room.rooms.repository({"application": "shop"})
        await repository.sync()
        await room.journal.rebase("chg-1", head, [])
        (only,) = await tried(room)
        _, blobs = await repository.files(only["tree"])
        assert sorted(await repository.changed_paths(head, only["tree"])) == ["word.py"]
        assert b"kept\n" in blobs.values()

    inside(tmp_path, scenario)


def test_an_answer_that_clashes_with_what_came_in_between_is_spoiled(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await asked(room, TWO)
        head = room.commit("WORD = 'three'\n")
        await (await room.rooms.repository({"application": "shop"})).sync()
        await room.journal.rebase("chg-1", head, [])
        (only,) = await tried(room)
        assert only["standing"] == "spoiled"
        assert "word.py" in only["reasons"][0]

    inside(tmp_path, scenario)


def test_a_sandbox_that_refuses_to_run_is_told_as_the_refusal_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(self: object, spec: SandboxSpec) -> SandboxResult:
        raise Refused("no rung of isolation is available here")

    async def scenario(room: Room) -> None:
        await asked(room, TWO)
        monkeypatch.setattr(type(room.rooms.sandbox), "run", refuses)
        with pytest.raises(Refused, match="no rung"):
            await tried(room)

    inside(tmp_path, scenario)
