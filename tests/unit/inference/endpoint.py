"""A real server that speaks OpenAI's chat completions, and misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Answer = Callable[[dict[str, Any]], Awaitable[Response]]
EDIT = {"summary": "one line", "edits": [{"path": "a.py", "content": "x = 1\n"}], "config": []}


def said(content: Any, **choice: Any) -> Answer:
    """An ordinary completion that says ``content``."""

    async def answer(payload: dict[str, Any]) -> Response:
        text = content if isinstance(content, str) else json.dumps(content)
        message = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            **choice,
        }
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        return JSONResponse({"id": "c", "object": "chat.completion", "choices": [message], "usage": usage})

    return answer


def raw(body: bytes, status: int = 200) -> Answer:
    """Exactly these bytes."""

    async def answer(payload: dict[str, Any]) -> Response:
        return Response(body, status, media_type="application/json")

    return answer


def after(seconds: float, then: Answer) -> Answer:
    """``then``, later."""

    async def answer(payload: dict[str, Any]) -> Response:
        await asyncio.sleep(seconds)
        return await then(payload)

    return answer


class Flood:
    """An answer that goes on and on; ``sent`` is how much of it was taken before the reader had enough."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.sent = 0

    async def __call__(self, payload: dict[str, Any]) -> Response:
        return StreamingResponse(self._chunks(), media_type="application/json")

    async def _chunks(self) -> AsyncIterator[bytes]:
        chunk = b"x" * (64 << 10)
        while self.sent < self.total_bytes:
            yield chunk
            self.sent += len(chunk)
            await asyncio.sleep(0)


class Endpoint:
    """Answers per model name; ``asked`` holds the headers and the payload of every request, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        app = Starlette(routes=[Route("/v1/chat/completions", self._completions, methods=["POST"])])
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True, name="endpoint"
        )
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def payloads(self, model: str) -> list[dict[str, Any]]:
        return [payload for _, payload in self.asked if payload["model"] == model]

    def reset(self) -> None:
        self._drain()
        self.answers, self.asked, self.most_at_once = {}, [], 0

    def stop(self) -> None:
        self._drain()
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)
        self._socket.close()

    def _drain(self) -> None:
        """Wait for what an earlier test gave up on: it would count as a request of the next one."""
        give_up = time.monotonic() + 5
        while self.at_once and time.monotonic() < give_up:
            time.sleep(0.01)

    async def _completions(self, request: Request) -> Response:
        payload = await request.json()
        self.asked.append((dict(request.headers), payload))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.answers.get(payload["model"], said(EDIT))(payload)
        finally:
            self.at_once -= 1


def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
