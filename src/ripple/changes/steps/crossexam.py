"""When survivors differ, let models of other lineages write tests that tell them apart.

A written test decides nothing about right and wrong: what it does on each tree becomes part of that tree's
behaviour, so trees that a test separates can no longer share a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ripple.changes.behaviour import Comparison
from ripple.changes.steps.ground import Ground
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.changes.trial import run_written_test
from ripple.changes.voters import Written
from ripple.delivery.toolchain import Toolchain
from ripple.governance.audit import AuditDraft
from ripple.inference.fanout import Request
from ripple.inference.prompt import build_test_prompt
from ripple.inference.voters import Voter
from ripple.model.candidate import Candidate
from ripple.model.digest import digest_json
from ripple.planes import telemetry
from ripple.planes.records import effects

MAX_EXAMINERS = 2


@dataclass(frozen=True)
class Examination:
    """Who is examined: the survivors' trees by hash, and the candidates that made them."""

    change: Mapping[str, Any]
    ground: Ground
    toolchain: Toolchain
    survivors: Mapping[str, Path]
    candidates: Sequence[Candidate]


async def cross_examine(rooms: Rooms, exam: Examination, found: Comparison) -> Comparison:
    """``found`` with the outcomes of written tests mixed in; unchanged when nobody can write any."""
    change, manifest = exam.change, exam.ground.manifest
    authors = {one.lineage for one in exam.candidates}
    examiners = await rooms.voters.examiners(change["policy"], authors, MAX_EXAMINERS)
    diffs = list(dict.fromkeys(one.diff for one in exam.candidates if one.diff))
    for examiner in examiners:
        request = build_test_prompt(change["intent"], diffs, examiner.context_tokens)
        for path, content in await _written(rooms, change, examiner, request):
            outcomes = {
                tree: await run_written_test(rooms.sandbox, folder, content, manifest, exam.toolchain)
                for tree, folder in exam.survivors.items()
            }
            found = found.with_test(f"{examiner.name}:{path}", outcomes)
    return found


async def _written(
    rooms: Rooms, change: Mapping[str, Any], examiner: Voter, request: Request
) -> list[tuple[str, str]]:
    """The tests one examiner writes for this question: asked for, paid for and written down once."""

    async def ask() -> list[list[str]]:
        written = await rooms.voters.written_tests(examiner, request, change["trace_id"])
        await _audited(rooms, change, examiner, written)
        return [list(test) for test in written.tests]

    question = digest_json({"messages": list(request.messages), "schema": request.schema})
    tests = await effects.once(rooms.records, f"tests/{change['id']}/{examiner.name}/{question}", ask)
    return [(path, content) for path, content in tests]


async def _audited(rooms: Rooms, change: Mapping[str, Any], examiner: Voter, written: Written) -> None:
    telemetry.MODEL_CALLS.labels(examiner.tier.value, "tests" if written.tests else "no_tests").inc()
    draft = AuditDraft(
        principal=WORKER,
        action="model.call",
        resource=f"model/{examiner.name}",
        outcome="answered" if written.response else "absent",
        decision=None,
        trace_id=change["trace_id"],
        data={
            "change": change["id"],
            "asked_for": "tests",
            "tests": [path for path, _ in written.tests],
            "response": written.response,
            "seconds": written.seconds,
            "tokens_in": written.tokens_in,
            "tokens_out": written.tokens_out,
            "reasons": [written.reason] if written.reason else [],
        },
    )
    await rooms.audit.append(draft)
