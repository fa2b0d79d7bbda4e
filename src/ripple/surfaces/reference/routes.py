"""The page of the HTTP API, from the OpenAPI document the server itself gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ripple.app import App
from ripple.stack.markdown import code, plain, table
from ripple.surfaces.http.server import create

INTRODUCTION = """# HTTP API

The API listens on one loopback port, `api.http` in `run/ports.json`. The console uses it, and so do the verbs of
the command line. A running instance serves the whole OpenAPI document at `/openapi.json`.

- A request is signed in by the console's session cookie, or by `Authorization: Bearer` with the token in
  `run/operator.token`. It has to name `127.0.0.1` or `localhost` as its host.
- With a cookie, a request that changes something has to come from the console's own page (`Origin`).
- A body is JSON, at most 1 MiB; an unknown key is refused.
- An error is `{"error": {"code", "message", "retryable"}}` with the status of [its code](errors.md).
- No sign-in is needed for `GET /healthz` (the process answers), `GET /readyz` (its database answers, too),
  `GET /metrics` (Prometheus text), the OpenAPI document and the console's files. `POST /api/sign-in` takes the
  token of a link instead.
"""


def page(root: Path) -> str:
    """Every route with its parameters and its body."""
    document = openapi()
    sections = [_section(document, method, path, route) for method, path, route in routes(document)]
    return "\n".join([INTRODUCTION, *sections])


def openapi() -> dict[str, Any]:
    """The OpenAPI document; nothing is opened for it."""

    async def never() -> App:
        raise NotImplementedError("the document is made without a running instance")

    return create(never, Path("no-console")).openapi()


def routes(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each route as (method, path, description of it)."""
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            yield method.upper(), path, route


def _section(document: Mapping[str, Any], method: str, path: str, route: Mapping[str, Any]) -> str:
    status = next(code for code in route["responses"] if code.startswith("2"))
    rows = [*_parameters(route), *_body(document, route)]
    told = f"{plain(route.get('description', ''))} Answers {status}.\n"
    return "\n".join([f"## `{method} {path}`\n", told, table(("field", "in", "what"), rows) if rows else ""])


def _parameters(route: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for one in route.get("parameters", ()):
        yield code(one["name"]), one["in"], _kind(one["schema"], needed=bool(one.get("required")))


def _body(document: Mapping[str, Any], route: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    content = route.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = _resolved(document, content["schema"])
    for name, inner in schema.get("properties", {}).items():
        needed = name in schema.get("required", ())
        yield code(name), "body", _kind(_resolved(document, inner), needed=needed)


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _kind(schema: Mapping[str, Any], *, needed: bool) -> str:
    kinds = [schema, *schema.get("anyOf", ())]
    names = [str(one.get("type", one.get("$ref", "").rpartition("/")[2])) for one in kinds]
    said = " or ".join(name for name in dict.fromkeys(names) if name and name != "null")
    limits = [f"{key} {code(one[key])}" for one in kinds for key in _LIMITS if key in one]
    default = schema.get("default")
    ends = [
        "needed" if needed else "optional",
        *limits,
        *([f"default {code(default)}"] if default is not None else []),
    ]
    return ", ".join([said or "any", *ends])


_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern", "enum")
