"""The FastAPI application: routes, error shape, security headers, the console's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from ripple import __version__
from ripple.app import App
from ripple.model.errors import Invalid, RippleError
from ripple.planes import telemetry
from ripple.surfaces.http import changes, identity, stack, system, voters
from ripple.surfaces.http.guard import HEADERS, Guard, error_response

NAMES = {400: "invalid", 404: "not_found", 405: "invalid"}
"""What the framework's own refusals are called."""


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
    server.add_middleware(Guard)
    server.add_exception_handler(RippleError, _ripple_error)
    server.add_exception_handler(HTTPException, _http_error)
    server.add_exception_handler(UnicodeEncodeError, _half_a_character)
    server.add_exception_handler(Exception, _unexpected)
    server.add_exception_handler(RequestValidationError, _invalid_request)
    for router in (identity.router, changes.router, system.router, voters.router, stack.router):
        server.include_router(router, prefix="/api")
    server.add_api_route("/healthz", _healthz, include_in_schema=False)
    server.add_api_route("/readyz", _readyz, include_in_schema=False)
    server.add_api_route("/metrics", _metrics, include_in_schema=False)
    if console.is_dir():
        server.mount("/", StaticFiles(directory=console, html=True), name="console")
    return server


async def _ripple_error(request: Request, error: Exception) -> Response:
    return error_response(error if isinstance(error, RippleError) else RippleError(str(error)))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path[:200]}: {error.detail}"
    body = {"error": {"code": NAMES.get(error.status_code, "ripple"), "message": said, "retryable": False}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _half_a_character(request: Request, error: Exception) -> Response:
    # JSON can spell half of a surrogate pair; no database, file or signature can hold it.
    return error_response(Invalid("the request holds half of a character (a lone surrogate); send it as UTF-8"))


async def _unexpected(request: Request, error: Exception) -> Response:
    said = f"the API failed with {type(error).__name__}; see ./ripple logs api"
    body = {"error": {"code": "ripple", "message": said, "retryable": False}}
    return JSONResponse(body, status_code=500, headers=HEADERS)


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
