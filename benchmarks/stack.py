"""How fast the map is read, checked and compared, how fast it is installed, and what running it costs.

``./ripple bench stack --json`` runs it; it needs the registries once, to fill a cache.

- ``load_and_check_seconds``: every manifest read and every rule asked, in a process that has its code loaded.
- ``drift_seconds``: document, manifest, lock and installed compared over all rows, with the profile installed.
- ``parse_ratio``: what ruamel.yaml, the parser of before, takes over what is taken now, for the same rows.
- ``install_seconds``: the systems of the laptop profile laid out from a warm cache into an empty prefix.
- ``idle_cpu_share`` and ``killed_to_ready_seconds`` are those of ``benchmarks/supervisor.py``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from benchmarks.supervisor import IDLE_SHARE, idle_share, killed_to_ready

from ripple.delivery.stackdocuments import check_stack
from ripple.delivery.stackstate import Stackstate, compare_all
from ripple.model.paths import Home
from ripple.stack.load import load_manifest, load_yaml
from ripple.stack.root import project_root
from ripple.stack.systems import load_map

ROUNDS = 5
CHECK_SECONDS, DRIFT_SECONDS = 0.5, 2.0


def main() -> None:
    """Measure, and print one JSON document."""
    found = measured()
    wanted = {
        "load_and_check_seconds": (found["load_and_check_seconds"], CHECK_SECONDS),
        "drift_seconds": (found["drift_seconds"], DRIFT_SECONDS),
        "idle_cpu_share": (found["idle_cpu_share"], IDLE_SHARE),
    }
    report = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "claims": [
            {"name": name, "value": round(value, 4), "wanted": f"at most {limit:g}", "reached": value <= limit}
            for name, (value, limit) in wanted.items()
        ],
        "measured": found,
        "how": __doc__,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def measured() -> dict[str, Any]:
    """Every number, in seconds unless its name says otherwise."""
    root = project_root()
    files = sorted((root / "manifests" / "components").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="rpl-bench-") as folder:
        home = Home(Path(folder))
        install = _warm_install(Stackstate(root, home))

        def compare() -> None:
            anyio.run(compare_all, Stackstate(root, home), None)

        found = {
            "rows": len(load_map(root / "manifests").rows),
            "load_and_check_seconds": _median(lambda: check_stack(root)),
            "drift_seconds": _median(compare),
            "install_seconds": install,
            "parse_ratio": _median(lambda: [load_yaml(path) for path in files], 1)
            / _median(lambda: [load_manifest(path) for path in files]),
        }
    return {**found, "idle_cpu_share": idle_share(), "killed_to_ready_seconds": killed_to_ready()}


def _warm_install(state: Stackstate) -> dict[str, float]:
    """Each system of the profile: fetched and installed, removed, and installed again from the cache."""
    seconds = {}
    for system in state.profile_systems():
        anyio.run(state.installer.install, system)
        anyio.run(state.installer.remove, system.id)
        began = time.perf_counter()
        anyio.run(state.installer.install, system)
        seconds[system.id] = time.perf_counter() - began
    return seconds


def _median(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
