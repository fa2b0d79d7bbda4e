"""What a change did is written once, with its timeline, whether or not anybody hears of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from tests.unit.changes.room import Room, inside

from ripple.changes.calls import TRIAL_STEPS
from ripple.changes.journal import now
from ripple.model.errors import NotFound
from ripple.planes.records import tables as t


def test_every_visible_fact_is_a_row_and_a_line_of_the_timeline(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        await room.step("admit")
        await room.journal.put_candidates("chg-1", {"model": "b", "standing": "counted"})
        await room.journal.put_candidates("chg-1", {"model": "a", "standing": "spoiled"})
        await room.journal.sample("chg-1", "qa", {"verdict": "pass"})
        await room.journal.note("chg-1", "rebase", {"to": "c"})
        await room.journal.set_change("chg-1", state="promoted", reasons=["done"])
        kinds = [kind for kind, _ in await room.timeline()]
        assert kinds == ["state", "step", "candidate", "candidate", "sample", "rebase", "state"]
        assert [row["model"] for row in await room.journal.candidates("chg-1")] == ["a", "b"]
        assert (await room.journal.samples("chg-1"))[0]["verdict"] == "pass"
        assert await room.journal.samples("chg-1", "prod") == []
        assert (await room.journal.change("chg-1"))["reasons"] == ["done"]

    inside(tmp_path, scenario)


def test_an_event_bus_that_is_away_costs_only_the_hint(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.events.open()
        began = time.monotonic()
        await room.change()
        for number in range(20):
            await room.journal.note("chg-1", "note", {"number": number})
        assert time.monotonic() - began < 20
        assert len(await room.timeline()) == 21
        await room.events.close()

    inside(tmp_path, scenario)


def test_a_change_is_created_once(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        with pytest.raises(IntegrityError):
            await room.change()
        assert len(await room.timeline()) == 1, "the second one left no line"

    inside(tmp_path, scenario)


def test_an_unknown_change_is_named(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        with pytest.raises(NotFound, match=r"'\.\./etc'"):
            await room.journal.change("../etc")
        assert await room.journal.step("chg-9", "admit") is None

    inside(tmp_path, scenario)


def test_a_step_that_is_put_again_replaces_its_row(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        await room.step("admit", "running")
        await room.step("context", "running")
        assert await room.journal.current_steps(["chg-1"]) == {"chg-1": "context"}
        await room.step("admit", "refused", reasons=["no"])
        assert [row["state"] for row in await room.journal.steps("chg-1")] == ["running", "refused"]

    inside(tmp_path, scenario)


def test_a_new_base_takes_the_trial_made_on_the_old_one_with_it(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change(base_commit="old", consensus={"score": 1})
        for step in ("admit", *TRIAL_STEPS):
            await room.step(step)
        await room.journal.rebase("chg-1", "new", [step.value for step in TRIAL_STEPS])
        change = await room.journal.change("chg-1")
        assert (change["base_commit"], change["consensus"]) == ("new", None)
        assert [row["step"] for row in await room.journal.steps("chg-1")] == ["admit"]
        assert (await room.timeline())[-1] == ("rebase", {"from": "old", "to": "new"})

    inside(tmp_path, scenario)


def test_statements_are_found_by_what_they_speak_of(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change()
        row = {"change_id": "chg-1", "subject": "sha256:a", "gate": "canary", "environment": "qa"}
        await room.journal.put_evidence(
            {**row, "verdict": "pass", "at": now(), "envelope": {}}, {"gate": "canary"}
        )
        assert await room.journal.statement("chg-1", "sha256:a", "canary", "qa")
        for other in (("sha256:b", "canary", "qa"), ("sha256:a", "build", "qa"), ("sha256:a", "canary", None)):
            assert await room.journal.statement("chg-1", *other) is None
        assert await room.journal.statement("chg-2", "sha256:a", "canary", "qa") is None

    inside(tmp_path, scenario)


def test_lists_are_newest_first_and_of_one_application_if_asked(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.change("chg-1", created_at="2026-01-01")
        await room.change("chg-2", created_at="2026-01-02", application="other")
        await room.change("chg-3", created_at="2026-01-03", state="rejected")
        assert [row["id"] for row in await room.journal.listed(None, 2)] == ["chg-3", "chg-2"]
        assert [row["id"] for row in await room.journal.listed("shop", 9)] == ["chg-3", "chg-1"]
        assert await room.journal.running() == ["chg-1", "chg-2"]

    inside(tmp_path, scenario)


def test_only_a_held_release_is_held(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        row = {
            "application": "shop",
            "commit": "c",
            "tree": "t",
            "toolchain": "x",
            "artifact": "",
            "created_at": "",
        }
        async with room.rooms.records.write() as connection:
            for digest, held in (("sha256:a", True), ("sha256:b", False)):
                await connection.execute(t.releases.insert().values(digest=digest, held=held, **row))
        assert [await room.journal.held(one) for one in ("sha256:a", "sha256:b", "sha256:c", None)] == [
            True, False, False, False,
        ]  # fmt: skip

    inside(tmp_path, scenario)
