"""A real supervisor of small real processes, in a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from ruamel.yaml import YAML

from ripple.model.component import Component, ComponentState, ComponentStatus, Probe, Status
from ripple.model.paths import Home
from ripple.supervisor import start
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.lock import holder
from ripple.supervisor.process import marked, tag_of

SERVICE = Path(__file__).parent / "service.py"
T = TypeVar("T")


class Instance:
    """One home, its manifests, and what can be asked of its supervisor."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = Home(root / "home")
        self.manifests = root / "manifests"
        for name in ("components", "profiles"):
            (self.manifests / name).mkdir(parents=True)

    def row(self, name: str, *options: str, **given: Any) -> dict[str, Any]:
        """A row for the service in its own folder, with a port and a quick ready probe."""
        folder = self.folder(name)
        folder.mkdir(exist_ok=True)
        return {
            "id": name,
            "name": f"Test service {name}",
            "version": "1",
            "command": [sys.executable, "-I", "-S", str(SERVICE), "{ports.http}", str(folder), *options],
            "ports": ["http"],
            "endpoints": {"http": "http://127.0.0.1:{ports.http}"},
            "ready": {"kind": "http", "target": "http://127.0.0.1:{ports.http}/"},
            "restart": {"initial_seconds": 0.05, "max_seconds": 0.2},
            "stop_seconds": 2.0,
            **given,
        }

    def folder(self, name: str) -> Path:
        """Where the service ``name`` looks for its orders."""
        return self.root / name

    def write(self, *rows: dict[str, Any], profile: str = "small", **given: Any) -> None:
        """Make the rows a profile; a row's ``memory_mib`` and ``routes`` are what its system states."""
        layer = {"id": "1.9", "name": "Test", "purpose": "rows of a test"}
        systems = [system(row) for row in rows]
        self._dump(self.manifests / "components" / "09-test.yaml", {"layer": layer, "systems": systems})
        self.profile(profile, *(row["id"] for row in rows), **given)

    def profile(self, name: str, *components: str, **given: Any) -> None:
        """A profile of rows that are written already."""
        content = {"name": name, "components": list(components), **given}
        self._dump(self.manifests / "profiles" / f"{name}.yaml", content)

    def up(self, *, ready: bool = True, profile: str = "small") -> Status:
        """Have the supervisor run; with ``ready`` wait for every component of it."""
        start.ensure_running(self.home, profile, self.manifests)
        if ready:
            names = [one.id for one in self.status().components]
            self.call(lambda client: client.wait(names, ComponentState.READY, 90))
        return self.status()

    def call(self, question: Callable[[SupervisorClient], Awaitable[T]]) -> T:
        """One call of the client."""

        async def ask() -> T:
            return await question(SupervisorClient(self.home))

        return anyio.run(ask)

    def status(self) -> Status:
        return self.call(lambda client: client.status())

    def of(self, name: str) -> ComponentStatus:
        return next(one for one in self.status().components if one.id == name)

    def starts(self, name: str) -> list[int]:
        """The pids of every start of a service."""
        file = self.folder(name) / "starts"
        return [int(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def daemon(self) -> int:
        """The supervisor's pid."""
        return int(holder(self.home))

    def kill_daemon(self) -> None:
        pid = self.daemon
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), "the daemon is gone")

    def processes(self) -> list[int]:
        """Every process of this home that carries its mark."""
        return [pid for pid, _ in marked(tag_of(self.home))]

    @staticmethod
    def _dump(path: Path, value: Any) -> None:
        with path.open("w") as file:
            YAML(typ="safe", pure=True).dump(value, file)


def extra(instance: Instance, name: str, *options: str, **given: object) -> Component:
    """A component added while the instance runs; it serves on a unix socket, as instances of applications do."""
    folder = instance.folder(name)
    folder.mkdir(exist_ok=True)
    socket_path = folder / "s"
    probe = Probe(kind="http", target=f"http+unix://{socket_path}|/healthz")
    command = (sys.executable, "-I", "-S", str(SERVICE), str(socket_path), str(folder), *options)
    row = {"id": name, "name": name, "command": command, "sockets": (str(socket_path),), "ready": probe, **given}
    return Component.model_validate(row)


def system(row: dict[str, Any]) -> dict[str, Any]:
    """The system that runs as ``row``."""
    given = {key: value for key, value in row.items() if key not in ("memory_mib", "name", "routes")}
    return {
        "id": row["id"],
        "name": row.get("name", row["id"]),
        "kind": "server",
        "role": "r",
        "status": "default",
        "summary": "a row of a test",
        "answers": {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "take it out"},
        "external": {"why": "made for this test", "covered_by": "nothing yet"},
        "routes": row.get("routes", []),
        "resources": {"memory_mib": row.get("memory_mib", 0)},
        "run": given,
    }


def until(found: Callable[[], Any], what: str, seconds: float = 15) -> Any:
    """The first true answer of ``found``; fails naming ``what`` after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


@pytest.fixture
def instance() -> Iterator[Instance]:
    root = Path(tempfile.mkdtemp(prefix="rps-"))
    made = Instance(root)
    yield made
    start.stop(made.home)
    left = made.processes()
    shutil.rmtree(root, ignore_errors=True)
    assert left == [], "no process of the home is left"
