"""Releases in environments under a real supervisor and a real edge: deployed, taken back, restored."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import insert

from ripple.delivery.edge import Edge
from ripple.delivery.environments import Environments
from ripple.delivery.instances import Target
from ripple.delivery.releases import make_release
from ripple.delivery.repository import Repository
from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest, Canary, EnvironmentOverlay
from ripple.model.component import ComponentState
from ripple.model.digest import Digest
from ripple.model.errors import Refused
from ripple.model.paths import Home
from ripple.model.release import ENVIRONMENTS, DeploymentState, Release
from ripple.planes.objects import Objects
from ripple.planes.records import Records
from ripple.planes.records import tables as t
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.stack.root import project_root
from ripple.supervisor import start
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.lock import holder
from ripple.supervisor.loopback import free_ports
from ripple.supervisor.places import socket_folder

NUMBERS = itertools.count()
CANARY = Canary(weight=50, window_seconds=1, interval_seconds=0.5, min_samples=1)
SERVE = ("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """An instance that runs nothing but the edge, as the laptop profile starts it."""
    root = Path(tempfile.mkdtemp(prefix="rpl-"))
    manifests = root / "manifests"
    (manifests / "profiles").mkdir(parents=True)
    (manifests / "components").mkdir()
    shutil.copy(project_root() / "manifests" / "components" / "07-edge.yaml", manifests / "components")
    (manifests / "profiles" / "edge.yaml").write_text("name: edge\ncomponents: [caddy]\n")
    found = Home(root / "home")
    start.ensure_running(found, "edge", manifests)
    yield found
    start.stop(found)
    shutil.rmtree(root, ignore_errors=True)


@dataclass
class Shop:
    """One application with releases that serve their own word."""

    name: str
    environments: Environments
    repository: Repository
    origin: Path
    records: Records
    objects: Objects

    async def release(self, word: str) -> Release:
        (self.origin / "word").write_text(word)
        git(self.origin, "commit", "-qam", word)
        await self.repository.sync()
        commit = await self.repository.head()
        tree = await self.repository.tree_of(commit)
        wanted = Release(self.name, commit, tree, "sha256:t")
        return await make_release(self.records, self.objects, wanted, self.repository)

    def target(self, release: Release, environment: str, canary: Canary | None = None) -> Target:
        given = {"name": self.name, "test": {"unit": ["true"]}, "run": {"command": SERVE, "ready": {"http": "/"}}}
        manifest = ApplicationManifest.model_validate(given)
        toolchain = Toolchain(Digest("sha256:t"))
        return self.environments.target(
            release, environment, manifest, EnvironmentOverlay(canary=canary), toolchain
        )

    async def runs(self, release: Release, *places: str) -> None:
        for environment in places:
            target = self.target(release, environment)
            await self.environments.deploy(target, self.repository)
            await self.environments.promote(target)

    async def says(self, environment: str) -> str:
        url = await self.environments.url(self.name, environment)
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{url}/word")).text

    async def states(self) -> dict[tuple[str, str], str]:
        rows = await self.environments.table.all(self.name)
        return {(row.environment, row.release): row.state.value for row in rows}


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.invalid")
    subprocess.run(("git", *identity, *arguments), cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def opened(home: Home, folder: Path) -> AsyncIterator[Shop]:
    name = f"shop-{next(NUMBERS)}"
    records = Records.at(home.database)
    await records.open()
    ports = dict(zip(ENVIRONMENTS, free_ports(4), strict=True))
    row = {"name": name, "path": str(folder), "branch": "main", "manifest": {}, "ports": ports, "state": "ready"}
    async with records.write() as connection:
        await connection.execute(insert(t.applications).values(**row, reasons=[], added_at=""))
    (folder / "word").write_text("nothing")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    edge = Edge(socket_folder(home) / "caddy.sock", home.logs / "edge")
    sandbox = Sandbox(BubblewrapSandbox())
    supervisor = SupervisorClient(home)
    await supervisor.wait(["caddy"], ComponentState.READY, 20)
    environments = Environments(records, supervisor, edge, sandbox, home)
    repository = Repository(home.applications / name, folder, "main")
    yield Shop(name, environments, repository, folder, records, Objects.local(home.objects))
    await environments.retire(name)
    await records.close()


Scenario = Callable[[Shop], Awaitable[None]]


@pytest.fixture
def play(home: Home, tmp_path: Path) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with opened(home, tmp_path) as shop:
                await scenario(shop)

        asyncio.run(asyncio.wait_for(main(), 180))

    return run


Play = Callable[[Scenario], None]


def test_a_release_that_is_taken_back_gives_way_to_what_ran_before_and_is_held(play: Play) -> None:
    async def scenario(shop: Shop) -> None:
        old, new = await shop.release("old"), await shop.release("new")
        await shop.runs(old, "dev", "qa")
        await shop.runs(new, "dev", "qa")
        assert await shop.says("qa") == "new"
        for _ in range(2):
            assert await shop.environments.take_back(shop.name, new.digest, "it is bad") == ["qa", "dev"]
        assert [await shop.says(one) for one in ("dev", "qa")] == ["old", "old"]
        with pytest.raises(Refused, match="held: it is bad"):
            await shop.environments.deploy(shop.target(new, "dev"), shop.repository)

    play(scenario)


def test_one_environment_whose_old_release_does_not_start_keeps_no_other_from_being_rolled_back(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ripple.delivery.environments.START_MARGIN_SECONDS", 0.5)

    async def scenario(shop: Shop) -> None:
        old, new = await shop.release("old"), await shop.release("new")
        await shop.runs(old, "dev", "prod")
        await shop.runs(new, "dev", "prod")
        places = shop.environments.places
        launch = places.load(shop.name, "prod", old.digest)
        places.save(launch.model_copy(update={"command": ("false",), "startup_seconds": 1.0}))
        with pytest.raises(Refused, match="goes on running in prod: "):
            await shop.environments.take_back(shop.name, new.digest, "it is bad")
        assert [await shop.says(one) for one in ("dev", "prod")] == ["old", "new"]
        assert (await shop.states())["prod", new.digest] == "stable"
        places.save(launch)
        assert await shop.environments.take_back(shop.name, new.digest, "it is bad") == ["prod", "dev"]
        assert await shop.says("prod") == "old"

    play(scenario)


def test_a_restore_beside_a_deployment_does_not_sweep_it_away(play: Play) -> None:
    async def scenario(shop: Shop) -> None:
        await shop.runs(await shop.release("old"), "dev")
        release = await shop.release("new")
        restores: list[asyncio.Task[None]] = []

        class Interrupted(Repository):
            """Has somebody restore the environments right after it has written a release's files."""

            async def checkout(self, commit: str, target: Path) -> None:
                await super().checkout(commit, target)
                restores.append(asyncio.create_task(shop.environments.restore()))
                await asyncio.wait(restores, timeout=0.4)

        shop.repository = Interrupted(shop.environments.places.releases(shop.name).parent, shop.origin, "main")
        await shop.runs(release, "dev")
        await asyncio.gather(*restores)
        assert await shop.says("dev") == "new"

    play(scenario)


def test_a_canary_that_lost_its_traffic_does_not_get_it_back_by_being_deployed_again(play: Play) -> None:
    async def scenario(shop: Shop) -> None:
        old, new = await shop.release("old"), await shop.release("new")
        await shop.runs(old, "qa")
        target = shop.target(new, "qa", CANARY)
        assert (await shop.environments.deploy(target, shop.repository)).weight == 50
        assert {await shop.says("qa") for _ in range(10)} == {"old", "new"}
        shop.environments.places.progress(shop.name, "qa", new.digest).write_text("{}")
        await shop.environments.divert(target)
        row = await shop.environments.deploy(target, shop.repository)
        assert (row.state, row.weight) == (DeploymentState.CANARY, 0)
        assert {await shop.says("qa") for _ in range(10)} == {"old"}

    play(scenario)


def test_a_deployment_that_was_cut_short_before_its_traffic_gets_it_when_it_goes_on(play: Play) -> None:
    async def scenario(shop: Shop) -> None:
        old, new = await shop.release("old"), await shop.release("new")
        await shop.runs(old, "qa")
        target = shop.target(new, "qa", CANARY)
        row = await shop.environments.deploy(target, shop.repository)
        await shop.environments.table.put(replace(row, weight=0))
        assert (await shop.environments.deploy(target, shop.repository)).weight == 50

    play(scenario)


def test_a_port_that_was_taken_while_the_edge_was_down_moves_one_environment_and_stops_none(
    play: Play, home: Home
) -> None:
    async def scenario(shop: Shop) -> None:
        release = await shop.release("new")
        await shop.runs(release, "dev", "qa")
        before = await shop.environments.table.ports()
        taken = before[shop.name, "dev"]
        caddy = await _pid(SupervisorClient(home))
        with socket.socket() as foreign:
            foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with _halted(int(holder(home))):  # or it brings Caddy back before the port is taken
                os.kill(caddy, signal.SIGKILL)
                await _bound(foreign, taken)
                foreign.listen()
            await asyncio.wait_for(_served(shop, "qa"), 60)
            await shop.environments.restore()
            after = await shop.environments.table.ports()
            assert {place for place in before if before[place] != after[place]} == {(shop.name, "dev")}
            assert [await shop.says(one) for one in ("dev", "qa")] == ["new", "new"]

    play(scenario)


async def _pid(supervisor: SupervisorClient) -> int:
    rows = {row.id: row.pid for row in (await supervisor.status()).components}
    pid = rows["caddy"]
    assert pid, "Caddy does not run; a signal to process 0 would end the tests themselves"
    return pid


@contextmanager
def _halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 30
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _bound(foreign: socket.socket, port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            foreign.bind(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        else:
            return


async def _served(shop: Shop, environment: str) -> None:
    while True:
        try:
            assert await shop.says(environment) == "new"
        except httpx.HTTPError:
            await asyncio.sleep(0.05)
        else:
            return
