"""Step 5: the vote, and policy's word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.calls import STOP
from ripple.changes.candidates import candidate_of
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.inference.reduce import reduce_votes
from ripple.model.candidate import Candidate, Consensus
from ripple.model.change import ChangeKind, StepName


async def reduce(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Reduce the candidates to one winner, or say why there is none."""
    change = context.change
    candidates = [candidate_of(row) for row in await rooms.journal.candidates(change["id"])]
    policy = rooms.voters.policy(change["policy"])
    tried = await rooms.journal.step(change["id"], StepName.TRY)
    consensus = reduce_votes(candidates, policy.rule(), ChangeKind(change["kind"]))
    apart = _by_cluster((tried or {}).get("outputs", {}).get("distinguishing", []), candidates, consensus)
    consensus = replace(consensus, details={**consensus.details, "distinguishing": apart})
    decision = await rooms.governor.decide(
        WORKER,
        policy.gate_path,
        {"consensus": asdict(consensus), "policy": policy.as_input(), "kind": change["kind"]},
        action="change.merge",
        resource=f"change/{change['id']}",
        trace_id=change["trace_id"],
    )
    await rooms.journal.set_change(change["id"], consensus=asdict(consensus))
    if consensus.reached and decision.allowed:
        return StepOutcome(inputs={"policy": policy.name}, outputs=_winner(consensus))
    reasons = [*consensus.reasons, *(() if decision.allowed else decision.reasons)]
    lost = [f"{one.model}: {one.reasons[0]}" for one in candidates if one.reasons]
    return StepOutcome(STOP, list(dict.fromkeys([*reasons, *lost])), {"policy": policy.name}, _winner(consensus))


def _by_cluster(
    apart: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate], consensus: Consensus
) -> list[dict[str, Any]]:
    """Inputs that tell survivors apart, with what each cluster did instead of each tree."""
    placed = {row["model"]: row["cluster"] for row in consensus.details["models"]}
    clusters = {one.tree: placed[one.model] for one in candidates if one.tree and placed[one.model]}
    return [
        {**one, "outcomes": {clusters[tree]: said for tree, said in one["outcomes"].items() if tree in clusters}}
        for one in apart
    ]


def _winner(consensus: Consensus) -> dict[str, object]:
    return {
        "winner": consensus.winner,
        "representative": consensus.representative,
        "score": consensus.score,
        "method": consensus.method,
        "contested": consensus.contested,
    }
