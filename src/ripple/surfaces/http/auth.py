"""Who is asking: a browser by its session cookie, the command line by the operator's token.

A request that changes something and comes with a cookie must come from our own pages (``Origin``), and every
request must name this host: together that keeps other web pages and rebound names out.
"""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request, Response

from ripple.app import App
from ripple.model.errors import RippleError
from ripple.model.governance import Principal, PrincipalKind

COOKIE = "ripple_session"
OPERATOR = Principal(PrincipalKind.OPERATOR, "local", ("operator",))
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SignInNeeded(RippleError):
    """Nobody is signed in on this request."""

    code = "sign_in_needed"


class ForeignRequest(RippleError):
    """The request comes from another site or names another host."""

    code = "foreign_request"


def app_of(request: Request) -> App:
    """The composed application of this process."""
    composed: App = request.app.state.composed
    return composed


async def signed_in(request: Request) -> Principal:
    """The principal of this request, or SignInNeeded."""
    app = app_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        if hmac.compare_digest(token.encode(), app.operator_token.get_secret_value().encode()):
            return OPERATOR
        raise SignInNeeded("the bearer token is not this instance's; the command line reads it from RIPPLE_HOME")
    principal = await app.sessions.principal(request.cookies.get(COOKIE, ""))
    if principal is None:
        raise SignInNeeded("you are not signed in; open the link that ./ripple up prints")
    _check_origin(request)
    return principal


def check_host(request: Request) -> None:
    """Refuse a request that names any host but this machine's loopback."""
    name = request.headers.get("host", "").rsplit(":", 1)[0]
    if name not in ("127.0.0.1", "localhost", "[::1]"):
        raise ForeignRequest(f"this server answers on 127.0.0.1 and localhost, not on {name!r}")


def set_session(response: Response, token: str, seconds: int) -> None:
    """Put the session token where scripts and other sites cannot reach it."""
    response.set_cookie(COOKIE, token, max_age=seconds, httponly=True, samesite="strict", path="/")


def _check_origin(request: Request) -> None:
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin", "")
    if origin != f"http://{request.headers.get('host', '')}":
        raise ForeignRequest(f"the request comes from {origin or 'nowhere'!r}, not from the console's own page")


Asking = Annotated[Principal, Depends(signed_in)]
Composed = Annotated[App, Depends(app_of)]
