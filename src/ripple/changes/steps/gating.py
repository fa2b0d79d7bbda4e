"""Step 6: gates 1-5 on the winner, each leaving a signed statement bound to the release it speaks of."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.calls import STOP
from ripple.changes.journal import now
from ripple.changes.steps.ground import Ground, ground_of, placed_tree, toolchain_for
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.changes.trial import run_integration, run_trial
from ripple.changes.view import statement_of
from ripple.delivery import gates
from ripple.delivery.evals import run_evals
from ripple.delivery.releases import make_release
from ripple.delivery.scanners import scan
from ripple.delivery.toolchain import Toolchain
from ripple.governance.evidence import GATE_PREDICATE, sign_statement
from ripple.model.application import ApplicationManifest
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.release import Release

SCAN_ENVIRONMENT = "prod"
"""Gate 3 judges for the strictest environment, so that nothing is deployed which could not reach it."""


@dataclass(frozen=True)
class _Bench:
    """The winner's tree, and what it is judged by."""

    tree: Path
    ground: Ground
    toolchain: Toolchain

    @property
    def arguments(self) -> tuple[Path, Path, ApplicationManifest, Toolchain]:
        """As a trial takes them."""
        return self.tree, self.ground.folder, self.ground.manifest, self.toolchain


async def run_gates(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Make the release, judge it, and stop at the first gate that does not say pass."""
    change = context.change
    ground = await ground_of(rooms, change)
    folder = await placed_tree(rooms, change, change["consensus"]["details"]["tree"])
    bench = _Bench(folder, ground, await toolchain_for(rooms, ground.folder, ground.manifest))
    release = await _release(rooms, change, bench)
    shown = []
    for name, gate in _GATES.items():
        said = await _said_before(rooms, change, release, name)
        if said is None:
            began = time.monotonic()
            with context.watch.outside() if gate in _OUTSIDE else contextlib.nullcontext():
                evidence = await gate(rooms, change, release, bench)
            evidence = replace(evidence, duration_seconds=round(time.monotonic() - began, 6))
            await keep_evidence(rooms, change, evidence)
            said = evidence.verdict, evidence.reasons
        verdict, given = said
        shown.append({"gate": name.value, "verdict": verdict.value})
        if verdict is not Verdict.PASS:
            reasons = [f"gate {name} says {verdict}: {reason}" for reason in given]
            return StepOutcome(STOP, reasons, {"release": release.digest}, {"gates": shown})
    return StepOutcome(inputs={"release": release.digest}, outputs={"gates": shown})


async def keep_evidence(rooms: Rooms, change: Mapping[str, Any], evidence: Evidence) -> None:
    """Sign what a gate saw and store it; one statement per gate, environment and release, the first one."""
    spoken = evidence.subject, evidence.gate.value, evidence.environment
    if await rooms.journal.statement(change["id"], *spoken):
        return
    evidence = replace(evidence, at=evidence.at or now())
    predicate = {
        "gate": evidence.gate.value,
        "verdict": evidence.verdict.value,
        "reasons": list(evidence.reasons),
        "data": dict(evidence.data),
        "environment": evidence.environment,
        "change": change["id"],
        "at": evidence.at,
        "duration_seconds": evidence.duration_seconds,
    }
    row = {
        "change_id": change["id"],
        "subject": evidence.subject,
        "gate": evidence.gate.value,
        "environment": evidence.environment,
        "verdict": evidence.verdict.value,
        "at": evidence.at,
        "envelope": sign_statement(rooms.key, change["application"], evidence.subject, GATE_PREDICATE, predicate),
    }
    await rooms.journal.put_evidence(row, {**predicate, "subject": evidence.subject})


async def _said_before(
    rooms: Rooms, change: Mapping[str, Any], release: Release, gate: GateName
) -> tuple[Verdict, tuple[str, ...]] | None:
    """A gate that spoke before a crash is not asked again: what it said then stands, for better or worse."""
    row = await rooms.journal.statement(change["id"], release.digest, gate.value, None)
    return (Verdict(row["verdict"]), tuple(statement_of(row)["reasons"])) if row else None


async def _release(rooms: Rooms, change: Mapping[str, Any], bench: _Bench) -> Release:
    """The winner as a commit and a release. Deterministic: the same change makes the same commit every time."""
    repository = await rooms.repository(change)
    tree = change["consensus"]["details"]["tree"]
    commit = await repository.commit(tree, change["base_commit"], commit_message(change), change["created_at"])
    wanted = Release(change["application"], commit, tree, bench.toolchain.digest)
    release = await make_release(rooms.records, rooms.objects, wanted, repository)
    await rooms.journal.set_change(change["id"], commit=commit, release=release.digest)
    return release


def commit_message(change: Mapping[str, Any]) -> str:
    """Subject from the intent; trailers that lead back to the change, its vote and its trace."""
    consensus = change["consensus"]
    subject = " ".join(change["intent"].split())
    subject = subject if len(subject) <= 72 else subject[:71].rstrip() + "…"
    trailers = {
        "Ripple-Change": change["id"],
        "Ripple-Policy": change["policy"],
        "Ripple-Consensus": f"{consensus['score']:.3f} by {consensus['method']}",
        "Ripple-Models": ", ".join(sorted(_winners(consensus))),
        "Ripple-Asked-By": change["principal"],
        "Ripple-Trace": change["trace_id"],
    }
    lines = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    return f"{subject}\n\n{change['intent'].strip()}\n\n{lines}\n"


def _winners(consensus: Mapping[str, Any]) -> list[str]:
    return [
        model
        for cluster in consensus["clusters"]
        if cluster["key"] == consensus["winner"]
        for model in cluster["models"]
    ]


async def _build(rooms: Rooms, change: Mapping[str, Any], release: Release, bench: _Bench) -> Evidence:
    return gates.build_gate(release, (await run_trial(rooms.sandbox, *bench.arguments)).as_rows())


async def _integration(rooms: Rooms, change: Mapping[str, Any], release: Release, bench: _Bench) -> Evidence:
    trial = await run_integration(rooms.sandbox, *bench.arguments)
    declared = bool(bench.ground.manifest.test.integration)
    return gates.integration_gate(release, trial.as_rows(), declared=declared)


async def _security(rooms: Rooms, change: Mapping[str, Any], release: Release, bench: _Bench) -> Evidence:
    scans = await scan(rooms.sandbox, bench.tree, bench.ground.folder)
    asked = {"environment": SCAN_ENVIRONMENT, "scans": scans}
    decision = await rooms.governor.decide(
        WORKER, "ripple/gates/security", asked, action="gate.security", resource=f"release/{release.digest}",
        trace_id=change["trace_id"],
    )  # fmt: skip
    return gates.security_gate(release, scans, decision)


async def _policy(rooms: Rooms, change: Mapping[str, Any], release: Release, bench: _Bench) -> Evidence:
    repository = await rooms.repository(change)
    paths = await repository.changed_paths(change["base_commit"], release.tree)
    asked = {"paths": list(paths), "kind": change["kind"], **bench.ground.guarded}
    decision = await rooms.governor.decide(
        WORKER, "ripple/edits", asked, action="gate.policy", resource=f"release/{release.digest}",
        trace_id=change["trace_id"],
    )  # fmt: skip
    return gates.policy_gate(release, asked, decision)


async def _evals(rooms: Rooms, change: Mapping[str, Any], release: Release, bench: _Bench) -> Evidence:
    result = await run_evals(rooms.sandbox, bench.tree, bench.ground.manifest, bench.toolchain)
    return gates.evals_gate(release, result)


_GATES = {
    GateName.BUILD: _build,
    GateName.INTEGRATION: _integration,
    GateName.SECURITY: _security,
    GateName.POLICY: _policy,
    GateName.EVALS: _evals,
}
_OUTSIDE = frozenset({_build, _integration, _security, _evals})
"""Gates that wait for sandboxed commands; the time they take is not Ripple's own."""
