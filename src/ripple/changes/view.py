"""What the surfaces show of a change: one function per shape of the HTTP contract."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ripple.model.release import ENVIRONMENTS

if TYPE_CHECKING:
    from ripple.changes.applications import Applications
    from ripple.changes.journal import Journal

_SUMMARY = (
    "id",
    "application",
    "kind",
    "intent",
    "policy",
    "principal",
    "state",
    "trace_id",
    "created_at",
    "ended_at",
)


def summary(row: Mapping[str, Any], step: str | None) -> dict[str, Any]:
    """The short form of a change; ``step`` is the step it is in now, None when it is in none."""
    return {**{key: row.get(key) for key in _SUMMARY}, "reasons": list(row.get("reasons") or []), "step": step}


async def change_view(journal: Journal, applications: Applications, change_id: str) -> dict[str, Any]:
    """Everything kept of one change, as ``GET /api/changes/{id}`` answers."""
    row = await journal.change(change_id)
    steps = await journal.steps(change_id)
    gates = [gate_view(evidence) for evidence in await journal.evidence(change_id)]
    samples = await journal.samples(change_id)
    urls = await applications.urls(row["application"])
    running = next((step["step"] for step in steps if step["state"] == "running"), None)
    return {
        **summary(row, running),
        **{key: row[key] for key in ("base_commit", "commit", "release", "consensus")},
        "steps": steps,
        "candidates": await journal.candidates(change_id),
        "gates": gates,
        "environments": [_environment(name, steps, samples, urls) for name in ENVIRONMENTS],
        "ours_seconds": ours_seconds(steps),
        "held": await journal.held(row["release"]),
    }


def gate_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A gate's verdict with the data its signed statement carries."""
    statement = statement_of(row)
    return {
        "gate": row["gate"],
        "environment": row["environment"],
        "verdict": row["verdict"],
        "reasons": statement["reasons"],
        "data": statement["data"],
        "subject": row["subject"],
        "at": row["at"],
        "duration_seconds": statement["duration_seconds"],
        "envelope_id": row["id"],
    }


def statement_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the signed statement of an evidence row says; whether its signature holds is asked elsewhere."""
    predicate: dict[str, Any] = json.loads(base64.b64decode(row["envelope"]["payload"]))["predicate"]
    return predicate


def ours_seconds(steps: Sequence[Mapping[str, Any]]) -> float:
    """Seconds spent in Ripple itself: steps minus models, sandboxed commands, deployments and soak."""
    return round(sum(float((step["duration_seconds"] or 0.0) - step["outside_seconds"]) for step in steps), 6)


def _environment(
    name: str, steps: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]], urls: Mapping[str, str]
) -> dict[str, Any]:
    step = next((step for step in steps if step["step"] == f"promote/{name}"), None)
    last = next((sample for sample in reversed(samples) if sample["environment"] == name), None)
    outputs: Mapping[str, Any] = step["outputs"] if step else {}
    analysis = {"canary": last["canary"], "baseline": last["baseline"]} if last else None
    return {
        "environment": name,
        "state": _environment_state(step, last is not None),
        "release": outputs.get("release"),
        "url": urls.get(name, ""),
        "reasons": list(step["reasons"]) if step else [],
        "analysis": analysis,
        "slo": last["slo"] if last else None,
    }


def _environment_state(step: Mapping[str, Any] | None, sampled: bool) -> str:
    if step is None:
        return "waiting"
    if step["state"] == "running":
        waiting = bool(step["outputs"].get("awaiting_approval"))
        return "awaiting_approval" if waiting else "canary" if sampled else "deploying"
    if step["outputs"].get("undone"):
        return "rolled_back"
    return "passed" if step["state"] == "passed" else "failed"
