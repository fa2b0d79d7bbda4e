"""Registering applications: whole or not at all, by those who may, and never stuck half-way."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from tests.unit.changes.room import AGENT, OPERATOR, Room, git, inside, make_origin

from ripple.changes.applications import ADOPTING, FAILED, READY, lease_of
from ripple.model.errors import Conflict, Invalid, NotFound, Refused
from ripple.planes.records import leases
from ripple.supervisor.loopback import free_ports


def test_an_added_application_has_ports_of_its_own_and_is_being_adopted(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        origin = make_origin(tmp_path / "origin")
        shown = await room.rooms.applications.add(OPERATOR, origin)
        assert (shown["name"], shown["state"], shown["branch"]) == ("shop", ADOPTING, "main")
        assert shown["head"] == git(origin, "rev-parse", "HEAD")
        urls = await room.rooms.applications.urls("shop")
        assert list(urls) == ["dev", "qa", "staging", "prod"]
        assert len(set(urls.values())) == 4
        assert room.tasks.started == [("adopt-shop", "adopt")]
        assert [outcome for outcome, _ in await room.audited("application.add")] == ["allowed", "done"]

    inside(tmp_path, scenario)


def test_an_agent_may_not_add_an_application(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        with pytest.raises(Refused, match=r"may not application\.add"):
            await room.rooms.applications.add(AGENT, make_origin(tmp_path / "origin"))
        assert await room.rooms.applications.listed(OPERATOR) == []

    inside(tmp_path, scenario)


def test_while_temporal_is_away_an_application_is_taken_and_adopted_later(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        room.tasks.away = True
        shown = await room.rooms.applications.add(OPERATOR, make_origin(tmp_path / "origin"))
        assert shown["state"] == ADOPTING
        await room.rooms.applications.resume_all()
        assert room.tasks.started == []
        room.tasks.away = False
        await room.rooms.applications.resume_all()
        assert room.tasks.started == [("adopt-shop", "adopt")]
        await room.rooms.applications.set_state("shop", READY, [])
        await room.rooms.applications.resume_all()
        assert len(room.tasks.started) == 1, "one that is ready is left alone"

    inside(tmp_path, scenario)


def test_a_name_is_registered_once_and_says_from_where(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        first, second = make_origin(tmp_path / "a"), make_origin(tmp_path / "b")
        both = await asyncio.gather(
            *(room.rooms.applications.add(OPERATOR, one) for one in (first, second)), return_exceptions=True
        )
        assert sum(isinstance(one, Conflict) for one in both) == 1
        assert len(await room.rooms.applications.listed(OPERATOR)) == 1
        with pytest.raises(Conflict, match=r"'shop' is registered already, from .*/(a|b)"):
            await room.rooms.applications.add(OPERATOR, second)

    inside(tmp_path, scenario)


def test_a_copy_is_a_repository_of_its_own_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        origin = make_origin(tmp_path / "origin")
        before = git(origin, "rev-parse", "HEAD")
        shown = await room.rooms.applications.add(OPERATOR, origin, copy=True)
        copied = room.rooms.home.root / "workspaces" / "shop"
        assert shown["path"] == str(copied)
        assert (copied / "word.py").read_text() == (origin / "word.py").read_text()
        assert shown["head"] == git(copied, "rev-parse", "HEAD") != before
        assert list(copied.parent.iterdir()) == [copied], "no half copy is left"

    inside(tmp_path, scenario)


def test_a_folder_that_cannot_be_copied_leaves_nothing_in_the_way_of_the_next_try(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        origin = make_origin(tmp_path / "origin")
        os.mkfifo(origin / "pipe")
        with pytest.raises(Invalid, match=r"cannot copy .*pipe"):
            await room.rooms.applications.add(OPERATOR, origin, copy=True)
        assert list((room.rooms.home.root / "workspaces").iterdir()) == []
        (origin / "pipe").unlink()
        assert (await room.rooms.applications.add(OPERATOR, origin, copy=True))["state"] == ADOPTING

    inside(tmp_path, scenario)


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "file"])
def test_what_is_no_repository_is_refused_with_its_path(tmp_path: Path, path: str) -> None:
    async def scenario(room: Room) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises((NotFound, Invalid)):
            await room.rooms.applications.add(OPERATOR, tmp_path / path)
        assert await room.rooms.applications.listed(OPERATOR) == []

    inside(tmp_path, scenario)


def test_only_an_application_that_is_ready_takes_changes(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        applications = room.rooms.applications
        assert (await applications.ready("shop"))["name"] == "shop"
        await applications.set_state("shop", ADOPTING, [])
        with pytest.raises(Refused, match="still being adopted"):
            await applications.ready("shop")
        await applications.set_state("shop", FAILED, ["its tests fail"])
        with pytest.raises(Refused, match="its tests fail"):
            await applications.ready("shop")
        with pytest.raises(NotFound, match="app add"):
            await applications.ready("nobody")

    inside(tmp_path, scenario)


def test_only_a_failed_adoption_is_repeated(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        with pytest.raises(Conflict, match="is ready"):
            await room.rooms.applications.retry(OPERATOR, "shop")
        await room.rooms.applications.set_state("shop", FAILED, ["its tests fail"])
        shown = await room.rooms.applications.retry(OPERATOR, "shop")
        assert (shown["state"], shown["reasons"]) == (ADOPTING, [])

    inside(tmp_path, scenario)


def test_an_application_whose_repository_is_gone_is_still_listed(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        room.origin.rename(tmp_path / "elsewhere")
        assert [one["head"] for one in await room.rooms.applications.listed(OPERATOR)] == [""]

    inside(tmp_path, scenario)


def test_what_a_change_brought_runs_where_its_own_release_and_commit_are_stable(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        await room.application()
        change = await room.change(release="sha256:a", commit="c1")
        await room.deployment("sha256:a", "c1", "dev")
        await room.deployment("sha256:a", "c1", "qa", "rolled_back")
        await room.deployment("sha256:a", "c2", "prod")
        assert await room.rooms.applications.runs(change) == ["dev"]

    inside(tmp_path, scenario)


def test_whoever_moves_an_application_is_known(tmp_path: Path) -> None:
    async def scenario(room: Room) -> None:
        assert await room.rooms.applications.holder("shop") is None
        await leases.acquire(room.rooms.records, lease_of("shop"), "chg-1")
        assert await room.rooms.applications.holder("shop") == "chg-1"

    inside(tmp_path, scenario)


def test_ports_that_others_were_given_are_never_given_twice() -> None:
    given = free_ports(8)
    assert len(set(given)) == 8
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        taken = one.getsockname()[1]
        assert taken not in free_ports(50)
    assert not set(free_ports(50, avoid=given)) & set(given)
