"""The FastAPI application: routes, error shape, security headers, the console's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.staticfiles import StaticFiles

from ripple import __version__
from ripple.app import App
from ripple.model.errors import RippleError
from ripple.planes import telemetry
from ripple.surfaces.http import changes, identity, system, voters
from ripple.surfaces.http.auth import check_host

STATUS = {
    "refused": 403,
    "invalid": 422,
    "unknown_key": 422,
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


def create(compose: Callable[[], Awaitable[App]], console: Path) -> FastAPI:
    """The server; ``compose`` opens everything it talks to, ``console`` holds the built pages."""

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        server.state.composed = await compose()
        try:
            yield
        finally:
            await server.state.composed.close()

    server = FastAPI(title="Ripple", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    server.middleware("http")(_guard)
    server.add_exception_handler(RippleError, _ripple_error)
    server.add_exception_handler(RequestValidationError, _invalid_request)
    for router in (identity.router, changes.router, system.router, voters.router):
        server.include_router(router, prefix="/api")
    server.add_api_route("/healthz", _healthz, include_in_schema=False)
    server.add_api_route("/readyz", _readyz, include_in_schema=False)
    server.add_api_route("/metrics", _metrics, include_in_schema=False)
    if console.is_dir():
        server.mount("/", StaticFiles(directory=console, html=True), name="console")
    return server


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        check_host(request)
        if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
            raise RippleError(f"the request is larger than {MAX_BODY_BYTES} bytes", code="invalid")
        response = await call_next(request)
    except RippleError as error:
        response = await _ripple_error(request, error)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _ripple_error(request: Request, error: Exception) -> Response:
    code = error.code if isinstance(error, RippleError) else "ripple"
    retryable = isinstance(error, RippleError) and error.retryable
    body = {"error": {"code": code, "message": str(error), "retryable": retryable}}
    return JSONResponse(body, status_code=STATUS.get(code, 500))


async def _invalid_request(request: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    said = "; ".join(f"{'.'.join(str(part) for part in found['loc'][1:])}: {found['msg']}" for found in problems)
    body = {"error": {"code": "invalid", "message": f"the request is not valid: {said}", "retryable": False}}
    return JSONResponse(body, status_code=422)


async def _healthz() -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(request: Request) -> Response:
    await request.app.state.composed.check()
    return PlainTextResponse("ready\n")


async def _metrics() -> Response:
    return Response(telemetry.metrics_text(), media_type="text/plain; version=0.0.4")
