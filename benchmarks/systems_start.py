"""How long the systems under Ripple take to start when somebody starts them by hand, all at once.

``PYTHONPATH=src python benchmarks/systems_start.py`` prints JSON. nats-server, Temporal and Caddy are started with
the commands of their rows, in folders and on ports of their own, and asked at the same health URLs until each
has answered. No supervisor, API, worker, console or sign-in is part of it. ``spine.py`` does the same in turn
with ``./ripple up``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ripple.model.component import Component
from ripple.stack.components import load_component
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.supervisor import probes
from ripple.supervisor.launch import Launch, resolve
from ripple.supervisor.loopback import free_ports
from ripple.supervisor.templates import Names

SYSTEMS = ("nats", "temporal", "caddy")
RUNS = 5
POLL_SECONDS = 0.01
DEADLINE_SECONDS = 60.0


def main() -> None:
    """Measure and print."""
    with by_hand() as systems:
        systems.start()
        seconds = [systems.start() for _ in range(RUNS)]
    report = {"systems": SYSTEMS, "seconds": seconds, "p50_seconds": statistics.median(seconds), "how": __doc__}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


@dataclass(frozen=True)
class Systems:
    """The three systems with state of their own, which they keep from one start to the next."""

    launches: tuple[Launch, ...]
    folder: Path

    def start(self) -> float:
        """Start all, wait until all answer, stop all; the seconds until the last one answered."""
        began = time.perf_counter()
        processes = [self._started(launch) for launch in self.launches]
        try:
            asyncio.run(self._answer())
            return time.perf_counter() - began
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(DEADLINE_SECONDS)

    def _started(self, launch: Launch) -> subprocess.Popen[bytes]:
        env = {**os.environ, **launch.env}
        log = (self.folder / f"{launch.id}.log").open("wb")
        with log:
            return subprocess.Popen(_bare(launch.command), env=env, stdout=log, stderr=log)

    async def _answer(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*(_answers(launch) for launch in self.launches))


@contextmanager
def by_hand() -> Iterator[Systems]:
    """The systems, not started yet; their folder goes when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="rpl-"))
    try:
        found = load_map(project_root() / "manifests")
        rows = [load_component(found, name) for name in SYSTEMS]
        yield Systems(tuple(_prepared(row, folder) for row in rows), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepared(row: Component, folder: Path) -> Launch:
    state = folder / row.id
    folders = {
        "bin": str(Path(sys.executable).parent),
        "python": sys.executable,
        "home": str(folder),
        "state": str(state),
        "run": str(folder),
    }
    ports = dict(zip(row.ports, free_ports(len(row.ports)), strict=True))
    launch = resolve(row, Names(folders, ports, {row.id: ports}), "")
    state.mkdir()
    for name, text in launch.files.items():
        (state / name).write_text(text)
    return launch


def _bare(command: Sequence[str]) -> Sequence[str]:
    """The system's own command: a row may start it through a small program of ours, which nobody would by hand."""
    folder = Path(sys.executable).parent
    program = next(part for part in command if Path(part).parent == folder and part != sys.executable)
    return command[command.index(program) :]


async def _answers(launch: Launch) -> None:
    if launch.ready is None:
        raise SystemExit(f"{launch.id} has no ready probe, so nobody can tell when it has started")
    while await probes.ask(launch.ready, {}):  # noqa: ASYNC110 (another process: nothing here could wake us)
        await asyncio.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
