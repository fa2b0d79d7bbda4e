"""The stack as the console shows it: a card per system, and everything about one. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ripple.model.component import ComponentStatus
from ripple.model.system import Outcome, System, SystemStatus, VendorLock, this_platform
from ripple.stack.components import Profile
from ripple.stack.drift import Comparison, Drift, Installed
from ripple.stack.proven import Proven
from ripple.stack.systems import Placed, StackMap
from ripple.stack.vendorlock import pairs

VERBS = ("install", "fix", "remove", "verify", "restart")
_LABELS = {
    "install": "Install",
    "fix": "Install again",
    "remove": "Remove",
    "verify": "Prove by use",
    "restart": "Restart",
}


@dataclass(frozen=True)
class StackSeen:
    """What was seen of the whole stack at one moment."""

    map: StackMap
    roles: Mapping[str, str]
    profile: Profile
    lock: VendorLock
    proven: Mapping[str, Proven]
    installed: Mapping[str, Installed]
    own: Mapping[str, Installed]
    drift: Comparison
    running: Mapping[str, ComponentStatus] = field(default_factory=dict)


def whole(seen: StackSeen) -> dict[str, Any]:
    """``GET /api/stack``: layers with their cards, roles with their owners, counts of outcomes."""
    layers: dict[str, dict[str, Any]] = {}
    by_role: dict[str, list[System]] = defaultdict(list)
    for row in seen.map.rows:
        layer = layers.setdefault(row.layer.id, {**row.layer.model_dump(), "systems": []})
        layer["systems"].append(card(seen, row))
        by_role[row.system.role].append(row.system)
    profile = seen.profile
    return {
        "layers": list(layers.values()),
        "roles": [_role(name, meaning, by_role[name]) for name, meaning in seen.roles.items()],
        "counts": Counter(str(one.verdict.outcome) for one in seen.proven.values()),
        "drift": [asdict(one) for one in seen.drift.findings],
        "not_compared": list(seen.drift.not_compared),
        "profile": {"name": profile.name, "title": profile.title, "components": list(profile.components)},
    }


def card(seen: StackSeen, row: Placed) -> dict[str, Any]:
    """One system in short."""
    system, proven = row.system, seen.proven[row.system.id]
    component = system.run.id if system.run else None
    running = seen.running.get(component or "")
    installed = seen.installed.get(system.id) or seen.own.get(system.id)
    return {
        "id": system.id,
        "name": system.name,
        "role": system.role,
        "status": str(system.status),
        "kind": str(system.kind),
        "summary": system.summary,
        "origin": system.origin,
        "outcome": str(proven.verdict.outcome),
        "version": proven.verdict.version,
        "proven_at": proven.proof.date if proven.proof else None,
        "locked": system.id in seen.lock.systems,
        "lockable": bool(system.routes),
        "unproven": _unproven(system, proven),
        "installed": installed.version if installed else None,
        "component": component,
        "state": str(running.state) if running else None,
        "drift": [asdict(one) for one in _of(system, seen.drift.findings)],
    }


def one(seen: StackSeen, row: Placed, repairing: Mapping[str, Any] | None, signer: str) -> dict[str, Any]:
    """``GET /api/stack/{id}``: everything about one system. ``signer`` signed its evidence."""
    system = row.system
    running = seen.running.get(system.run.id if system.run else "")
    stated = system.model_dump(
        mode="json", include={"upstream", "licence", "docs", "spec", "reason", "provides", "consumes"}
    )
    smoke, external = system.smoke, system.external
    return {
        **card(seen, row),
        **stated,
        "layer": {"id": row.layer.id, "name": row.layer.name},
        "answers": system.answers.model_dump(),
        "routes": _routes(system, seen.lock),
        "smoke": {"purpose": smoke.purpose, "steps": len(smoke.steps)} if smoke else None,
        "external": external.model_dump() if external else None,
        "evidence": _evidence(seen.proven[system.id], signer),
        "running": running.model_dump(mode="json") if running else None,
        "repairs": _repairs(system, system.id in seen.installed, system.id in seen.own, running is not None),
        "repairing": dict(repairing) if repairing else None,
    }


def _unproven(system: System, proven: Proven) -> dict[str, Any] | None:
    """Why a system counts as unproven, and the verb that may change it; None when there is a proof."""
    if proven.verdict.outcome is not Outcome.UNPROVEN:
        return None
    return {"reason": proven.verdict.reason, "verb": "verify" if _provable(system) else None}


def _provable(system: System) -> bool:
    return system.smoke is not None or system.external is not None


def _role(name: str, meaning: str, systems: Iterable[System]) -> dict[str, Any]:
    known = list(systems)
    default = next((system.id for system in known if system.status is SystemStatus.DEFAULT), None)
    others = [system.id for system in known if system.id != default]
    return {"id": name, "meaning": meaning, "default": default, "others": others}


def _of(system: System, findings: Iterable[Drift]) -> list[Drift]:
    names = {system.id} | ({system.run.id} if system.run else set())
    return [one for one in findings if one.subject in names or one.message.split(": ")[1:2] == [system.id]]


def _routes(system: System, lock: VendorLock) -> list[dict[str, Any]]:
    rows = []
    for pair in pairs(system, lock, this_platform()):
        files = pair.locked.files if pair.locked else ()
        rows.append(
            {
                **pair.route.model_dump(mode="json", include={"kind", "package", "version", "origin"}),
                "locked": pair.locked is not None,
                "why": pair.why,
                "files": len(files),
                "size_bytes": sum(file.size for file in files),
                "signer": pair.locked.signer if pair.locked else "",
            }
        )
    return rows


def _evidence(proven: Proven, signer: str) -> dict[str, Any] | None:
    if not proven.verdict.evidence and proven.proof is None:
        return {"holds": False, "reason": proven.verdict.reason, "path": "", "at": None, "signed_by": ""}
    proof = proven.proof
    return {
        **proven.verdict.model_dump(mode="json"),
        "holds": proof is not None,
        "path": proven.verdict.evidence,
        "at": proof.date if proof else None,
        "purpose": proof.purpose if proof else "",
        "route": proof.route if proof else "",
        "signed_by": signer,
    }


def _repairs(system: System, installed: bool, own: bool, running: bool) -> list[dict[str, Any]]:
    why = {
        "install": ""
        if system.routes and not installed
        else "it is installed"
        if installed
        else "no route leads to it",
        "fix": "" if installed or own else "it is not installed",
        "remove": "" if installed else "it comes with Ripple" if own else "it is not installed",
        "verify": "" if _provable(system) else "it has no smoke test",
        "restart": "" if running else "it does not run in this instance",
    }
    return [{"verb": verb, "label": _LABELS[verb], "enabled": not why[verb], "why": why[verb]} for verb in VERBS]


__all__ = ["VERBS", "Outcome", "StackSeen", "card", "one", "whole"]
