"""What the supervisor itself costs, and how soon a killed component is back.

``./ripple bench supervisor --json`` runs it, on loopback alone and in a folder of its own; it ends within minutes.

- ``idle_cpu_share``: the processor time the supervisor takes of one core in ``IDLE_SECONDS``, once ten components
  are ready and nobody asks it anything. Each has a ready and a live probe over HTTP that ask for different things,
  every two and every three seconds.
- ``killed_to_ready_seconds``: per component of the laptop profile, from SIGKILL until the supervisor says that its
  new process is ready, the median of ``ROUNDS``. Its back-off and its own start are a part of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
from tests.unit.supervisor import conftest

from ripple.model.component import ComponentState
from ripple.model.paths import Home
from ripple.supervisor import start
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.lock import holder

COMPONENTS = 10
SETTLE_SECONDS = 3.0
IDLE_SECONDS = 30.0
ROUNDS = 3
READY_SECONDS = 60.0
POLL_SECONDS = 0.005
IDLE_SHARE = 0.01


def main() -> None:
    """Measure, and print one JSON document."""
    share = idle_share()
    back = killed_to_ready()
    report = {
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "claims": [
            {
                "name": "idle_cpu_share",
                "value": round(share, 5),
                "wanted": f"at most {IDLE_SHARE:g}",
                "reached": share <= IDLE_SHARE,
            }
        ],
        "measured": {"idle_cpu_share": share, "killed_to_ready_seconds": back},
        "how": __doc__,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def idle_share() -> float:
    """The share of one core that a supervisor of ten idle components takes."""
    with _folder() as folder:
        instance = conftest.Instance(folder)
        instance.write(*(_row(instance, f"c{number}") for number in range(COMPONENTS)))
        try:
            instance.up()
            time.sleep(SETTLE_SECONDS)
            daemon = psutil.Process(instance.daemon)
            began, before = time.monotonic(), daemon.cpu_times()
            time.sleep(IDLE_SECONDS)
            passed, after = time.monotonic() - began, daemon.cpu_times()
        finally:
            start.stop(instance.home)
    return float(after.user + after.system - before.user - before.system) / passed


def killed_to_ready() -> dict[str, float]:
    """The seconds until a killed component of the laptop profile is ready again, by component."""
    with _folder() as folder:
        home = Home(folder / "home")
        try:
            start.ensure_running(home, "laptop")
            names = [one.id for one in anyio.run(SupervisorClient(home).status).components]
            anyio.run(SupervisorClient(home).wait, names, ComponentState.READY, READY_SECONDS)
            return {name: statistics.median(_back(home, name) for _ in range(ROUNDS)) for name in names}
        finally:
            start.stop(home)


def _back(home: Home, name: str) -> float:
    before = _of(home, name)
    began = time.monotonic()
    os.kill(before["pid"], signal.SIGKILL)
    while time.monotonic() - began < READY_SECONDS:
        found = _of(home, name)
        if found["pid"] not in (None, before["pid"]) and found["state"] == ComponentState.READY:
            return time.monotonic() - began
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"{name} was not ready {READY_SECONDS:g} s after it was killed; pid {holder(home)} says why")


def _of(home: Home, name: str) -> dict[str, Any]:
    found = anyio.run(SupervisorClient(home).status)
    return next(one.model_dump() for one in found.components if one.id == name)


def _row(instance: conftest.Instance, name: str) -> dict[str, Any]:
    row = instance.row(name)
    live = {"kind": "http", "target": "http://127.0.0.1:{ports.http}/live", "period_seconds": 3}
    return {**row, "live": live}


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rpl-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
