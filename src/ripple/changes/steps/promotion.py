"""Steps 7a-7d: one environment at a time. Policy lets the release in; the canary says whether it stays.

Policy is told the change's stored consensus and the inference policy as it stands now: without a consensus about
the release's very tree nothing is deployed (R1.12.d).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.attested import doubt
from ripple.changes.calls import STOP, WAIT
from ripple.changes.journal import now
from ripple.changes.steps.gating import keep_evidence
from ripple.changes.steps.ground import ground_of, toolchain_for
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.delivery import gates
from ripple.delivery.analysis import run_canary
from ripple.delivery.application import load_overlay
from ripple.delivery.instances import Target
from ripple.delivery.releases import load_release
from ripple.model.application import EnvironmentOverlay
from ripple.model.errors import NotFound
from ripple.model.gate import Verdict
from ripple.model.release import ENVIRONMENTS, Release

log = structlog.get_logger(__name__)


async def promote(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Bring the release into one environment, or say why it may not stay there."""
    change = context.change
    environment = context.step.removeprefix("promote/")
    release = await load_release(rooms.records, change["release"])
    ground = await ground_of(rooms, change)
    overlay = load_overlay(ground.folder, ground.manifest, environment)
    shown = {"release": release.digest, "commit": release.commit}
    if overlay.require_approval and not context.approved_by:
        return StepOutcome(
            WAIT, [f"{environment} waits for a person's approval"], shown, {**shown, "awaiting_approval": True}
        )
    decision = await rooms.governor.decide(
        WORKER,
        "ripple/promotion",
        await _asked(rooms, change, release, environment, overlay, context.approved_by),
        action="release.promote",
        resource=f"environment/{change['application']}/{environment}",
        trace_id=change["trace_id"],
    )
    if not decision.allowed:
        return StepOutcome(STOP, list(decision.reasons), shown, shown)
    toolchain = await toolchain_for(rooms, ground.folder, ground.manifest)
    return await _deploy(
        rooms, context, rooms.environments.target(release, environment, ground.manifest, overlay, toolchain)
    )


async def situation(
    rooms: Rooms, release: Release, environment: str, approval: Mapping[str, Any]
) -> gates.Situation:
    """Whether the release is held, and whether the environment before runs it; before ``dev`` there is none."""
    position = ENVIRONMENTS.index(environment)
    before = ENVIRONMENTS[position - 1] if position else None
    stable = await rooms.environments.stable(release.application, before) if before else None
    return gates.Situation(
        held=await rooms.environments.held(release.digest),
        previous_environment_stable=before is None or (stable is not None and stable.release == release.digest),
        approval=approval,
    )


async def _deploy(rooms: Rooms, context: StepContext, target: Target) -> StepOutcome:
    change, release, environment = context.change, target.release, target.environment
    with context.watch.outside():
        deployed = await rooms.environments.deploy(target, await rooms.repository(change))
    shown: dict[str, Any] = {
        "release": release.digest,
        "commit": release.commit,
        "component": deployed.component,
    }
    if target.overlay.canary is not None:

        async def keep(sample: Mapping[str, Any]) -> None:
            await rooms.journal.sample(change["id"], environment, {**sample, "slo": target.slo.model_dump()})

        with context.watch.outside():
            analysis = await run_canary(rooms.environments, target, target.overlay.canary, keep)
        await keep_evidence(rooms, change, gates.canary_gate(release, environment, analysis))
        shown["analysis"] = asdict(analysis)
        if analysis.verdict is not Verdict.PASS:
            return StepOutcome(STOP, [f"{environment}: {reason}" for reason in analysis.reasons], {}, shown)
    with context.watch.outside():
        await rooms.environments.promote(target)
    await rooms.journal.note(
        change["id"], "environment", {"environment": environment, "state": "passed", "at": now()}
    )
    return StepOutcome(inputs={"release": release.digest, "approved_by": context.approved_by}, outputs=shown)


async def _believed(rooms: Rooms, change: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Evidence whose signature holds now and says what its row says; any other counts as none."""
    believed = []
    for row in await rooms.journal.evidence(change["id"]):
        reason = doubt(row, rooms.key.public_pem)
        if reason:
            log.error("evidence_not_believed", change=change["id"], evidence=row["id"], reason=reason)
        else:
            believed.append(row)
    return believed


async def _asked(
    rooms: Rooms,
    change: Mapping[str, Any],
    release: Release,
    environment: str,
    overlay: EnvironmentOverlay,
    approved_by: str,
) -> dict[str, Any]:
    approval = {"required": overlay.require_approval, "by": approved_by}
    return gates.promotion_input(
        release,
        environment,
        await _believed(rooms, change),
        await situation(rooms, release, environment, approval),
        gates.from_change(change["consensus"], _asked_for(rooms, change)),
    )


def _asked_for(rooms: Rooms, change: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the change's inference policy asks for now; None when it was taken away since."""
    try:
        return rooms.voters.policy(change["policy"]).as_input()
    except NotFound:
        return None
