"""What the service tells Prometheus: requests by route and status, and how long they took."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Middleware that counts and times every request."""

    def __init__(self, app: ASGIApp, known_paths: frozenset[str]) -> None:
        self._app = app
        self._known = known_paths
        self._registry = CollectorRegistry()
        self._requests = Counter("checkout_requests", "Requests.", ("path", "status"), registry=self._registry)
        self._seconds = Histogram(
            "checkout_request_seconds", "Time to answer.", ("path",), buckets=BUCKETS, registry=self._registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer ``/metrics``; count and time everything else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == "/metrics":
            await _plain(send, generate_latest(self._registry))
            return
        path = scope["path"] if scope["path"] in self._known else "other"
        status, started = "500", time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._requests.labels(path, status).inc()
            self._seconds.labels(path).observe(time.perf_counter() - started)


async def _plain(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
