"""Step 8: the commit on the application's branch, and the evidence bundle by its content address."""

from __future__ import annotations

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.governance.audit import AuditDraft
from ripple.model.digest import canonical_json
from ripple.planes import content


async def record(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Fast-forward the branch to the promoted commit and file the evidence; both may be repeated safely."""
    change = context.change
    repository = await rooms.repository(change)
    pushed = await repository.push(change["commit"], change["base_commit"], branch_hint=change["id"])
    envelopes = [row["envelope"] for row in await rooms.journal.evidence(change["id"])]
    bundle = await content.put(rooms.objects, canonical_json({"change": change["id"], "envelopes": envelopes}))
    outputs = {
        "commit": change["commit"],
        "branch": pushed.branch,
        "merged": pushed.merged,
        "evidence": {"cid": bundle.cid, "profile": bundle.profile, "statements": len(envelopes)},
    }
    draft = AuditDraft(
        principal=WORKER,
        action="change.record",
        resource=f"change/{change['id']}",
        outcome="done",
        decision=None,
        trace_id=change["trace_id"],
        data=outputs,
    )
    await rooms.audit.append(draft)
    reasons = [] if pushed.merged else [pushed.reason]
    return StepOutcome(reasons=reasons, inputs={"release": change["release"]}, outputs=outputs)
