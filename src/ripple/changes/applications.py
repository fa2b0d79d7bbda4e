"""The applications Ripple looks after: registering one, and where its releases run."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import insert, select, update

from ripple.changes.calls import StepCall
from ripple.changes.journal import now
from ripple.delivery.application import load_application
from ripple.delivery.repository import Repository, inspect_origin
from ripple.governance.governor import Governor
from ripple.model.application import ApplicationManifest
from ripple.model.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from ripple.model.governance import Principal
from ripple.model.paths import Home
from ripple.model.release import ENVIRONMENTS
from ripple.planes.records import Records, leases
from ripple.planes.records import tables as t

log = structlog.get_logger(__name__)
ADOPTING, READY, FAILED = "adopting", "ready", "failed"


class Ports(Protocol):
    """Hands out loopback ports that nobody listens on."""

    def __call__(self, count: int, avoid: Collection[int] = ()) -> list[int]:
        """``count`` distinct free ports, none of ``avoid``."""
        ...


class Tasks(Protocol):
    """Starts one durable task."""

    async def start_task(self, flow_id: str, name: str, call: StepCall) -> None:
        """Start the task ``name`` under ``flow_id``."""
        ...


class Applications:
    """The operator's verbs on applications."""

    def __init__(self, home: Home, records: Records, governor: Governor, tasks: Tasks, ports: Ports) -> None:
        self._home = home
        self._records = records
        self._governor = governor
        self._tasks = tasks
        self._ports = ports

    async def add(self, principal: Principal, path: Path, *, copy: bool = False) -> dict[str, Any]:
        """Register the Git repository at ``path`` and start adopting it; returns its view.

        With ``copy`` the folder is copied into Ripple's home first and made a repository of its own. The row is
        committed before adoption starts: if Temporal is down now, the worker starts it later.
        """
        origin = await asyncio.to_thread(lambda: path.expanduser().absolute())
        async with self._governor.act(principal, "application.add", f"path/{origin}", data={"copy": copy}):
            if copy:
                origin = await self._copied(origin)
            branch = await inspect_origin(origin)
            manifest = load_application(origin)
            await self._insert(origin, branch, manifest)
        await self._adopted(manifest.name)
        return await self._view(await self.row(manifest.name))

    async def retry(self, principal: Principal, name: str) -> dict[str, Any]:
        """Adopt again after a failed adoption."""
        row = await self.row(name)
        if row["state"] != FAILED:
            raise Conflict(f"application {name} is {row['state']}; only a failed adoption can be repeated")
        async with self._governor.act(principal, "application.add", f"application/{name}", data={}):
            await self.set_state(name, ADOPTING, [])
        await self._adopted(name)
        return await self._view(await self.row(name))

    async def resume_all(self) -> None:
        """Start the adoption of every application that waits for it and has none running."""
        query = select(t.applications.c.name).where(t.applications.c.state == ADOPTING)
        async with self._records.read() as connection:
            names = list((await connection.execute(query)).scalars())
        for name in names:
            await self._adopted(name)

    async def listed(self, principal: Principal) -> list[dict[str, Any]]:
        """All applications with what runs in their environments."""
        async with self._governor.act(principal, "application.read", "applications", data={}):
            async with self._records.read() as connection:
                query = select(t.applications).order_by(t.applications.c.name)
                rows = [dict(row) for row in (await connection.execute(query)).mappings()]
            return [await self._view(row) for row in rows]

    async def get(self, principal: Principal, name: str) -> dict[str, Any]:
        """One application."""
        async with self._governor.act(principal, "application.read", f"application/{name}", data={}):
            return await self._view(await self.row(name))

    async def row(self, name: str) -> dict[str, Any]:
        """The application's row; NotFound when it is not registered."""
        async with self._records.read() as connection:
            query = select(t.applications).where(t.applications.c.name == name)
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFound(f"no application {name!r}; register it with ./ripple app add PATH")
        return dict(row)

    async def ready(self, name: str) -> dict[str, Any]:
        """The row of an application a change may be made to, else Refused with what stands in the way."""
        row = await self.row(name)
        if row["state"] == ADOPTING:
            raise Refused(f"application {name} is still being adopted; wait until it is ready")
        if row["state"] == FAILED:
            raise Refused(f"application {name} could not be adopted: {'; '.join(row['reasons'])}")
        return row

    async def set_state(self, name: str, state: str, reasons: list[str]) -> None:
        """Record how far adoption came."""
        async with self._records.write() as connection:
            statement = update(t.applications).where(t.applications.c.name == name)
            await connection.execute(statement.values(state=state, reasons=reasons))

    async def runs(self, change: Mapping[str, Any]) -> list[str]:
        """The environments in which what this change brought is what runs now."""
        where = t.deployments.c.application == change["application"], t.deployments.c.state == "stable"
        async with self._records.read() as connection:
            rows = (await connection.execute(select(t.deployments).where(*where))).mappings().all()
        brought = (change["release"], change["commit"])
        return [row["environment"] for row in rows if (row["release"], row["commit"]) == brought]

    async def holder(self, name: str) -> str | None:
        """The change that moves the application now, None when nobody does."""
        return await leases.holder(self._records, lease_of(name))

    async def urls(self, name: str) -> dict[str, str]:
        """Where the edge serves each environment."""
        ports: Mapping[str, int] = (await self.row(name))["ports"]
        return {environment: f"http://127.0.0.1:{port}" for environment, port in ports.items()}

    def repository(self, row: Mapping[str, Any]) -> Repository:
        """Ripple's own clone of the application."""
        return Repository(self._home.applications / row["name"], Path(row["path"]), row["branch"])

    async def _adopted(self, name: str) -> None:
        try:
            await self._tasks.start_task(f"adopt-{name}", "adopt", StepCall(name))
        except Unavailable as error:
            log.warning("adoption_not_started", application=name, error=str(error))

    async def _copied(self, source: Path) -> Path:
        """A repository with the folder's files; it is there whole or not at all."""
        manifest = load_application(source)
        target = self._home.root / "workspaces" / manifest.name
        if target.exists():
            raise Conflict(f"cannot copy {source}: {target} exists already; add that folder instead")
        ignore = shutil.ignore_patterns("__pycache__", ".git", ".venv", ".pytest_cache")
        fresh = target.with_name(f".{manifest.name}.{secrets.token_hex(4)}")
        try:
            await asyncio.to_thread(shutil.copytree, source, fresh, ignore=ignore, symlinks=True)
            await Repository.initialise(fresh)
            fresh.rename(target)
        except OSError as error:
            raise Invalid(f"cannot copy {source} to {target}: {error}; mend that and add it again") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return target

    async def _insert(self, origin: Path, branch: str, manifest: ApplicationManifest) -> None:
        row = {
            "name": manifest.name,
            "path": str(origin),
            "branch": branch,
            "manifest": manifest.model_dump(mode="json"),
            "state": ADOPTING,
            "reasons": [],
            "added_at": now(),
        }
        async with self._records.write() as connection:
            query = select(t.applications.c.path).where(t.applications.c.name == manifest.name)
            known = (await connection.execute(query)).scalar()
            if known is not None:
                raise Conflict(f"an application named {manifest.name!r} is registered already, from {known}")
            given = (await connection.execute(select(t.applications.c.ports))).scalars()
            avoid = {port for ports in given for port in ports.values()}
            ports = dict(zip(ENVIRONMENTS, self._ports(len(ENVIRONMENTS), avoid), strict=True))
            await connection.execute(insert(t.applications).values(**row, ports=ports))

    async def _view(self, row: Mapping[str, Any]) -> dict[str, Any]:
        query = select(t.deployments).where(t.deployments.c.application == row["name"])
        async with self._records.read() as connection:
            deployments = [dict(found) for found in (await connection.execute(query)).mappings()]
        return {
            **{key: row[key] for key in ("name", "path", "branch", "state", "reasons")},
            "head": await self._head(row),
            "environments": [_environment(name, row["ports"], deployments) for name in ENVIRONMENTS],
        }

    async def _head(self, row: Mapping[str, Any]) -> str:
        try:
            return await self.repository(row).origin_head()
        except (Invalid, NotFound, Unavailable):
            return ""


def lease_of(application: str) -> str:
    """The name of the lease that whoever moves the application holds."""
    return f"application/{application}"


def _environment(name: str, ports: Mapping[str, int], deployments: list[dict[str, Any]]) -> dict[str, Any]:
    here = [found for found in deployments if found["environment"] == name]
    stable = next((found for found in here if found["state"] == "stable"), None)
    canary = next((found for found in here if found["state"] == "canary"), None)
    return {
        "environment": name,
        "url": f"http://127.0.0.1:{ports[name]}",
        "stable": {key: stable[key] for key in ("release", "commit", "at", "component")} if stable else None,
        "canary": {key: canary[key] for key in ("release", "commit", "weight")} if canary else None,
    }
