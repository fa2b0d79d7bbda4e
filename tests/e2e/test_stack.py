"""The stack of a real instance started from a clone: its drift, level by level, and the phases that build it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.instance import ROOT, Instance, git, until
from tests.e2e.provider import Endpoint
from tests.unit.changes.room import opened

from ripple.changes.phases.runs import Runs
from ripple.changes.steps.gating import keep_evidence
from ripple.governance.keys import NodeKey
from ripple.model.errors import Refused
from ripple.model.gate import Evidence, GateName, Verdict
from ripple.model.paths import Home
from ripple.planes.objects import Objects
from ripple.stack.manifests.hash import manifest_hash

NEXT = "\n    "
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
    done = one.run("phases", "run", *arguments, "--json", check=False)
    assert done.stdout.strip(), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
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
    seen = {task["id"]: task["found"] for task in found["tasks"]}
    assert seen["task-P0-clean-tree"]["revision"] == git(clone, "rev-parse", "HEAD")
    assert {"nats", "temporal", "caddy", "api", "worker"} <= set(seen["task-P2-reconciler"])


def test_a_run_goes_on_after_its_worker_was_killed(cloned: tuple[Instance, Path]) -> None:
    one, _ = cloned
    with one.api as api:
        begun = api.post("/api/phases", json={"from": "P0", "to": "P3"}).json()["run"]["id"]

    def shown() -> dict[str, Any]:
        return one.seen("/api/phases") or {"tasks": [], "run": {"state": "running"}}

    until(lambda: "passed" in states(shown()).values(), "a task ends", every=0.2)
    os.kill(one.running("worker"), signal.SIGKILL)
    until(lambda: shown()["run"]["state"] != "running", "the run ends", 120, every=0.5)
    found = one.json("phases", "show")
    assert (found["run"]["id"], found["run"]["state"]) == (begun, "passed"), found["tasks"]


def test_the_binary_is_refused_without_the_evidence_of_p6(cloned: tuple[Instance, Path]) -> None:
    found = phases(cloned[0], "--from", "WSL", "--to", "WSL")
    assert states(found) == {"task-WSL-evidence": "blocked", "task-WSL-binary": "blocked"}
    reasons = {task["id"]: task["reasons"][0] for task in found["tasks"]}
    assert "P6 has left no evidence" in reasons["task-WSL-evidence"]


def test_a_model_that_answers_is_an_inference_plane_and_none_is_no_one(
    cloned: tuple[Instance, Path], endpoint: Endpoint
) -> None:
    one, _ = cloned
    alone = states(phases(one, "--to", "P5"))
    assert (alone["task-P4-models"], alone["task-P5-flow"]) == ("failed", "blocked")
    endpoint.all_say("ok")
    one.provider("local-1", endpoint.url, tier="local")
    found = phases(one, "--to", "P5")
    assert set(states(found).values()) == {"passed"}, found["tasks"]
    assert {task["id"]: task["found"] for task in found["tasks"]}["task-P4-completion"]["model"] == "local-1"


def promote(home: Path) -> str:
    """A promoted change in the records below ``home``, its evidence signed there; its release."""
    release = f"sha256:{'ab' * 32}"

    async def main() -> None:
        async with opened(home, voters=False) as room:
            await room.application()
            change = await room.change(release=release, state="promoted")
            for gate in GateName:
                where = "prod" if gate is GateName.CANARY else None
                said = Evidence(gate, release, Verdict.PASS, ("it holds",), environment=where)
                await keep_evidence(room.rooms, change, said)

    asyncio.run(main())
    return release


def proof(one: Instance, clone: Path, phase: str) -> Mapping[str, Any]:
    """What the instance attested of a phase, read with its key."""
    home = Home(one.home)
    runs = Runs(Objects.local(home.objects), NodeKey.load_or_create(home.keys))
    return asyncio.run(runs.proof(phase, f"sha256:{manifest_hash(clone / 'manifests')}"))


def test_p6_passes_once_a_change_went_to_prod_and_then_the_binary_lacks_only_its_builder(
    cloned: tuple[Instance, Path], endpoint: Endpoint
) -> None:
    one, clone = cloned
    endpoint.all_say("ok")
    one.provider("local-1", endpoint.url, tier="local")
    found = phases(one)
    lacking = {task["id"]: task["reasons"] for task in found["tasks"] if task["state"] != "passed"}
    assert list(lacking) == ["task-P6-promotion"], lacking
    assert "no change has gone to prod" in lacking["task-P6-promotion"][0]
    with pytest.raises(Refused, match="P6 has left no evidence"):
        proof(one, clone, "P6")
    release = promote(one.home.parent)
    found = phases(one, "--from", "P6", "--to", "P6")
    assert (found["run"]["state"], set(states(found).values())) == ("passed", {"passed"}), found["tasks"]
    held = proof(one, clone, "P6")
    assert held["run"] == found["run"]["id"]
    assert held["tasks"]["task-P6-promotion"]["found"]["release"] == release
    assert {"caddy", "temporal"} < set(held["tasks"]["task-P6-smoke"]["found"]["proven"])
    found = phases(one, "--from", "WSL", "--to", "WSL")
    assert states(found) == {"task-WSL-evidence": "passed", "task-WSL-binary": "failed"}
    assert "has no builder of the bootstrap binary" in found["tasks"][1]["reasons"][0]


def drift(one: Instance) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.run("drift", "--json", check=False).stdout)
    return found


def levels(one: Instance) -> set[str]:
    return {finding["level"] for finding in drift(one)["findings"]}


TOKEN = "ghp_" + "a1B2" * 9


@contextlib.contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    """The file with one change in it; as it was afterwards."""
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)


def test_a_checkout_and_its_instance_do_not_drift(cloned: tuple[Instance, Path]) -> None:
    done = cloned[0].run("drift", "--json", check=False)
    assert json.loads(done.stdout) == {"findings": [], "not_compared": []}
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("level", "name", "old", "new"),
    [
        ("document", "docs/STACK.md", "# The stack", "# The stacks"),
        (
            "manifest",
            "manifests/components/09-messaging.yaml",
            "role: events",
            f"role: events  # {TOKEN}",
        ),
        ("lock", "manifests/vendor.lock.json", '"systems": {', '"systems": {"ghost": {"linux-x86_64": []},'),
        ("running", "src/ripple/__init__.py", '"""', '"""\n'),
    ],
)
def test_one_changed_byte_is_drift_at_its_level(
    cloned: tuple[Instance, Path], level: str, name: str, old: str, new: str
) -> None:
    one, clone = cloned
    with changed(clone / name, old, new):
        done = one.run("drift", "--json", check=False)
        # What a manifest or the lock says is also what the instance was started from.
        assert {finding["level"] for finding in json.loads(done.stdout)["findings"]} - {"running"} <= {level}
        assert level in levels(one)
        assert done.returncode == 2


def damage_caddy(one: Instance) -> None:
    """Install it if need be, and change one byte of its program."""
    one.run("component", "install", "caddy", "--json")
    assert levels(one) == set()
    program = next((one.home / "prefix" / "trees" / "caddy").rglob("bin/caddy"))
    program = program.resolve()
    program.chmod(0o755)
    with program.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    assert [(one["level"], one["subject"]) for one in drift(one)["findings"]] == [("installed", "caddy")]


def test_one_changed_byte_of_what_is_installed_is_drift_and_fix_mends_it(cloned: tuple[Instance, Path]) -> None:
    one, _ = cloned
    damage_caddy(one)
    one.run("component", "fix", "caddy", "--json")
    assert levels(one) == set()


def test_what_is_damaged_is_mended_by_the_worker_when_the_page_asks_and_one_trace_tells_it(
    cloned: tuple[Instance, Path],
) -> None:
    one, _ = cloned
    damage_caddy(one)
    with one.api as api:
        asked = api.post("/api/stack/caddy/repair", json={"verb": "fix"})
        assert asked.status_code == 202, asked.text
        trace = asked.json()["trace_id"]

        def ended() -> Any:
            seen = api.get("/api/stack/caddy").json()["repairing"]
            return seen if seen["state"] != "running" else None

        seen = until(ended, "the repair ends")
        assert (seen["state"], seen["reason"], seen["trace_id"]) == ("done", "", trace)
        told = api.get("/api/audit", params={"q": trace}).json()["entries"]
        until(lambda: api.get(f"/api/traces/{trace}").json()["spans"], "the worker's span is kept")
    assert [(entry["principal"], entry["action"], entry["resource"], entry["outcome"]) for entry in told] == [
        ("service:worker", "component.fix", "stack/caddy", "done"),
        ("operator:local", "component.fix", "stack/caddy", "allowed"),
    ]
    assert levels(one) == set()


def test_one_stopped_process_is_drift_of_health_alone(cloned: tuple[Instance, Path]) -> None:
    one, _ = cloned
    pid = one.running("nats")
    os.kill(pid, signal.SIGSTOP)
    try:
        seen = until(lambda: levels(one), "it is missed", 60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert seen == {"healthy"}
    until(lambda: not levels(one), "it is well again", 90)
