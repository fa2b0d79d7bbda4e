"""The deployments table, and what follows from it for the edge and for the files that are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from ripple.delivery.deployments import (
    Deployments,
    canary_of,
    predecessor_of,
    routes,
    stable_of,
    still_needed,
)
from ripple.model.errors import NotFound
from ripple.model.release import ENVIRONMENTS, Deployment, DeploymentState
from ripple.planes.records import Records
from ripple.planes.records import tables as t

CANARY, STABLE, RETIRED, BACK = (
    DeploymentState.CANARY,
    DeploymentState.STABLE,
    DeploymentState.RETIRED,
    DeploymentState.ROLLED_BACK,
)


def row(
    release: str, state: DeploymentState, weight: int = 0, at: str = "1", environment: str = "qa"
) -> Deployment:
    return Deployment("shop", environment, release, state, f"app.shop.{environment}.{release}", weight, "c", at)


def socket(application: str, environment: str, release: str) -> Path:
    return Path(f"/run/{application}.{environment}.{release}")


def shares(*rows: Deployment) -> dict[str, int]:
    found = routes({("shop", "qa"): 8080}, rows, socket)
    return {one.socket.name.split(".")[-1]: one.weight for one in found[0].upstreams}


def test_a_canary_gets_its_weight_and_the_stable_release_the_rest() -> None:
    assert shares(row("old", STABLE, 100), row("new", CANARY, 20)) == {"old": 80, "new": 20}


def test_a_canary_without_weight_gets_nothing() -> None:
    assert shares(row("old", STABLE, 100), row("new", CANARY, 0)) == {"old": 100}


def test_a_canary_gets_everything_where_nothing_is_stable() -> None:
    assert shares(row("new", CANARY, 100)) == {"new": 100}


def test_what_is_retired_or_rolled_back_gets_nothing() -> None:
    assert shares(row("one", RETIRED), row("two", BACK)) == {}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from(DeploymentState), st.integers(0, 100), st.integers(0, 9)
        ),
        unique_by=lambda one: one[0],
    )
)
def test_shares_never_exceed_the_whole_and_only_go_to_what_runs(
    given_rows: list[tuple[str, DeploymentState, int, int]],
) -> None:
    rows = [row(name, state, weight, str(at)) for name, state, weight, at in given_rows]
    found = shares(*rows)
    running = {one.release for one in rows if one.state in (CANARY, STABLE)}
    assert set(found) <= running
    assert sum(found.values()) <= 100
    if stable_of(rows, "qa"):
        assert sum(found.values()) == 100
    assert running <= still_needed(rows)


def test_a_rollback_starts_what_was_retired_last() -> None:
    rows = [row("one", RETIRED, at="1"), row("two", RETIRED, at="2"), row("bad", BACK, at="4"), row("new", STABLE)]
    before = predecessor_of(rows, "qa", "new")
    assert before is not None
    assert before.release == "two"
    assert still_needed(rows) == {"two", "new"}
    assert predecessor_of([row("new", STABLE)], "qa", "new") is None


@asynccontextmanager
async def _table(folder: Path) -> AsyncIterator[Deployments]:
    records = Records.at(folder / "ripple.db")
    await records.open()
    application = {
        "name": "shop",
        "path": "/shop",
        "branch": "main",
        "manifest": {},
        "ports": {name: 7000 + position for position, name in enumerate(ENVIRONMENTS)},
        "state": "ready",
        "reasons": [],
        "added_at": "now",
    }
    release = {
        "digest": "sha256:aa",
        "application": "shop",
        "commit": "c",
        "tree": "t",
        "toolchain": "x",
        "artifact": "",
        "created_at": "now",
        "held": False,
    }
    async with records.write() as connection:
        await connection.execute(insert(t.applications).values(**application))
        await connection.execute(insert(t.releases).values(**release))
    yield Deployments(records)
    await records.close()


def test_rows_are_written_together_and_read_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _table(tmp_path) as table:
            await table.put(row("old", STABLE, 100), row("new", CANARY, 20))
            rows = await table.all("shop")
            assert {one.release for one in rows} == {"old", "new"}
            new = canary_of(rows, "qa")
            assert new is not None
            await table.put(replace(new, state=STABLE, weight=100))
            assert len(await table.all()) == 2
            assert await table.all("other") == []
            assert await table.port("shop", "staging") == 7002
            with pytest.raises(NotFound, match="nothere"):
                await table.port("nothere", "qa")

    anyio.run(scenario)


def test_a_release_is_held_with_a_reason_until_it_is_let_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _table(tmp_path) as table:
            assert await table.hold_reason("sha256:aa") is None
            await table.hold("sha256:aa", "its canary failed")
            assert await table.hold_reason("sha256:aa") == "its canary failed"
            await table.hold("sha256:aa", None)
            assert await table.hold_reason("sha256:aa") is None
            with pytest.raises(NotFound):
                await table.hold("sha256:bb", None)

    anyio.run(scenario)
