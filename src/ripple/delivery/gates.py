"""Gates 1-5 and the canary's, from what was seen to evidence; and what policy is asked before a promotion.

Pure. Rules:

- Evidence speaks of one release, by its digest. Evidence about another digest counts as none.
- A gate that saw nothing is inconclusive, and only ``pass`` lets a release through.
- Checks an application does not declare (integration tests, evals) pass with that as the stated reason: the
  manifest is the base commit's, so a change cannot drop them.
- Of several statements of one gate about one release the last one counts.
- A release says where it comes from: a change, with its models' consensus, or an adoption, where nobody voted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ripple.delivery.canary import Analysis
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.governance import Decision
from ripple.model.release import Release

TREE_GATES = (GateName.BUILD, GateName.INTEGRATION, GateName.SECURITY, GateName.POLICY, GateName.EVALS)
"""The gates that judge the tree itself; the canary judges what runs."""

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Situation:
    """What stands in a release's way beside its gates; ``held`` is why it is held, None when it is not."""

    held: str | None
    previous_environment_stable: bool
    approval: Mapping[str, Any]


def from_change(consensus: Mapping[str, Any] | None, policy: Mapping[str, Any] | None) -> dict[str, Any]:
    """A change's release: the stored consensus and the inference policy it is measured by, None when not there."""
    record = None
    if consensus is not None:
        tree = (consensus.get("details") or {}).get("tree")
        record = {"reached": consensus.get("reached"), "score": consensus.get("score"), "tree": tree}
    return {"origin": {"kind": "change"}, "consensus": record, "policy": policy}


def from_adoption(state: str) -> dict[str, Any]:
    """The first release of an application in ``state``; no model proposed it, so there is no consensus."""
    return {"origin": {"kind": "adoption", "state": state}}


def build_gate(release: Release, commands: Rows) -> Evidence:
    """Gate 1: build and unit tests. Each row has ``ok`` and, where it failed, ``reason`` or ``reasons``."""
    return _commands(GateName.BUILD, release, commands, "no build or unit test was run")


def integration_gate(release: Release, commands: Rows, *, declared: bool) -> Evidence:
    """Gate 2: integration tests, rows as in :func:`build_gate`."""
    if not declared:
        why = "the application declares no integration tests"
        return Evidence(GateName.INTEGRATION, release.digest, Verdict.PASS, (why,), {"commands": []})
    return _commands(GateName.INTEGRATION, release, commands, "no integration test was run")


def security_gate(release: Release, scans: Rows, decision: Decision) -> Evidence:
    """Gate 3: what the scanners found, judged by policy ``ripple/gates/security``."""
    data = {"scans": [dict(scan) for scan in scans], "decision": _decision(decision)}
    if not scans:
        why = "no scanner looked at the release"
        return Evidence(GateName.SECURITY, release.digest, Verdict.INCONCLUSIVE, (why,), data)
    said = ", ".join(f"{scan.get('scanner', '?')}: {scan.get('state', 'unknown')}" for scan in scans)
    return _decided(GateName.SECURITY, release, decision, said, data)


def policy_gate(release: Release, asked: Mapping[str, Any], decision: Decision) -> Evidence:
    """Gate 4: policy's word on what the change touches."""
    data = {"input": dict(asked), "decision": _decision(decision)}
    return _decided(GateName.POLICY, release, decision, f"policy {decision.path} allows it", data)


def evals_gate(release: Release, result: Mapping[str, Any]) -> Evidence:
    """Gate 5: evals. ``result`` has ``declared``, ``total``, ``failed``, ``reasons``; the rest is kept as data."""
    data = dict(result)
    if not result.get("declared"):
        why = "the application declares no evals"
        return Evidence(GateName.EVALS, release.digest, Verdict.PASS, (why,), data)
    reasons = tuple(str(reason) for reason in result.get("reasons", ()))
    total, failed = int(result.get("total", 0)), int(result.get("failed", 0))
    if failed or reasons:
        reasons = reasons or (f"{failed} of {total} evals failed",)
        return Evidence(GateName.EVALS, release.digest, Verdict.FAIL, reasons, data)
    if not total:
        return Evidence(GateName.EVALS, release.digest, Verdict.INCONCLUSIVE, ("no eval was run",), data)
    return Evidence(GateName.EVALS, release.digest, Verdict.PASS, (f"{total} evals passed",), data)


def canary_gate(release: Release, environment: str, analysis: Analysis) -> Evidence:
    """Gate 6: the canary's analysis in one environment."""
    data = {
        "canary": asdict(analysis.canary),
        "baseline": asdict(analysis.baseline) if analysis.baseline else None,
        "elapsed_seconds": analysis.elapsed_seconds,
    }
    return Evidence(
        GateName.CANARY,
        release.digest,
        analysis.verdict,
        analysis.reasons,
        data,
        environment=environment,
        duration_seconds=analysis.elapsed_seconds,
    )


def promotion_input(
    release: Release,
    environment: str,
    evidence: Sequence[Evidence | Mapping[str, Any]],
    situation: Situation,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """What policy ``ripple/promotion`` is asked. A gate without evidence about this very release is left out.

    ``origin`` is what :func:`from_change` or :func:`from_adoption` says.
    """
    return {
        "environment": environment,
        "release": str(release.digest),
        "gates": current_gates(release, evidence),
        "held": situation.held is not None,
        "held_reason": situation.held or "",
        "previous_environment_stable": situation.previous_environment_stable,
        "approval": dict(situation.approval),
        "tree": release.tree,
        **origin,
    }


def current_gates(release: Release, evidence: Sequence[Evidence | Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Gates 1-5 → verdict and subject, from the last statement of each about this release."""
    gates = {}
    for one in evidence:
        row = asdict(one) if isinstance(one, Evidence) else one
        if row["gate"] in TREE_GATES and row["subject"] == release.digest:
            gates[str(row["gate"])] = {"verdict": str(row["verdict"]), "subject": str(row["subject"])}
    return gates


def _commands(gate: GateName, release: Release, commands: Rows, nothing: str) -> Evidence:
    data = {"commands": [dict(row) for row in commands]}
    seconds = sum(float(row.get("duration_seconds") or 0) for row in commands)
    if not commands:
        return Evidence(gate, release.digest, Verdict.INCONCLUSIVE, (nothing,), data)
    failed = [_why(row) for row in commands if row.get("ok") is not True]
    verdict = Verdict.FAIL if failed else Verdict.PASS
    reasons = tuple(failed) or (f"{len(commands)} commands passed",)
    return Evidence(gate, release.digest, verdict, reasons, data, duration_seconds=seconds)


def _why(row: Mapping[str, Any]) -> str:
    name = row.get("name") or row.get("command") or "a command"
    shown = name if isinstance(name, str) else " ".join(str(part) for part in name)
    given = row.get("reasons") or row.get("reason") or "it failed"
    return f"{shown}: {given if isinstance(given, str) else '; '.join(str(one) for one in given)}"


def _decided(gate: GateName, release: Release, decision: Decision, said: str, data: Mapping[str, Any]) -> Evidence:
    if decision.allowed:
        return Evidence(gate, release.digest, Verdict.PASS, (said,), data)
    reasons = decision.reasons or ("policy said no without a reason",)
    return Evidence(gate, release.digest, Verdict.FAIL, tuple(reasons), data)


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": decision.id,
        "path": decision.path,
        "allowed": decision.allowed,
        "reasons": list(decision.reasons),
        "revision": decision.revision,
    }
