"""The deployments table: which release is what in which environment, and what follows for the edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.delivery.edge import Route, Upstream
from ripple.model.errors import NotFound
from ripple.model.release import Deployment, DeploymentState
from ripple.planes.records import Records, upsert
from ripple.planes.records import tables as t

ACTIVE = frozenset({DeploymentState.CANARY, DeploymentState.STABLE})
KEYS = ("application", "environment", "release")


class Deployments:
    """Reads and writes rows; every change of several rows is one transaction."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def all(self, application: str | None = None) -> list[Deployment]:
        """All rows, of one application or of every one, oldest change first."""
        query = select(t.deployments).order_by(t.deployments.c.at)
        if application is not None:
            query = query.where(t.deployments.c.application == application)
        async with self._records.read() as connection:
            return [_deployment(row) for row in (await connection.execute(query)).mappings()]

    async def put(self, *rows: Deployment) -> None:
        """Insert or replace rows together, dated now."""
        async with self._records.write() as connection:
            for row in rows:
                await _put(connection, replace(row, at=_now()))

    async def ports(self) -> dict[tuple[str, str], int]:
        """The edge's port of every environment of every application."""
        async with self._records.read() as connection:
            query = select(t.applications.c.name, t.applications.c.ports)
            found = (await connection.execute(query)).all()
        return {(name, environment): int(port) for name, ports in found for environment, port in ports.items()}

    async def port(self, application: str, environment: str) -> int:
        """The edge's port of one environment; NotFound when the application is not registered."""
        port = (await self.ports()).get((application, environment))
        if port is None:
            raise NotFound(f"no environment {environment} of an application {application!r}; see ripple app list")
        return port

    async def move(self, application: str, environment: str, port: int) -> None:
        """Give one environment another port at the edge."""
        async with self._records.write() as connection:
            this = t.applications.c.name == application
            ports = (await connection.execute(select(t.applications.c.ports).where(this))).scalar_one()
            moved = {**ports, environment: port}
            await connection.execute(t.applications.update().where(this).values(ports=moved))

    async def hold_reason(self, release: str) -> str | None:
        """Why a release is held, None when it is not (or not known)."""
        query = select(t.releases.c.held, t.releases.c.held_reason).where(t.releases.c.digest == release)
        async with self._records.read() as connection:
            row = (await connection.execute(query)).first()
        return (row.held_reason or "held") if row is not None and row.held else None

    async def hold(self, release: str, reason: str | None) -> None:
        """Hold a release with a reason, or let it go with None; NotFound when there is no such release."""
        statement = t.releases.update().where(t.releases.c.digest == release)
        async with self._records.write() as connection:
            done = await connection.execute(statement.values(held=reason is not None, held_reason=reason))
        if not done.rowcount:
            raise NotFound(f"no release {release}; see the releases of a change in the console")


def stable_of(rows: Sequence[Deployment], environment: str) -> Deployment | None:
    """What gets the traffic of one environment."""
    return _last(rows, environment, DeploymentState.STABLE)


def canary_of(rows: Sequence[Deployment], environment: str) -> Deployment | None:
    """What is tried on a part of it."""
    return _last(rows, environment, DeploymentState.CANARY)


def predecessor_of(rows: Sequence[Deployment], environment: str, release: str) -> Deployment | None:
    """What ran in the environment before ``release``: the one retired last."""
    others = [row for row in rows if row.release != release]
    return _last(others, environment, DeploymentState.RETIRED)


def still_needed(rows: Sequence[Deployment]) -> set[str]:
    """Releases whose files are kept: what runs, and per environment what a rollback would start again."""
    needed = {row.release for row in rows if row.state in ACTIVE}
    for environment in {row.environment for row in rows}:
        before = predecessor_of(rows, environment, "")
        needed |= {before.release} if before else set()
    return needed


def routes(
    ports: Mapping[tuple[str, str], int],
    rows: Sequence[Deployment],
    socket: Callable[[str, str, str], Path],
) -> list[Route]:
    """The edge's routes. A canary gets its weight, the stable one the rest; with no stable one it gets all."""
    return [
        Route(application, environment, port, _upstreams(application, environment, rows, socket))
        for (application, environment), port in sorted(ports.items())
    ]


def _upstreams(
    application: str,
    environment: str,
    rows: Sequence[Deployment],
    socket: Callable[[str, str, str], Path],
) -> tuple[Upstream, ...]:
    here = [row for row in rows if (row.application, row.environment) == (application, environment)]
    stable, canary = stable_of(here, environment), canary_of(here, environment)
    canary_weight = canary.weight if canary else 0
    shares = [(canary, canary_weight), (stable, 100 - canary_weight)]
    used = [(row, weight) for row, weight in shares if row and weight > 0]
    return tuple(Upstream(socket(application, environment, row.release), weight) for row, weight in used)


def _last(rows: Sequence[Deployment], environment: str, state: DeploymentState) -> Deployment | None:
    found = [row for row in rows if row.environment == environment and row.state is state]
    return max(found, key=lambda row: row.at, default=None)


async def _put(connection: AsyncConnection, row: Deployment) -> None:
    values: dict[str, Any] = {**asdict(row), "state": row.state.value}
    await upsert.put(connection, t.deployments, KEYS, values)


def _deployment(row: Mapping[Any, Any]) -> Deployment:
    values = {str(key): value for key, value in row.items()}
    return Deployment(**{**values, "state": DeploymentState(values["state"])})


def _now() -> str:
    return datetime.now(UTC).isoformat()
