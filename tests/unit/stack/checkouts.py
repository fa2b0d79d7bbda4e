"""Small checkouts with a whole map in them, for tests that break one thing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml12

from ripple.stack.documents import documents
from ripple.stack.files import write_whole
from ripple.stack.oci import base_rows
from ripple.stack.systems import load_map

ROLES = dict.fromkeys(
    (
        "ui.primary", "events", "cache.server", "edge", "agent.gateway", "isolation.process",
        "isolation.container",
        "isolation.microvm", "coordination.dht", "tools.solver",
    ),
    "what it is",
)  # fmt: skip


def row(name: str, role: str, **given: Any) -> dict[str, Any]:
    """A row that breaks no rule, with ``given`` on top."""
    answers = {"owner": "nobody", "adoption": "first", "failure_modes": ["it stops"], "rollback": "take it out"}
    smoke = {"purpose": "says a word", "steps": [{"run": ["echo", "word"], "expect": "word"}]}
    routes = [{"kind": "pypi", "package": f"{name}-bin", "version": "1.0"}]
    return {
        "id": name, "name": name.title(), "kind": "server", "role": role, "status": "default",
        "summary": "a row of a test", "answers": answers, "routes": routes, "smoke": smoke, **given,
    }  # fmt: skip


def whole() -> list[dict[str, Any]]:
    """Rows that together break no rule."""
    run = {"id": "bus", "command": ["{bin}/bus", "{ports.client}"], "ports": ["client"]}
    return [
        row("page", "ui.primary", consumes=["bus"]),
        row("bus", "events", provides=["bus"], run=run),
        row("rung-1", "isolation.process"),
        row("rung-2", "isolation.container"),
        row("rung-3", "isolation.microvm"),
    ]


def make(root: Path, rows: list[dict[str, Any]]) -> Path:
    """A checkout of ``rows``, with what is generated of it."""
    layer = {"id": "1.9", "name": "A layer", "purpose": "to be broken"}
    write_whole(root / "manifests/components/09-layer.yaml", yaml12.format_yaml({"layer": layer, "systems": rows}))
    write_whole(root / "manifests/stack.yaml", yaml12.format_yaml({"roles": ROLES}))
    generate(root)
    return root


def generate(root: Path) -> None:
    """Write the generated files; nothing while the rows do not load."""
    from ripple.model.errors import Invalid
    from ripple.stack.vendorlock import load_lock

    try:
        found = load_map(root / "manifests")
    except Invalid:
        return
    for name, text in documents(found, ROLES, load_lock(root / "manifests"), base_rows(root / "tables")).items():
        write_whole(root / name, text)


def broken(number: int, **given: Any) -> list[dict[str, Any]]:
    """The whole rows, with ``given`` in one of them; a value of None takes the key away."""
    rows = copy.deepcopy(whole())
    rows[number] = {key: value for key, value in (rows[number] | given).items() if value is not None}
    return rows
