"""The supervisor's control socket: one JSON line asks, one JSON line answers, then it is closed.

A request is ``{"do": NAME, ...}``; the answer is ``{"ok": VALUE}`` or ``{"error": {"code", "message"}}``. Only the
user who started the supervisor (and root) is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from ripple.model.component import Component, ComponentState
from ripple.model.errors import Invalid, RippleError
from ripple.stack.load import parse
from ripple.supervisor.daemon import Supervisor

log = structlog.get_logger(__name__)
MAX_REQUEST_BYTES = 4 << 20
REQUEST_SECONDS = 10.0


class Request(BaseModel):
    """One request. ``identity`` says who runs here, ``hand_over`` ends the supervisor but nothing it started."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    do: Literal[
        "identity",
        "status",
        "logs",
        "restart",
        "start",
        "stop",
        "deep",
        "apply",
        "remove",
        "wait",
        "down",
        "hand_over",
    ]
    id: str = ""
    group: str = ""
    ids: tuple[str, ...] = ()
    lines: int = Field(default=100, ge=1, le=10_000)
    component: Component | None = None
    state: ComponentState = ComponentState.READY
    timeout_seconds: float = Field(default=60.0, ge=0, le=3600)


@asynccontextmanager
async def serving(path: Path, supervisor: Supervisor, end: asyncio.Event) -> AsyncIterator[None]:
    """Answer on ``path`` while the block runs; ``end`` is set when a request ended the supervisor."""

    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # Whoever asked may be gone by now, and nothing that is wrong with a request may end the supervisor.
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError
            ):
                _check_peer(writer.get_extra_info("socket"))
                async with asyncio.timeout(REQUEST_SECONDS):
                    line = await reader.readuntil(b"\n")
                answer = await _answered(line, supervisor, end)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_unix_server(accept, sock=_listener(path), limit=MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        _unlink(path)


def _listener(path: Path) -> socket.socket:
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answered(line: bytes, supervisor: Supervisor, end: asyncio.Event) -> dict[str, Any]:
    try:
        try:
            data = json.loads(line)
        except ValueError as error:
            raise Invalid(f"the request is not JSON: {error}") from error
        request = parse(Request, data, "the request")
        return {"ok": await _HANDLERS[request.do](supervisor, request, end)}
    except RippleError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    except Exception as error:
        log.exception("request_failed")
        return {"error": {"code": "ripple", "message": f"the supervisor failed: {type(error).__name__}: {error}"}}


def _check_peer(peer: socket.socket) -> None:
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", found)
    if user not in (0, os.getuid()):
        raise PermissionError(f"user {user} may not control this supervisor")


async def _identity(supervisor: Supervisor, request: Request, end: asyncio.Event) -> dict[str, Any]:
    return {"pid": os.getpid(), "profile": supervisor.profile.name, "build": supervisor.build}


async def _status(supervisor: Supervisor, request: Request, end: asyncio.Event) -> Any:
    return supervisor.status().model_dump(mode="json")


async def _logs(supervisor: Supervisor, request: Request, end: asyncio.Event) -> str:
    return supervisor.logs(request.id, request.lines)


async def _restart(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    if request.group:
        supervisor.restart_group(request.group)
    else:
        supervisor.restart(request.id)


async def _start(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    supervisor.start(request.group)


async def _stop(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    await supervisor.stop(request.group)


async def _deep(supervisor: Supervisor, request: Request, end: asyncio.Event) -> dict[str, str]:
    return await supervisor.deep(request.ids)


async def _apply(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    if request.component is None:
        raise Invalid("the request has no component")
    supervisor.apply(request.component)


async def _remove(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    await supervisor.remove(request.id)


async def _wait(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    await supervisor.wait(request.ids, request.state, request.timeout_seconds)


async def _down(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    await supervisor.down()
    end.set()


async def _hand_over(supervisor: Supervisor, request: Request, end: asyncio.Event) -> None:
    supervisor.hand_over()
    end.set()


_HANDLERS: dict[str, Callable[[Supervisor, Request, asyncio.Event], Awaitable[Any]]] = {
    "identity": _identity,
    "status": _status,
    "logs": _logs,
    "restart": _restart,
    "start": _start,
    "stop": _stop,
    "deep": _deep,
    "apply": _apply,
    "remove": _remove,
    "wait": _wait,
    "down": _down,
    "hand_over": _hand_over,
}
