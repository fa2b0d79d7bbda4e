"""Caddy as the edge: one loopback listener per environment, weighted over the sockets of its instances.

- The whole configuration is rendered from the routes and loaded at once; loading the same one again does nothing.
- A request in flight keeps the instance it was given to: Caddy drains it under the old configuration.
  A connection that arrives in the very moment of a switch may be closed unanswered: each configuration has a
  listener of its own, and what waits in the queue of the old one ends with it.
- Caddy saves what it was given and, started with ``--resume``, serves it again after a crash; but a listener whose
  port somebody else took is left out (:mod:`ripple.delivery.edge_start`).
- Each environment has an access log of its own, one JSON object a line, with the instance that answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx

from ripple.delivery.edge_start import ports_of
from ripple.model.errors import DeadlineExceeded, Invalid, Unavailable

DEADLINE_SECONDS = 5.0
DRAIN_POLL_SECONDS = 0.05
LOG_ROLL_MIB = 32
SYNTHETIC_HEADER = "x-ripple-load"
"""Requests of Ripple's own load generator carry it, so that real traffic can be told apart in the log."""


@dataclass(frozen=True)
class Upstream:
    """One instance: its unix socket and its share of the traffic in percent."""

    socket: Path
    weight: int


@dataclass(frozen=True)
class Route:
    """One environment of one application at the edge. Without upstreams it answers 503."""

    application: str
    environment: str
    port: int
    upstreams: tuple[Upstream, ...] = ()

    @property
    def name(self) -> str:
        """Names the listener and its access log."""
        return f"{self.application}.{self.environment}"


class Edge:
    """A running Caddy, spoken to over its admin socket."""

    def __init__(self, admin_socket: Path, log_dir: Path) -> None:
        self._admin = admin_socket
        self._logs = log_dir

    def log_path(self, application: str, environment: str) -> Path:
        """The access log of one environment."""
        return log_path(self._logs, f"{application}.{environment}")

    async def push(self, routes: Sequence[Route]) -> None:
        """Make the edge serve exactly these routes.

        Raises:
            Unavailable: Caddy does not answer on its admin socket.
            Invalid: Caddy refuses the configuration; it goes on serving the one before.
        """
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        answer = await self._ask("POST", "/load", json=render(routes, self._admin, self._logs))
        if answer.status_code != 200:
            raise Invalid(f"the edge refused its configuration: {answer.text[:500]}; it serves the one before")

    async def ports(self) -> set[int]:
        """The ports the edge listens on now for environments."""
        answer = await self._ask("GET", "/config/apps/http/servers")
        servers = (answer.json() if answer.status_code == 200 else None) or {}
        return {port for server in servers.values() for port in ports_of(server)}

    async def requests_in_flight(self, socket: Path) -> int:
        """Requests the instance behind ``socket`` is answering now; 0 when the edge does not know it."""
        answer = await self._ask("GET", "/reverse_proxy/upstreams")
        rows = answer.json() if answer.status_code == 200 else []
        return sum(row["num_requests"] for row in rows or [] if row["address"] == str(socket))

    async def drain(self, socket: Path, deadline_seconds: float) -> bool:
        """Wait until nothing is in flight to ``socket``; False when that took longer than the deadline."""
        with anyio.move_on_after(deadline_seconds):
            while True:
                if not await self.requests_in_flight(socket):
                    return True
                await anyio.sleep(DRAIN_POLL_SECONDS)
        return False

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self._admin))
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                async with httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS) as client:
                    return await client.request(method, f"http://edge{path}", **content)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeadlineExceeded(f"the edge did not answer {path} within {DEADLINE_SECONDS:.0f} s") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"cannot reach the edge at {self._admin}: {error}; is caddy running? see ./ripple status"
            ) from error


def render(routes: Sequence[Route], admin_socket: Path, log_dir: Path) -> dict[str, Any]:
    """Caddy's whole configuration. Pure; the same routes in any order give the same bytes."""
    ordered = sorted(routes, key=lambda route: route.name)
    return {
        "admin": {"listen": f"unix/{admin_socket}", "config": {"persist": True}},
        "logging": {"logs": _logs(ordered, log_dir)},
        "apps": {
            "http": {"grace_period": "10s", "servers": {route.name: _server(route) for route in ordered}},
        },
    }


def log_path(log_dir: Path, name: str) -> Path:
    """Where a route's access log lies."""
    return log_dir / f"{name}.access.log"


def _logs(routes: Sequence[Route], log_dir: Path) -> dict[str, Any]:
    return {
        "default": {"level": "WARN", "exclude": ["http.log.access"]},
        **{_logger(route): _access_log(route, log_dir) for route in routes},
    }


def _logger(route: Route) -> str:
    # a dot in a logger's name is a level of its hierarchy, and names have none but the one between their parts
    return route.name.replace(".", "-")


def _access_log(route: Route, log_dir: Path) -> dict[str, Any]:
    dropped = (
        "request>headers",
        "request>tls",
        "request>remote_port",
        "request>client_ip",
        "resp_headers",
        "user_id",
    )
    return {
        "include": [f"http.log.access.{_logger(route)}"],
        "writer": {
            "output": "file",
            "filename": str(log_path(log_dir, route.name)),
            "roll_size_mb": LOG_ROLL_MIB,
            "roll_keep": 2,
            "roll_gzip": False,
        },
        "encoder": {
            "format": "filter",
            "wrap": {"format": "json"},
            "fields": {name: {"filter": "delete"} for name in dropped},
        },
    }


def _server(route: Route) -> dict[str, Any]:
    failure = {"error": {"code": "unavailable", "message": f"{route.name} failed to answer", "retryable": True}}
    return {
        "listen": [f"127.0.0.1:{route.port}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "logs": {"default_logger_name": _logger(route)},
        "routes": [{"handle": [*_appended(), _handler(route)]}],
        "errors": {"routes": [{"handle": [_json_answer(failure, "{http.error.status_code}")]}]},
    }


def _appended() -> list[Mapping[str, Any]]:
    """Fields of a log line that are only known once the instance has answered."""
    fields = {
        "upstream": "{http.reverse_proxy.upstream.hostport}",
        "upstream_ms": "{http.reverse_proxy.upstream.latency_ms}",
        "synthetic": f"{{http.request.header.{SYNTHETIC_HEADER}}}",
    }
    return [{"handler": "log_append", "key": key, "value": value} for key, value in fields.items()]


def _handler(route: Route) -> dict[str, Any]:
    used = sorted((one for one in route.upstreams if one.weight > 0), key=lambda one: str(one.socket))
    if not used:
        message = f"nothing is deployed in {route.environment} of {route.application}"
        return _json_answer({"error": {"code": "unavailable", "message": message, "retryable": True}}, "503")
    # the policy hands out runs of `weight` requests: the smallest equal ratio keeps the runs short
    divisor = math.gcd(*(one.weight for one in used))
    policy = {"policy": "weighted_round_robin", "weights": [one.weight // divisor for one in used]}
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"unix/{one.socket}"} for one in used],
        "load_balancing": {"selection_policy": policy if len(used) > 1 else {"policy": "first"}},
        "transport": {"protocol": "http", "dial_timeout": "2s", "response_header_timeout": "60s"},
    }


def _json_answer(body: Mapping[str, Any], status: str) -> dict[str, Any]:
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": {"content-type": ["application/json"]},
        "body": json.dumps(body),
    }
