"""What the main job costs on this machine, each number beside the limit it is held to.

``./ripple bench spine --json`` runs it; ``--setup`` also times the first set-up in a fresh clone, HOME empty.

- ``ours_seconds``: from a promoted change's row to its ending, minus what its steps record as spent outside:
  models, sandboxed commands, deployments and soak. So the time between steps counts, with what the durable-flow
  server needs. ``ours_by_step`` says where it goes. The seven voters are loopback endpoints that answer at once,
  all alike: each further edit that differs costs about 0.06 s more.
- ``up_warm_seconds``: the whole command ``up_command`` after ``down``: all components ready, and the sign-in link.
  ``up_to_systems_ratio`` is its median over that of ``systems_start.py`` beside this file: nats-server, Temporal
  and Caddy alone, started by hand at once and asked at the same health URLs. The two take turns. No application is
  there yet; ``up_with_applications_seconds`` is the same with one for each measured change in four environments.
- ``idle_rss_bytes`` / ``idle_pss_bytes``: every process of the instance but models and deployed applications, ten
  seconds after it became ready for the first time. RSS counts shared pages once per process, PSS once.
- ``policy_p50_seconds`` (the slowest of its questions), ``audit_per_second``: ``policy_decision.py`` and
  ``audit_append.py`` beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from benchmarks.systems_start import by_hand
from tests.e2e.instance import ROOT, Instance, make_application
from tests.e2e.provider import CLOUD, LOCAL, Endpoint
from tests.unit.examples.answers import known

IDLE_SECONDS = 10.0
WARM_RUNS = 5
INTENT = known("free-shipping")
LIMITS: dict[str, tuple[str, float]] = {
    "ours_seconds_p50": ("at most", 1.5),
    "up_warm_seconds_p50": ("at most", 3.0),
    "first_setup_seconds": ("at most", 120.0),
    "idle_rss_bytes": ("at most", 600e6),
    "policy_p50_seconds": ("at most", 1e-4),
    "audit_per_second": ("at least", 2000.0),
}


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--setup", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    with _instance() as instance:
        found |= _idle(instance)
        found |= _warm(instance)
        found |= _changes(instance, chosen.runs)
        found |= _warm_with_applications(instance)
    policy = _script("policy_decision.py")
    audit = _script("audit_append.py")
    found["policy_p50_seconds"] = _policy_p50(policy)
    found["audit_per_second"] = audit["audit"]["entries_per_second"]
    if chosen.setup:
        found["first_setup_seconds"] = _first_setup()
    report = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "claims": [_claim(name, found[name]) for name in LIMITS if name in found],
        "measured": found,
        "side_by_side": {"policy_decision": policy, "audit_append": audit},
        "how": __doc__,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _claim(name: str, value: float) -> dict[str, Any]:
    direction, limit = LIMITS[name]
    kept = value <= limit if direction == "at most" else value >= limit
    return {"name": name, "value": value, "wanted": f"{direction} {limit:g}", "reached": kept}


@contextlib.contextmanager
def _instance() -> Iterator[Instance]:
    folder = Path(tempfile.mkdtemp(prefix="rpl-"))
    instance = Instance(folder / "home")
    try:
        _up(instance)
        yield instance
    finally:
        instance.down()
        shutil.rmtree(folder, ignore_errors=True)


def _idle(instance: Instance) -> dict[str, Any]:
    time.sleep(IDLE_SECONDS)
    processes = list(_processes(instance))
    memory = [process.memory_full_info() for process in processes]
    return {
        "idle_rss_bytes": sum(one.rss for one in memory),
        "idle_pss_bytes": sum(one.pss for one in memory),
        "idle_processes": {
            f"{one.pid} {' '.join(one.cmdline()[:3])}": {"rss": seen.rss, "pss": seen.pss}
            for one, seen in zip(processes, memory, strict=True)
        },
    }


def _processes(instance: Instance) -> Iterator[psutil.Process]:
    """The daemon and everything it started."""
    pids = {int(row["pid"]) for row in instance.json("status")["components"] if row["pid"]}
    roots = {psutil.Process(pid) for pid in pids}
    roots |= {
        parent for one in roots if (parent := one.parent()) is not None and "ripple.supervisor" in parent.cmdline()
    }
    seen: set[int] = set()
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            if process.pid not in seen:
                seen.add(process.pid)
                yield process


def _changes(instance: Instance, runs: int) -> dict[str, Any]:
    endpoint = Endpoint()
    endpoint.all_say(INTENT.answer.model_dump_json(by_alias=True, exclude_none=True))
    changes = []
    try:
        for name in LOCAL:
            instance.provider(name, endpoint.url, tier="local")
        for name in CLOUD:
            instance.provider(name, endpoint.url)
        for number in range(runs):
            folder = make_application(instance.home.parent / f"shop-{number}", f"shop-{number}")
            instance.json("app", "add", str(folder))
            change = instance.ended(instance.submit(f"shop-{number}", INTENT.intent))
            if change["state"] != "promoted":
                raise SystemExit(f"cannot measure: the change ended as {change['state']}: {change['reasons']}")
            changes.append(change)
    finally:
        endpoint.close()
    ours = [_total(change) - sum(step["outside_seconds"] for step in change["steps"]) for change in changes]
    return {
        "ours_seconds": ours,
        "ours_seconds_p50": statistics.median(ours),
        "ours_by_step": _by_step(changes),
        "change_seconds": [_total(change) for change in changes],
    }


def _total(change: Mapping[str, Any]) -> float:
    ended, created = (datetime.fromisoformat(change[key]) for key in ("ended_at", "created_at"))
    return (ended - created).total_seconds()


def _by_step(changes: list[Any]) -> dict[str, float]:
    """The median of Ripple's own seconds in each step, and of those in none."""
    found: dict[str, list[float]] = {}
    for change in changes:
        for step in change["steps"]:
            found.setdefault(step["step"], []).append(step["duration_seconds"] - step["outside_seconds"])
        inside = sum(step["duration_seconds"] for step in change["steps"])
        found.setdefault("between steps", []).append(_total(change) - inside)
    return {name: round(statistics.median(seconds), 4) for name, seconds in found.items()}


def _warm(instance: Instance) -> dict[str, Any]:
    taken, systems_alone = [], []
    with by_hand() as systems:
        systems.start()
        for _ in range(WARM_RUNS):
            instance.down()
            systems_alone.append(systems.start())
            taken.append(_timed(lambda: _up(instance)))
    p50 = statistics.median(taken)
    return {
        "up_command": " ".join(_up_command()),
        "up_warm_seconds": taken,
        "up_warm_seconds_p50": p50,
        "systems_start_seconds": systems_alone,
        "up_to_systems_ratio": p50 / statistics.median(systems_alone),
    }


def _warm_with_applications(instance: Instance) -> dict[str, Any]:
    taken = []
    for _ in range(WARM_RUNS):
        instance.down()
        taken.append(_timed(lambda: _up(instance)))
    services = sum(row["id"].startswith("app.") for row in instance.json("status", check=False)["components"])
    return {"up_with_applications_seconds": taken, "up_with_applications_services": services}


def _up(instance: Instance) -> None:
    # A shell that forbids Python to keep its bytecode would have every run compile the same files again.
    env = {name: value for name, value in instance.env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(_up_command(), env=env, cwd=ROOT, check=True, capture_output=True)


def _up_command() -> tuple[str, ...]:
    """What an operator types; in a checkout that ``./ripple`` has not set up, what it would become."""
    if (ROOT / ".venv" / "ripple.json").exists():
        return (str(ROOT / "ripple"), "up", "--no-models")
    return (sys.executable, "-m", "ripple.surfaces.cli", "up", "--no-models")


def _first_setup() -> float:
    """A fresh clone, an empty HOME, and the one command a newcomer types."""
    with tempfile.TemporaryDirectory(prefix="rpl-") as folder:
        clone, home = Path(folder) / "ripple", Path(folder) / "home"
        home.mkdir()
        subprocess.run(("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)), check=True)
        env = {**os.environ, "HOME": str(home), "RIPPLE_HOME": str(Path(folder) / "r")}
        command = (str(clone / "ripple"), "up", "--no-models")
        took = _timed(lambda: subprocess.run(command, env=env, check=True, capture_output=True))
        subprocess.run((str(clone / "ripple"), "down"), env=env, check=True, capture_output=True)
    return took


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _script(name: str) -> dict[str, Any]:
    done = subprocess.run(
        (sys.executable, str(ROOT / "benchmarks" / name)), capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _policy_p50(report: dict[str, Any]) -> float:
    """The slowest question's median, in seconds."""
    return max(float(one["p50_us"]) for one in report["decide"].values()) / 1e6


if __name__ == "__main__":
    main()
