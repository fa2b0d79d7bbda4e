"""Step 3: ask the models. Each answer is kept when it arrives, so a restart asks only those still missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.calls import GO, STOP
from ripple.changes.candidates import candidate_row
from ripple.changes.steps.admission import ranked_files
from ripple.changes.steps.ground import ground_of
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.governance.audit import AuditDraft
from ripple.inference.fanout import Request
from ripple.inference.prompt import build_prompt
from ripple.inference.voters import Voter
from ripple.model.candidate import Candidate, Standing
from ripple.model.change import ChangeKind
from ripple.planes import telemetry


async def propose(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Fan the intent out to every planned voter; refuse when fewer answer than the policy asks for."""
    change = context.change
    ground = await ground_of(rooms, change)
    kind = ChangeKind(change["kind"])
    files = await ranked_files(ground, change)
    plan = await rooms.voters.plan(change["policy"], kind)
    known = {row["model"] for row in await rooms.journal.candidates(change["id"])}

    def request_for(voter: Voter) -> Request:
        return build_prompt(change["intent"], kind, files, voter.context_tokens, ground.manifest)

    async def keep(candidate: Candidate) -> None:
        await _audited(rooms, change, candidate)
        await rooms.journal.put_candidates(change["id"], candidate_row(candidate))

    with context.watch.outside():
        await rooms.voters.fan_out(plan.without(known), request_for, keep, change["trace_id"])
    rows = await rooms.journal.candidates(change["id"])
    answered = [row["model"] for row in rows if row["standing"] != Standing.ABSENT]
    reasons = plan.too_few(rows)
    outputs = {"asked": [row["model"] for row in rows], "answered": answered}
    return StepOutcome(STOP if reasons else GO, reasons, {"policy": change["policy"]}, outputs)


async def _audited(rooms: Rooms, change: Mapping[str, Any], candidate: Candidate) -> None:
    telemetry.MODEL_CALLS.labels(candidate.tier.value, candidate.standing.value).inc()
    draft = AuditDraft(
        principal=WORKER,
        action="model.call",
        resource=f"model/{candidate.model}",
        outcome="absent" if candidate.standing is Standing.ABSENT else "answered",
        decision=None,
        trace_id=change["trace_id"],
        data={
            "change": change["id"],
            "response": candidate.response_digest,
            "seconds": round(candidate.latency_seconds, 3),
            "tokens_in": candidate.tokens_in,
            "tokens_out": candidate.tokens_out,
            "reasons": list(candidate.reasons),
        },
    )
    await rooms.audit.append(draft)
