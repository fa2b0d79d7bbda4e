"""One-time links and sessions over a real database, with a clock the test moves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ripple.governance.audit import Audit
from ripple.governance.sessions import LINK_SECONDS, SESSION_SECONDS, Sessions
from ripple.model.errors import Refused
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.records import Records

T = TypeVar("T")
OPERATOR = Principal(PrincipalKind.OPERATOR, "local", ("operator",))


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 60))


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def signing_in(folder: Path) -> AsyncIterator[tuple[Sessions, Clock, Audit]]:
    """Sessions over a database in ``folder``."""
    records = Records.at(folder / "ripple.db")
    await records.open()
    clock, audit = Clock(), Audit(records)
    try:
        yield Sessions(records, audit, clock=clock), clock, audit
    finally:
        await records.close()


def test_a_link_is_traded_once_for_a_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, _, audit):
            link = await sessions.issue_link(OPERATOR)
            session = await sessions.redeem(link)
            assert (session.principal, session.seconds) == (OPERATOR, SESSION_SECONDS)
            assert await sessions.principal(session.token) == OPERATOR
            with pytest.raises(Refused, match="used already"):
                await sessions.redeem(link)
            assert [one.outcome for one in await audit.page()] == ["denied", "done"]

    run(main())


def test_a_link_redeemed_by_many_at_once_serves_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, _, _audit):
            link = await sessions.issue_link(OPERATOR)
            found = await asyncio.gather(*(sessions.redeem(link) for _ in range(5)), return_exceptions=True)
            assert sum(not isinstance(one, BaseException) for one in found) == 1
            assert all(isinstance(one, Refused) for one in found if isinstance(one, BaseException))

    run(main())


def test_links_and_sessions_run_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, clock, _):
            late, early = await sessions.issue_link(OPERATOR), await sessions.issue_link(OPERATOR)
            session = await sessions.redeem(early)
            clock.now += LINK_SECONDS
            with pytest.raises(Refused):
                await sessions.redeem(late)
            assert await sessions.principal(session.token) == OPERATOR
            clock.now += SESSION_SECONDS
            assert await sessions.principal(session.token) is None

    run(main())


def test_a_link_is_no_session_and_a_session_no_link(tmp_path: Path) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, _, _audit):
            link = await sessions.issue_link(OPERATOR)
            assert await sessions.principal(link) is None
            session = await sessions.redeem(link)
            with pytest.raises(Refused):
                await sessions.redeem(session.token)

    run(main())


def test_an_ended_session_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, _, _audit):
            session = await sessions.redeem(await sessions.issue_link(OPERATOR))
            await sessions.end(session.token)
            await sessions.end("unknown")
            assert await sessions.principal(session.token) is None

    run(main())


@pytest.mark.parametrize("token", ["", "x", "\ud800", "a" * 10_000, "' OR 1=1 --"])
def test_strange_tokens_stand_for_nobody(tmp_path: Path, token: str) -> None:
    async def main() -> None:
        async with signing_in(tmp_path) as (sessions, _, _audit):
            assert await sessions.principal(token) is None
            with pytest.raises(Refused):
                await sessions.redeem(token)

    run(main())


def test_no_token_is_stored_or_shown(tmp_path: Path) -> None:
    async def main() -> tuple[str, str, str]:
        async with signing_in(tmp_path) as (sessions, _, _audit):
            link = await sessions.issue_link(OPERATOR)
            session = await sessions.redeem(await sessions.issue_link(OPERATOR))
            return link, session.token, repr(session)

    link, token, shown = run(main())
    stored = str(sqlite3.connect(tmp_path / "ripple.db").execute("SELECT * FROM sessions").fetchall())
    assert link not in stored
    assert token not in stored
    assert token not in shown
