"""What the main job costs on this machine, each number beside the limit it is held to.

``./ripple bench spine --json`` runs it; ``--setup`` also times the first set-up in a fresh clone, HOME empty.

- ``ours_seconds``: a promoted change's steps minus models, sandboxed commands, deployments and soak, as the change
  itself records it. The seven voters are loopback endpoints that answer at once.
- ``up_warm_seconds``: ``./ripple up --no-models`` after ``down``, until every component is ready, with the
  interpreter's own start.
- ``idle_rss_bytes`` / ``idle_pss_bytes``: every process of the instance but models and deployed applications, ten
  seconds after it became ready. RSS counts shared pages once per process, PSS once.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from tests.e2e.instance import ROOT, Instance, make_application
from tests.e2e.provider import CLOUD, LOCAL, Endpoint
from tests.unit.examples.answers import known

IDLE_SECONDS = 10.0
WARM_RUNS = 3
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
        found |= _changes(instance, chosen.runs)
        found |= _warm(instance)
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
        instance.up()
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
        "idle_processes": {f"{one.pid} {one.name()}": one.memory_info().rss for one in processes},
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
    ours, total = [], []
    try:
        for name in LOCAL:
            instance.provider(name, endpoint.url, tier="local")
        for name in CLOUD:
            instance.provider(name, endpoint.url)
        for number in range(runs):
            folder = make_application(instance.home.parent / f"shop-{number}", f"shop-{number}")
            instance.json("app", "add", str(folder))
            began = time.perf_counter()
            change = instance.ended(instance.submit(f"shop-{number}", INTENT.intent))
            if change["state"] != "promoted":
                raise SystemExit(f"cannot measure: the change ended as {change['state']}: {change['reasons']}")
            total.append(time.perf_counter() - began)
            ours.append(float(change["ours_seconds"]))
    finally:
        endpoint.close()
    return {"ours_seconds": ours, "ours_seconds_p50": statistics.median(ours), "change_seconds": total}


def _warm(instance: Instance) -> dict[str, Any]:
    taken = []
    for _ in range(WARM_RUNS):
        instance.down()
        taken.append(_timed(instance.up))
    return {"up_warm_seconds": taken, "up_warm_seconds_p50": statistics.median(taken)}


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
    return max(float(one["p50_us"]) for one in report["facade"].values()) / 1e6


if __name__ == "__main__":
    main()
