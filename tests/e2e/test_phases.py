"""The phases on a real instance started from a clone: in order, refused by a dirty tree, resumed after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.instance import ROOT, Instance, git, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def cloned(short_home: Path) -> Iterator[tuple[Instance, Path]]:
    """An instance whose code and manifests are a clone of this checkout's last commit."""
    clone = short_home / "clone"
    subprocess.run(("git", "clone", "--quiet", "--local", str(ROOT), str(clone)), check=True, capture_output=True)
    one = Instance(short_home / "home", clone)
    one.up()
    yield one, clone
    one.down()


def phases(one: Instance, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.run("phases", "run", *arguments, "--json", check=False).stdout)
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {task["id"]: task["state"] for task in found["tasks"]}


def test_a_dirty_tree_is_refused_and_nothing_after_it_runs(cloned: tuple[Instance, Path]) -> None:
    one, clone = cloned
    stray = clone / "stray.txt"
    stray.write_text("not committed")
    found = phases(one, "--to", "P2")
    stray.unlink()
    assert found["run"]["state"] == "failed"
    rows = {task["id"]: task for task in found["tasks"]}
    assert "stray.txt" in rows["task-P0-clean-tree"]["reasons"][0]
    assert {task["state"] for name, task in rows.items() if name != "task-P0-clean-tree"} == {"blocked"}


def test_the_phases_up_to_the_state_plane_pass_and_a_second_run_changes_nothing(
    cloned: tuple[Instance, Path],
) -> None:
    one, clone = cloned
    for _ in range(2):
        found = phases(one, "--to", "P3")
        assert set(states(found).values()) == {"passed"}, [task for task in found["tasks"] if task["reasons"]]
        assert git(clone, "status", "--porcelain") == "", "a second freeze is an empty diff"
    found = {task["id"]: task["found"] for task in found["tasks"]}
    assert found["task-P0-clean-tree"]["revision"] == git(clone, "rev-parse", "HEAD")
    assert {"nats", "temporal", "caddy", "api", "worker"} <= set(found["task-P2-reconciler"])


def test_a_run_goes_on_after_its_worker_was_killed(cloned: tuple[Instance, Path]) -> None:
    one, _ = cloned
    with one.api as api:
        begun = api.post("/api/phases", json={"from": "P0", "to": "P3"}).json()["run"]["id"]
    until(lambda: any(state == "passed" for state in states(one.json("phases", "show")).values()), "a task ends")
    os.kill(one.pid("worker"), signal.SIGKILL)
    until(lambda: one.json("phases", "show")["run"]["state"] != "running", "the run ends", 120)
    found = one.json("phases", "show")
    assert (found["run"]["id"], found["run"]["state"]) == (begun, "passed"), found["tasks"]


def test_the_binary_is_refused_without_the_evidence_of_p6(cloned: tuple[Instance, Path]) -> None:
    found = phases(cloned[0], "--from", "WSL", "--to", "WSL")
    assert states(found) == {"task-WSL-evidence": "failed", "task-WSL-binary": "blocked"}
    reasons = {task["id"]: task["reasons"][0] for task in found["tasks"]}
    assert "P6 has left no evidence" in reasons["task-WSL-evidence"]


def test_models_that_are_not_there_are_no_inference_plane(cloned: tuple[Instance, Path]) -> None:
    found = phases(cloned[0], "--from", "P4", "--to", "P5")
    assert states(found)["task-P4-models"] == "failed"
    assert states(found)["task-P5-flow"] == "blocked"
