"""Signing in and out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ripple.surfaces.http.auth import COOKIE, Asking, Composed, set_session

router = APIRouter(tags=["identity"])


class SignIn(BaseModel):
    """The token of a one-time link."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(min_length=1, max_length=200)


@router.post("/sign-in", status_code=204)
async def sign_in(body: SignIn, app: Composed, response: Response) -> None:
    """Trade a one-time token for a session cookie; the token is spent by it."""
    session = await app.sessions.redeem(body.token)
    set_session(response, session.token, session.seconds)


@router.post("/sign-out", status_code=204)
async def sign_out(request: Request, who: Asking, app: Composed, response: Response) -> None:
    """End this browser's session."""
    await app.sessions.end(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path="/")


@router.post("/sign-in-links", status_code=201)
async def new_link(who: Asking, app: Composed) -> dict[str, str]:
    """Make another one-time link for the principal that asks."""
    async with app.governor.act(who, "session.link", f"principal/{who.id}", data={}):
        return {"token": await app.sessions.issue_link(who)}


@router.get("/me")
async def me(who: Asking) -> dict[str, Any]:
    """Who is signed in."""
    return {"principal": str(who), "roles": list(who.roles)}
