"""The map, what is proven of it, where it drifts, its repairs, and the phases."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ripple.surfaces.http.auth import Asking, Composed

router = APIRouter(tags=["stack"])


class Repair(BaseModel):
    """What to do with a system."""

    model_config = ConfigDict(extra="forbid")
    verb: Literal["install", "fix", "remove", "verify", "restart"]


class Part(BaseModel):
    """The phases to run, both ends included."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    first: str = Field(default="P0", alias="from", max_length=10)
    last: str = Field(default="P6", alias="to", max_length=10)


@router.get("/stack")
async def stack(who: Asking, app: Composed) -> dict[str, Any]:
    """Every layer with its systems: status, proof, lock, what runs and what drifts; and who has which role."""
    return await app.stack.whole(who)


@router.get("/stack/{system}")
async def system(system: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Everything about one system."""
    return await app.stack.one(who, system)


@router.post("/stack/{system}/repair", status_code=202)
async def repair(system: str, body: Repair, who: Asking, app: Composed) -> dict[str, Any]:
    """Install, fix, remove, prove or restart a system; it goes on after the answer."""
    return await app.stack.repair(who, system, body.verb)


@router.get("/phases")
async def phases(who: Asking, app: Composed) -> dict[str, Any]:
    """The newest run of the phases, task by task."""
    return await app.phases.shown(who)


@router.post("/phases", status_code=202)
async def run_phases(body: Part, who: Asking, app: Composed) -> dict[str, Any]:
    """Run phases, or follow the run that goes on."""
    return await app.phases.run(who, body.first, body.last)
