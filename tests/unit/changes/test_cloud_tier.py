"""The full policy with its cloud tier: two commands on PATH answer at the same time as five local models."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.changes.room import TRACE, Room, inside
from tests.unit.inference.asking import REQUEST
from tests.unit.inference.endpoint import EDIT, Endpoint

from ripple.changes.candidates import candidate_row
from ripple.model.candidate import Candidate
from ripple.model.change import ChangeKind

LOCAL = tuple(f"model-{number}" for number in range(5))
CLOUD = {"claude-code": "claude", "codex": "codex"}
SAID = json.dumps(EDIT)
REPLIES = {
    "claude": {"type": "result", "is_error": False, "result": SAID},
    "codex": {"type": "item.completed", "item": {"type": "agent_message", "text": SAID}},
}
PROGRAM = """#!{python} -IS
import os, pathlib, sys, time
sys.stdin.read()
here = pathlib.Path({folder!r})
(here / "{name}.trace").write_text(os.environ["TRACEPARENT"])
give_up = time.monotonic() + 30
while len(list(here.glob("*.trace"))) < 2:
    if time.monotonic() > give_up:
        sys.exit("the other one was not asked meanwhile")
    time.sleep(0.01)
print({reply!r})
"""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.stop()


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with both commands; each waits until the other has been started."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, reply in REPLIES.items():
        code = PROGRAM.format(python=sys.executable, folder=str(folder), name=name, reply=json.dumps(reply))
        (folder / name).write_text(code)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


async def add(room: Room, name: str, **given: Any) -> None:
    row = {"name": name, "base_url": None, "model": name, "weight": 1.0, "lineage": None, "priority": 100}
    await room.rooms.voters.add_provider({**row, "key_env": None, **given}, None)


def test_two_cloud_providers_answer_in_parallel_and_every_call_carries_the_changes_trace(
    tmp_path: Path, commands: Path, endpoint: Endpoint
) -> None:
    async def main(room: Room) -> None:
        for name in LOCAL:
            await add(room, name, tier="local", adapter="openai", base_url=endpoint.url)
        for name in CLOUD:
            await add(room, name, tier="cloud", adapter=name)
        await room.change(policy="ripple-moe")
        plan = await room.rooms.voters.plan("ripple-moe", ChangeKind.CODE)
        assert plan.refusals == ()

        async def keep(candidate: Candidate) -> None:
            await room.journal.put_candidates("chg-1", candidate_row(candidate))

        await room.rooms.voters.fan_out(plan, lambda _: REQUEST, keep, TRACE)
        rows = await room.journal.candidates("chg-1")
        told = {row["model"]: (row["tier"], row["standing"], row["reasons"]) for row in rows}
        assert told == {
            **{name: ("local", "counted", []) for name in LOCAL},
            **{name: ("cloud", "counted", []) for name in CLOUD},
        }
        assert plan.too_few(rows) == []
        examiner = (await room.rooms.voters.examiners("ripple-moe", {*LOCAL[1:], *CLOUD}, 1))[0]
        await room.rooms.voters.written_tests(examiner, REQUEST, TRACE)

    inside(tmp_path, main, voters=True)
    traces = [headers["traceparent"] for headers, _ in endpoint.asked]
    traces += [(commands / f"{name}.trace").read_text() for name in CLOUD.values()]
    assert len(traces) == len(LOCAL) + 1 + len(CLOUD)
    assert all(trace.startswith(f"00-{TRACE}-") for trace in traces)
