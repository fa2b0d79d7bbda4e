"""What every request passes first: it names this host, its body is small and comes in time; answers are hardened.

A plain ASGI layer, for streamed answers pass it untouched.
"""

from __future__ import annotations

import asyncio

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ripple.model.errors import Invalid, RippleError
from ripple.surfaces.http.auth import check_host

STATUS = {
    "refused": 403,
    "invalid": 422,
    "unknown_key": 422,
    "too_large": 413,
    "too_slow": 408,
    "not_found": 404,
    "conflict": 409,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "broken": 500,
    "sign_in_needed": 401,
    "foreign_request": 403,
}
HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
MAX_BODY_BYTES = 1 << 20
BODY_SECONDS = 20.0


class TooLarge(RippleError):
    """The request's body is larger than is taken."""

    code = "too_large"


class TooSlow(RippleError):
    """The request's body did not come in time."""

    code = "too_slow"


class Guard:
    """Hands on requests of this host whose whole body, of at most :data:`MAX_BODY_BYTES`, has come."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP passes as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        hardened = _hardened(send)
        request = Request(scope)
        try:
            check_host(request)
            body = await _body(request, receive)
        except RippleError as error:
            await error_response(error)(scope, receive, hardened)
            return
        if body is not None:
            await self.app(scope, _replayed(body, receive), hardened)


def error_response(error: RippleError) -> JSONResponse:
    """The one shape of every error."""
    body = {"error": {"code": error.code, "message": str(error), "retryable": error.retryable}}
    return JSONResponse(body, status_code=STATUS.get(error.code, 500))


async def _body(request: Request, receive: Receive) -> bytes | None:
    """The whole body, however it is framed; None when the client went away before its end."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise Invalid(f"content-length {announced[:40]!r} is no number")
    _check_size(int(announced))
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                received += message.get("body", b"")
                _check_size(len(received))
                if not message.get("more_body", False):
                    return bytes(received)
    except TimeoutError as error:
        raise TooSlow(f"the request's body did not come within {BODY_SECONDS:g} s; send it again") from error


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise TooLarge(f"the request's body is larger than {MAX_BODY_BYTES} bytes; send less")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then whatever comes: that is the news that the client went away."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _hardened(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
