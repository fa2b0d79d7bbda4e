"""The real systems of the laptop profile under the real supervisor."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import nats
import psutil
import pytest
from temporalio.client import Client
from tests.unit.supervisor.conftest import Instance, alive, instance, until

from ripple.model.component import ComponentState
from ripple.stack.root import project_root
from ripple.stack.systems import load_map
from ripple.supervisor import start
from ripple.supervisor.places import control_socket

__all__ = ["instance"]
PROGRAMS = {
    "nats": ("nats-server", "--version"),
    "temporal": ("temporal", "--version"),
    "caddy": ("caddy", "version"),
}
SYSTEMS = tuple(PROGRAMS)
pytestmark = pytest.mark.live


@pytest.fixture
def systems(instance: Instance) -> Iterator[Instance]:
    """The three systems, ready; Ripple's own processes are left out."""
    for name, (program, _) in PROGRAMS.items():
        if not (Path(sys.executable).parent / program).exists():
            pytest.skip(f"not run: {name} is not installed; run ./ripple test")
        source = load_map(project_root() / "manifests").component(name)
        assert source is not None, name
        shutil.copy(source.file, instance.manifests / "components" / source.file.name)
    profile = {"name": "systems", "components": list(SYSTEMS)}
    (instance.manifests / "profiles" / "systems.yaml").write_text(json.dumps(profile))
    instance.up(profile="systems")
    yield instance


async def use(instance: Instance) -> None:
    """Each system does its work: an event with an acknowledgement, a namespace that answers, a configuration."""
    ports = json.loads(instance.home.endpoints.read_text())
    connection = await nats.connect(f"nats://127.0.0.1:{ports['nats']['client']}")
    stream = connection.jetstream()
    await stream.add_stream(name="s", subjects=["s.>"])
    assert (await stream.publish("s.one", b"x")).seq >= 1
    await connection.close()
    client = await Client.connect(f"127.0.0.1:{ports['temporal']['grpc']}")
    assert (await client.count_workflows()).count == 0
    transport = httpx.AsyncHTTPTransport(uds=str(control_socket(instance.home).parent / "caddy.sock"))
    async with httpx.AsyncClient(transport=transport) as admin:
        assert (await admin.get("http://edge/config/")).status_code == 200


def test_the_systems_run_under_their_true_names_survive_the_supervisor_and_leave_nothing(
    systems: Instance,
) -> None:
    shown = {one.id: one for one in systems.status().components}
    for name, (program, question) in PROGRAMS.items():
        command = (Path(sys.executable).parent / program, question)
        said = subprocess.run(command, capture_output=True, text=True, env={"HOME": str(systems.root)}, timeout=30)
        assert shown[name].version in said.stdout + said.stderr
    anyio.run(use, systems)
    before = {name: one.pid for name, one in shown.items()}
    systems.kill_daemon()
    anyio.run(use, systems)
    assert {one.id: one.pid for one in systems.up(profile="systems").components} == before
    start.stop(systems.home)
    assert not any(alive(pid or 0) for pid in before.values())


def kill_and_wait(instance: Instance, name: str) -> None:
    before = instance.of(name)
    os.kill(before.pid or 0, signal.SIGKILL)
    until(lambda: instance.of(name).pid not in (None, before.pid), f"a new {name}")
    instance.call(lambda client: client.wait([name], ComponentState.READY, 90))
    assert instance.of(name).endpoints == before.endpoints


def test_each_system_comes_back_from_a_kill_with_what_it_knew(systems: Instance) -> None:
    anyio.run(use, systems)
    for name in SYSTEMS:
        kill_and_wait(systems, name)
    ports = json.loads(systems.home.endpoints.read_text())

    async def remembered() -> int:
        connection = await nats.connect(f"nats://127.0.0.1:{ports['nats']['client']}")
        found = (await connection.jetstream().stream_info("s")).state.messages
        await connection.close()
        return found

    assert anyio.run(remembered) == 1
    anyio.run(use, systems)


def idling(process: psutil.Process) -> float:
    """The share of a core that the process uses while nothing is asked of it."""
    before, began = process.cpu_times(), time.monotonic()
    until(lambda: time.monotonic() - began > 3, "three idle seconds")
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / (time.monotonic() - began)


def test_nothing_is_open_to_others_and_idling_costs_next_to_nothing(systems: Instance) -> None:
    ports = json.loads(systems.home.endpoints.read_text())
    for name in SYSTEMS:
        process = psutil.Process(systems.of(name).pid or 0)
        opened = [one.laddr for one in process.net_connections("tcp") if one.status == "LISTEN"]
        assert all(address.ip == "127.0.0.1" for address in opened), (name, opened)
        if name != "temporal":
            # Temporal's inner services take three more loopback ports that no option names.
            assert {address.port for address in opened} == set(ports.get(name, {}).values())
    daemon = psutil.Process(systems.daemon)
    assert daemon.memory_info().rss < 80 * 10**6
    # The calmest of three: a machine that is busy elsewhere makes the same work cost more.
    assert min(idling(daemon) for _ in range(3)) < 0.05
