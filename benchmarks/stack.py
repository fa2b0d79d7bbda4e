"""How fast the map is read, checked and compared, and how much the supervisor costs.

    ./ripple bench stack --json

- ``load_and_check``: every manifest read and every rule asked, in this process, cold caches excepted.
- ``drift``: document, manifest, lock and installed compared; no instance is needed.
- ``parse``: the same rows read by the parser Ripple uses and by ruamel.yaml, side by side, as a ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from ripple.delivery.stackdocuments import check_stack
from ripple.delivery.stackstate import Stackstate, compare_all
from ripple.model.paths import Home
from ripple.stack.load import load_manifest, load_yaml
from ripple.stack.root import project_root
from ripple.stack.systems import load_map

LIMITS = {"load_and_check": 0.5, "drift": 2.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    for name, one in found["seconds"].items():
        limit = f" (limit {LIMITS[name]:g})" if name in LIMITS else ""
        sys.stdout.write(f"{name:16} {one['median']:8.3f} s  of {one['runs']}{limit}\n")
    sys.stdout.write(f"ruamel.yaml needs {found['ratios']['ruamel_over_ours']:.0f} times as long for the rows\n")


def measure(runs: int) -> dict[str, Any]:
    """Medians in seconds, and the ratio of the two parsers in this run."""
    root = project_root()
    files = sorted((root / "manifests" / "components").glob("*.yaml"))
    with tempfile.TemporaryDirectory(prefix="ripple-bench-") as folder:
        home = Home(Path(folder))

        def drift() -> None:
            anyio.run(compare_all, Stackstate(root, home), None)

        seconds = {
            "load_map": _timed(runs, lambda: load_map(root / "manifests")),
            "load_and_check": _timed(runs, lambda: check_stack(root)),
            "drift": _timed(runs, drift),
            "parse": _timed(runs, lambda: [load_manifest(path) for path in files]),
            "parse_ruamel": _timed(1, lambda: [load_yaml(path) for path in files]),
        }
    ratio = seconds["parse_ruamel"]["median"] / seconds["parse"]["median"]
    rows = len(load_map(root / "manifests").rows)
    return {"rows": rows, "seconds": seconds, "limits": LIMITS, "ratios": {"ruamel_over_ours": ratio}}


def _timed(runs: int, work: Callable[[], object]) -> dict[str, Any]:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return {"median": statistics.median(taken), "min": min(taken), "max": max(taken), "runs": runs}


if __name__ == "__main__":
    main()
