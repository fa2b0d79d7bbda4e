"""What runs, what was written down, and which setting won."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ripple.model.component import Status
from ripple.surfaces.http.auth import Asking, Composed

router = APIRouter(tags=["system"])
MAX_ENTRY = (1 << 63) - 1
"""The largest number an entry can have."""


@router.get("/status")
async def status(who: Asking, app: Composed) -> Status:
    """What the supervisor runs."""
    async with app.governor.act(who, "system.read", "status", data={}):
        return await app.supervisor.status()


@router.post("/components/{component}/restart", status_code=202)
async def restart(component: str, who: Asking, app: Composed) -> None:
    """Restart one component."""
    async with app.governor.act(who, "component.restart", f"component/{component}", data={}):
        await app.supervisor.restart(component)


@router.post("/groups/{group}/restart", status_code=202)
async def restart_group(group: str, who: Asking, app: Composed) -> None:
    """Restart every component of a group, each after what it requires."""
    async with app.governor.act(who, "component.restart", f"group/{group}", data={}):
        await app.supervisor.restart_group(group)


@router.get("/components/{component}/logs")
async def logs(
    component: str, who: Asking, app: Composed, lines: Annotated[int, Query(ge=1, le=5000)] = 200
) -> dict[str, str]:
    """The last lines a component wrote."""
    async with app.governor.act(who, "system.read", f"component/{component}/logs", data={}):
        return {"text": await app.supervisor.logs(component, lines)}


@router.get("/audit")
async def audit(
    who: Asking,
    app: Composed,
    before: Annotated[int | None, Query(ge=0, le=MAX_ENTRY)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    q: str = "",
) -> dict[str, Any]:
    """Audit entries, newest first."""
    async with app.governor.act(who, "audit.read", "audit", data={}):
        return await app.audit_page(before, limit, q)


@router.get("/audit/verify")
async def verify(who: Asking, app: Composed) -> dict[str, Any]:
    """Whether the audit chain is whole."""
    async with app.governor.act(who, "audit.read", "audit", data={}):
        return await app.audit_verdict()


@router.get("/audit/key")
async def key(who: Asking, app: Composed) -> dict[str, str]:
    """The public key that signs this node's evidence."""
    return {"key_id": app.node_key.key_id, "public_key_pem": app.node_key.public_pem}


@router.get("/traces/{trace_id}")
async def trace(trace_id: str, who: Asking, app: Composed) -> dict[str, Any]:
    """The spans kept of one trace; a change names its own as ``trace_id``."""
    async with app.governor.act(who, "system.read", f"trace/{trace_id}", data={}):
        return {"spans": await app.spans(trace_id)}


@router.get("/config")
async def settings(who: Asking, app: Composed) -> dict[str, Any]:
    """Every setting: its value and which source won."""
    async with app.governor.act(who, "system.read", "config", data={}):
        return {"settings": app.resolved.rows()}


@router.get("/config/{name}")
async def explain(name: str, who: Asking, app: Composed) -> dict[str, Any]:
    """One setting: its value and which source won."""
    async with app.governor.act(who, "system.read", f"config/{name}", data={}):
        return app.explain(name)
