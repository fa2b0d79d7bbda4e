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
from ripple.changes.steps.rooms import Rooms
from ripple.changes.trial import run_written_test
from ripple.delivery.toolchain import Toolchain
from ripple.inference.prompt import build_test_prompt
from ripple.model.candidate import Candidate

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
        for path, content in await rooms.voters.written_tests(examiner, request, change["trace_id"]):
            outcomes = {
                tree: await run_written_test(rooms.sandbox, folder, content, manifest, exam.toolchain)
                for tree, folder in exam.survivors.items()
            }
            found = found.with_test(f"{examiner.name}:{path}", outcomes)
    return found
