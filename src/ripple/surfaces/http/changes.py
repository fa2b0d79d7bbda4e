"""Applications and changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ripple.model.change import ChangeKind, Intent
from ripple.stack.root import project_root
from ripple.surfaces.http.auth import Asking, Composed

router = APIRouter(tags=["changes"])
MAX_ROW = (1 << 63) - 1
"""The largest number a row can have."""


class NewApplication(BaseModel):
    """Where the repository is; ``copy`` makes a working copy of a folder that is not one.

    A relative path starts at Ripple's own checkout: ``examples/checkout`` is the example.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    path: str = Field(min_length=1, max_length=4096)
    copy_folder: bool = Field(default=False, alias="copy")


class NewChange(BaseModel):
    """What should change, in the operator's words."""

    model_config = ConfigDict(extra="forbid")
    application: str
    intent: str
    policy: str | None = None
    kind: ChangeKind | None = None


class Approval(BaseModel):
    """The environment a person lets the change into."""

    model_config = ConfigDict(extra="forbid")
    environment: str


@router.get("/applications")
async def applications(who: Asking, app: Composed) -> dict[str, Any]:
    """All applications."""
    return {"applications": [await app.with_health(one) for one in await app.applications.listed(who)]}


@router.post("/applications", status_code=201)
async def add_application(body: NewApplication, who: Asking, app: Composed) -> dict[str, Any]:
    """Register an application and start adopting it."""
    path = project_root() / Path(body.path).expanduser()  # noqa: ASYNC240 (a look-up in the environment)
    return await app.with_health(await app.applications.add(who, path, copy=body.copy_folder))


@router.get("/applications/{name}")
async def application(name: str, who: Asking, app: Composed) -> dict[str, Any]:
    """One application."""
    return await app.with_health(await app.applications.get(who, name))


@router.post("/applications/{name}/adopt", status_code=202)
async def adopt(name: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Adopt an application again whose adoption failed."""
    return await app.with_health(await app.applications.retry(who, name))


@router.post("/changes", status_code=201)
async def submit(body: NewChange, who: Asking, app: Composed) -> dict[str, Any]:
    """Ask for a change."""
    policy = body.policy or app.changes.default_policy
    return await app.changes.submit(who, Intent(body.application, body.intent, policy, body.kind))


@router.get("/changes")
async def changes(
    who: Asking, app: Composed, application: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> dict[str, Any]:
    """Changes, newest first."""
    return {"changes": await app.changes.listed(who, application, limit)}


@router.get("/changes/{change_id}")
async def change(change_id: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Everything kept of one change."""
    return await app.changes.get(who, change_id)


@router.get("/changes/{change_id}/events")
async def events(
    change_id: str,
    who: Asking,
    app: Composed,
    request: Request,
    last_event_id: Annotated[int | None, Header(ge=0, le=MAX_ROW)] = None,
    after: Annotated[int, Query(ge=0, le=MAX_ROW)] = 0,
) -> StreamingResponse:
    """The live timeline as server-sent events; a browser that reconnects goes on behind the last one it saw."""
    await app.changes.get(who, change_id)
    seen = after if last_event_id is None else last_event_id

    async def stream() -> AsyncIterator[str]:
        async with aclosing(app.feed.follow(change_id, seen)) as rows:
            async for seq, kind, data in rows:
                if await request.is_disconnected():
                    return
                yield f"id: {seq}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" if kind else ": still here\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


@router.get("/changes/{change_id}/samples")
async def samples(change_id: str, who: Asking, app: Composed, environment: str | None = None) -> dict[str, Any]:
    """The canary samples of a change."""
    return {"samples": await app.changes.samples(who, change_id, environment)}


@router.get("/changes/{change_id}/evidence")
async def evidence(change_id: str, who: Asking, app: Composed) -> dict[str, Any]:
    """The signed statements of a change, each verified now."""
    rows = await app.changes.evidence(who, change_id)
    return {"envelopes": [app.verified(row) for row in rows]}


@router.post("/changes/{change_id}/approve", status_code=202)
async def approve(change_id: str, body: Approval, who: Asking, app: Composed) -> dict[str, Any]:
    """Let a change into an environment that asks for a person."""
    return await app.changes.approve(who, change_id, body.environment)


@router.post("/changes/{change_id}/cancel", status_code=202)
async def cancel(change_id: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Stop a running change."""
    return await app.changes.cancel(who, change_id)


@router.post("/changes/{change_id}/rollback", status_code=202)
async def roll_back(change_id: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Undo a change in every environment."""
    return await app.changes.roll_back(who, change_id)


@router.post("/releases/{digest}/unhold", status_code=204)
async def unhold(digest: str, who: Asking, app: Composed) -> None:
    """Let a held release be deployed again."""
    async with app.governor.act(who, "release.unhold", f"release/{digest}", data={}):
        await app.environments.unhold(digest)
