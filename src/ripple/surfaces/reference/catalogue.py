"""The pages of what comes with Ripple: policies, components, models and adapters, error codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ripple.model.errors import RippleError
from ripple.planes.policy import read_bundle
from ripple.stack.load import load_manifest
from ripple.stack.markdown import block, code, plain, table
from ripple.stack.systems import as_component, load_map
from ripple.surfaces.http.guard import STATUS

POLICIES = """# Policies

Each package has one rule, `decision`, which is `{"allow": bool, "reasons": [string]}`. Anything but a clear yes
is a no: an undefined answer, an error, a missing field, an answer after two seconds.
"""
DATA = """## `policies/data.json`

Roles, and the lists in which the packages look things up. It is a part of the policy revision that stands in
every audit entry of a decision.
"""
COMPONENTS = """# Profiles and components

A profile names the components an instance is made of. Ports are allocated when a component is first seen, and
remembered in `run/ports.json`. A version in braces is that of the installed package.

Model servers and instances of applications (`app.APPLICATION.ENVIRONMENT.RELEASE`) are added and removed while
Ripple runs; they are not in this list.
"""
MODELS = """# Models and adapters

## Local models

Rows of `manifests/models.yaml`. Models of one lineage share one weight in a vote. A size that is not known here
is learned, with the file's hash, at the first download.
"""
ADAPTERS = """## Adapters

How a provider is asked. `http` speaks OpenAI's API to the provider's base URL. `command` runs a program of this
machine, which you install and sign in yourself.
"""
ERRORS = """# Error codes

An error is `{"error": {"code", "message", "retryable"}}`, from the API and from every command with `--json`. The
message says what failed on what, why, and what to do. *Retryable* means that the same call may succeed later.
"""
_ALSO = {"unknown_key": "A key that nobody knows; the message names the nearest known one."}
_COMMENTS = re.compile(r"\A((?:#.*\n)+)")
_NEEDS = re.compile(r"the request is incomplete: it needs (?P<what>[^\"]+)")
_PACKAGE = re.compile(r"^package (?P<name>\S+)", re.MULTILINE)


def policies_page(root: Path) -> str:
    """Every Rego package that decides, and the data they decide by."""
    modules, _ = read_bundle(root / "policies")
    rows = [
        (code(_found(_PACKAGE, text)), code(f"policies/{name}"), _comment(text), _found(_NEEDS, text))
        for name, text in modules.items()
        if not name.endswith("_test.rego")
    ]
    data = (root / "policies" / "data.json").read_text(encoding="utf-8")
    listed = table(("package", "file", "what it decides", "input it needs"), rows)
    return "\n".join([POLICIES, listed, DATA, block("json", data)])


def components_page(root: Path) -> str:
    """Every profile and every component row."""
    profiles = [
        (code(one["name"]), one.get("title", ""), ", ".join(one["components"])) for one in _rows(root, "profiles")
    ]
    components = [
        (
            code(one.id),
            one.name,
            one.role,
            one.licence,
            code(one.version),
            ", ".join(one.ports),
            ", ".join(one.requires),
        )
        for one in (
            as_component(row.system) for row in load_map(root / "manifests").rows if row.system.run is not None
        )
    ]
    headings = ("component", "name", "role", "licence", "version", "ports", "requires")
    return "\n".join(
        [COMPONENTS, table(("profile", "title", "components"), profiles), table(headings, components)]
    )


def models_page(root: Path) -> str:
    """Every local model, and every way a provider is asked."""
    found = load_manifest(root / "manifests" / "models.yaml")
    models = [
        (code(one["name"]), one["set"], one["lineage"], one["licence"], _size(one), one.get("note", ""))
        for one in found["models"]
    ]
    adapters = [
        (
            code(one["name"]),
            one["kind"],
            code(one["command"][0]) if one.get("command") else "",
            code(one.get("install")),
            code(one.get("key_env")),
        )
        for one in found["adapters"]
    ]
    listed = table(("model", "set", "lineage", "licence", "bytes", "note"), models)
    asked = table(("adapter", "kind", "program", "install it with", "variable it gets the key in"), adapters)
    return "\n".join([MODELS, listed, ADAPTERS, asked])


def errors_page(root: Path) -> str:
    """Every error code: its HTTP status, whether the same call may succeed later, what it means."""
    known: dict[str, type[RippleError]] = {}
    for kind in _kinds(RippleError):
        known.setdefault(kind.code, kind)
    rows = []
    for name in sorted({*known, *STATUS}):
        found = known.get(name)
        meaning = plain(found.__doc__ or "") if found else _ALSO[name]
        retryable = "yes" if found is not None and found.retryable else "no"
        rows.append((code(name), str(STATUS.get(name, 500)), retryable, meaning))
    return "\n".join([ERRORS, table(("code", "status", "retryable", "meaning"), rows)])


def _kinds(kind: type[RippleError]) -> Iterator[type[RippleError]]:
    """Ripple's own error classes, parents first: a test may have made others."""
    if kind.__module__.startswith("ripple."):
        yield kind
    for inner in kind.__subclasses__():
        yield from _kinds(inner)


def _rows(root: Path, kind: str) -> list[dict[str, Any]]:
    return [load_manifest(file) for file in sorted((root / "manifests" / kind).glob("*.yaml"))]


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _comment(text: str) -> str:
    return " ".join(line.lstrip("# ") for line in _found(_COMMENTS, text).splitlines())


def _size(model: dict[str, Any]) -> str:
    return f"{model['size_bytes']:,}" if "size_bytes" in model else "not known"
