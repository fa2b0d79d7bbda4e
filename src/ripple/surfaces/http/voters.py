"""Models, providers, and the inference policies that let them vote."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ripple.surfaces.http.auth import Asking, Composed

router = APIRouter(tags=["voters"])


class NewProvider(BaseModel):
    """A model Ripple may ask. ``key`` is stored for the owner of RIPPLE_HOME alone and never shown again."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")
    tier: str = Field(pattern="^(local|cloud)$")
    base_url: str | None = None
    model: str
    weight: float = Field(default=1.0, gt=0, le=10)
    adapter: str = "openai"
    lineage: str | None = None
    priority: int = Field(default=100, ge=0, le=1000)
    key_env: str | None = None
    key: SecretStr | None = None


@router.get("/policies")
async def policies(who: Asking, app: Composed) -> dict[str, Any]:
    """The inference policies one may choose, and who would vote under each."""
    async with app.governor.act(who, "voters.read", "policies", data={}):
        return {"policies": await app.voters.policies(), "default": app.changes.default_policy}


@router.get("/providers")
async def providers(who: Asking, app: Composed) -> dict[str, Any]:
    """All providers, without their keys."""
    async with app.governor.act(who, "voters.read", "providers", data={}):
        return {"providers": await app.voters.providers()}


@router.post("/providers", status_code=201)
async def add_provider(body: NewProvider, who: Asking, app: Composed) -> dict[str, Any]:
    """Add or replace a provider."""
    shown = body.model_dump(mode="json", exclude={"key"})
    async with app.governor.act(who, "provider.add", f"provider/{body.name}", data=shown):
        key = body.key.get_secret_value() if body.key else None
        return await app.voters.add_provider(shown, key)


@router.delete("/providers/{name}", status_code=204)
async def remove_provider(name: str, who: Asking, app: Composed) -> None:
    """Forget a provider and its key."""
    async with app.governor.act(who, "provider.remove", f"provider/{name}", data={}):
        await app.voters.remove_provider(name)


@router.post("/providers/{name}/test")
async def test_provider(name: str, who: Asking, app: Composed) -> dict[str, Any]:
    """Ask a provider for one short answer."""
    async with app.governor.act(who, "provider.test", f"provider/{name}", data={}):
        return await app.voters.test_provider(name)


@router.get("/models")
async def models(who: Asking, app: Composed) -> dict[str, Any]:
    """Local models: installed ones and ones that can be added."""
    async with app.governor.act(who, "voters.read", "models", data={}):
        return {"models": await app.voters.models()}


@router.post("/models/{chosen}/add", status_code=202)
async def add_models(chosen: str, who: Asking, app: Composed) -> None:
    """Fetch a model or a set of models in the background; ``GET /models`` shows how far it came."""
    async with app.governor.act(who, "models.add", f"models/{chosen}", data={}):
        await app.voters.add_models(chosen)
