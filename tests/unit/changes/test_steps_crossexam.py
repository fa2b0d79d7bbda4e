"""Tests that another lineage writes: asked for once, written down like every model call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import Room, git, inside
from tests.unit.inference.endpoint import Endpoint, raw, said

from ripple.changes.behaviour import Comparison
from ripple.changes.steps.crossexam import Examination, cross_examine
from ripple.changes.steps.ground import ground_of, toolchain_for
from ripple.model.candidate import Candidate, Standing, Tier

TESTS = {"tests": [{"path": "test_a.py", "content": "def test_a():\n    assert True\n"}]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.stop()


FOUND = Comparison({"t": f"sha256:{'ab' * 32}"}, [])


async def examination(room: Room, endpoint: Endpoint, answer: Any) -> Examination:
    """Of an author's tree by one other lineage; there is no tree to run what it writes on."""
    endpoint.answers["other"] = answer
    row = {"name": "other", "tier": "cloud", "base_url": endpoint.url, "model": "other", "weight": 1.0}
    more = {"adapter": "openai", "lineage": "other", "priority": 100, "key_env": None}
    await room.rooms.voters.add_provider({**row, **more}, None)
    await room.application()
    change = await room.change(base_commit=git(room.origin, "rev-parse", "HEAD"))
    await (await room.rooms.repository(change)).sync()
    ground = await ground_of(room.rooms, change)
    toolchain = await toolchain_for(room.rooms, ground.folder, ground.manifest)
    author = Candidate("m", Tier.LOCAL, "m", 1.0, 0.1, Standing.COUNTED, (), None, None, diff="-one\n+two\n")
    return Examination(change, ground, toolchain, {}, [author])


@pytest.mark.parametrize(
    ("answer", "outcome", "tests", "counts"),
    [
        (said(TESTS), "answered", ["test_a.py"], True),
        (said("no"), "answered", [], False),
        (raw(b"", 500), "absent", [], False),
    ],
)
def test_a_written_test_is_asked_for_once_and_audited(
    tmp_path: Path, endpoint: Endpoint, answer: Any, outcome: str, tests: list[str], counts: bool
) -> None:
    async def scenario(room: Room) -> None:
        endpoint.reset()
        exam = await examination(room, endpoint, answer)
        first = await cross_examine(room.rooms, exam, FOUND)
        asked = len(endpoint.payloads("other"))
        assert await cross_examine(room.rooms, exam, FOUND) == first
        assert len(endpoint.payloads("other")) == asked > 0, "after a crash nobody is asked and paid twice"
        assert (first != FOUND) is counts
        ((written, data),) = await room.audited("model.call")
        assert (written, data["asked_for"], data["tests"]) == (outcome, "tests", tests)
        assert (data["response"] is not None) is (outcome == "answered")
        assert bool(data["reasons"]) is not counts

    inside(tmp_path, scenario, voters=True)
