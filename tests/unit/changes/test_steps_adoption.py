"""Adoption: into the environments without a vote, but only as an adoption and on the application's own checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.changes.room import Room, inside

from ripple.changes.applications import ADOPTING, READY
from ripple.changes.steps.adoption import adopt_application
from ripple.model.errors import Refused, Unavailable
from ripple.planes.records import tables as t

TEST = "import unittest\n\n\nclass Word(unittest.TestCase):\n    def test_word(self) -> None:\n        {}\n"


async def added(room: Room, state: str, check: str = "self.assertTrue(True)") -> None:
    """``shop`` in this state, with one test."""
    await room.application()
    room.commit(TEST.format(check), "tests/test_word.py")
    await room.rooms.applications.set_state("shop", state, [])


def test_an_application_that_is_being_adopted_is_let_in_without_a_vote(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await added(room, ADOPTING)
        with pytest.raises(Unavailable, match="supervisor"):
            await adopt_application(room.rooms, "shop")
        assert [outcome for outcome, _ in await room.audited("release.promote")] == ["allowed"]

    inside(tmp_path, scenario)


def test_an_application_that_is_not_being_adopted_is_not_let_in_that_way(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await added(room, READY)
        with pytest.raises(Refused, match="the application is ready, so it is not being adopted"):
            await adopt_application(room.rooms, "shop")
        assert await room.rows(t.deployments) == []

    inside(tmp_path, scenario)


def test_an_application_whose_own_checks_fail_is_never_asked_about(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await added(room, ADOPTING, "self.fail()")
        with pytest.raises(Refused, match="its own checks fail"):
            await adopt_application(room.rooms, "shop")
        assert await room.audited("release.promote") == []

    inside(tmp_path, scenario)
