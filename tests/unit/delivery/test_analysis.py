"""Watching a canary through a real Caddy: faults are seen in seconds, crashes lose nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import insert
from tests.unit.delivery.conftest import Caddy, Instance

from ripple.delivery.analysis import Progress, run_canary
from ripple.delivery.deployments import Deployments
from ripple.delivery.environments import Environments
from ripple.delivery.instances import Places, Target
from ripple.delivery.samples import AccessLog, Sample
from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest, Canary, EnvironmentOverlay, Load, Slo
from ripple.model.digest import Digest
from ripple.model.errors import Unavailable
from ripple.model.gate import Verdict
from ripple.model.paths import Home
from ripple.model.release import Deployment, DeploymentState, Release
from ripple.planes.records import Records
from ripple.planes.records import tables as t
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox
from ripple.supervisor.client import SupervisorClient

MANIFEST = ApplicationManifest.model_validate(
    {
        "name": "shop",
        "test": {"unit": ["true"]},
        "run": {"command": ["true"], "ready": {"http": "/"}},
        "load": Load(rate_per_second=100, paths=("/", "/two")).model_dump(),
        "slo": Slo(error_rate_max=0.01, latency_p95_seconds_max=0.25).model_dump(),
    }
)
PLAN = Canary(weight=20, window_seconds=3, interval_seconds=0.5, min_samples=20)
LONG = PLAN.model_copy(update={"window_seconds": 60})
FEW = PLAN.model_copy(update={"min_samples": 5})
PATIENT = EnvironmentOverlay(canary=FEW, slo=Slo(error_rate_max=0.01, latency_p95_seconds_max=5))
"""For where latency is not the point: a busy machine sends fewer requests and answers some of them late."""
OLD = Release("shop", "c" * 40, "a" * 40, "x")
NEW = Release("shop", "d" * 40, "b" * 40, "x")


@dataclass
class Stage:
    """One environment with a stable instance and a canary."""

    environments: Environments
    target: Target
    stable: Instance
    canary: Instance
    samples: list[Mapping[str, Any]]

    async def keep(self, sample: Mapping[str, Any]) -> None:
        self.samples.append(sample)

    @property
    def patient(self) -> Target:
        """The canary's target under :data:`PATIENT`."""
        return replace(self.target, overlay=PATIENT)

    @property
    def progress(self) -> Path:
        return self.environments.places.progress("shop", "staging", NEW.digest)


@pytest.fixture
def pair(short: Path) -> Iterator[tuple[Instance, Instance]]:
    places = Places(Home(short))
    made = []
    for name, release in (("stable", OLD), ("canary", NEW)):
        socket = places.socket("shop", "staging", release.digest)
        socket.parent.mkdir(parents=True)
        made.append(Instance(socket, name))
    yield made[0], made[1]
    for one in made:
        one.stop()


@asynccontextmanager
async def staged(caddy: Caddy, port: int, pair: tuple[Instance, Instance]) -> AsyncIterator[Stage]:
    home = Home(caddy.folder)
    records = Records.at(home.database)
    await records.open()
    row = {"name": "shop", "path": "/", "branch": "main", "manifest": {}, "ports": {"staging": port}}
    async with records.write() as connection:
        await connection.execute(insert(t.applications).values(**row, state="ready", reasons=[], added_at=""))
    await Deployments(records).put(
        Deployment("shop", "staging", OLD.digest, DeploymentState.STABLE, "app.old", 100, "c", ""),
        Deployment("shop", "staging", NEW.digest, DeploymentState.CANARY, "app.new", PLAN.weight, "d", ""),
    )
    sandbox = Sandbox(BubblewrapSandbox())
    environments = Environments(records, SupervisorClient(home), caddy.edge, sandbox, home)
    await environments.route()
    target = environments.target(
        NEW, "staging", MANIFEST, EnvironmentOverlay(canary=PLAN), Toolchain(Digest("sha256:x"))
    )
    yield Stage(environments, target, *pair, samples=[])
    await records.close()


Scenario = Callable[[Stage], Any]


@pytest.fixture
def play(caddy: Caddy, port: int, pair: tuple[Instance, Instance]) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def whole() -> None:
            async with staged(caddy, port, pair) as stage:
                await scenario(stage)

        anyio.run(whole)

    return run


def test_a_good_canary_passes_at_the_end_of_its_window(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        start = time.monotonic()
        found = await run_canary(stage.environments, stage.patient, FEW, stage.keep)
        assert found.verdict is Verdict.PASS, found
        assert 3 <= time.monotonic() - start < 30
        assert found.baseline is not None
        assert found.canary.requests >= FEW.min_samples
        assert 3 <= found.baseline.requests / found.canary.requests <= 5, "weights hold"
        assert stage.samples[-1]["verdict"] == "pass"
        assert all(sample["verdict"] == "inconclusive" for sample in stage.samples[:-1])
        again = await run_canary(stage.environments, stage.patient, FEW, stage.keep)
        assert again == found, "a finished window is not watched again"

    play(scenario)


@pytest.mark.parametrize("fault", [(500, 0.0), (200, 0.4)], ids=["errors", "slowness"])
def test_a_fault_after_a_good_while_is_seen_within_seconds(
    play: Callable[[Scenario], None], fault: tuple[int, float]
) -> None:
    faulty_at = time.monotonic() + 4

    async def scenario(stage: Stage) -> None:
        stage.canary.answer = lambda path: fault if time.monotonic() > faulty_at else (200, 0.0)
        failing_at: list[float] = []

        async def keep(sample: Mapping[str, Any]) -> None:
            await stage.keep(sample)
            if sample["verdict"] == "fail":
                failing_at.append(time.monotonic())

        found = await run_canary(stage.environments, stage.target, LONG, keep)
        assert found.verdict is Verdict.FAIL
        assert time.monotonic() - faulty_at < 40, "long before the end of its window"
        assert time.monotonic() - failing_at[0] < 10, "from the failing sample on"
        canary = await stage.environments.canary("shop", "staging")
        assert canary is not None
        assert canary.weight == 0, "it lost its traffic at once"
        served = stage.canary.served
        for _ in range(5):
            await anyio.sleep(0)
        assert stage.canary.served <= served + 4

    play(scenario)


def test_a_fault_that_only_shows_under_load_is_found_by_the_load(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.canary.answer = lambda path: (500 if stage.canary.served > 10 and path == "/two" else 200, 0.0)
        found = await run_canary(stage.environments, stage.patient, LONG, stage.keep)
        assert found.verdict is Verdict.FAIL
        assert "failed" in found.reasons[0]

    play(scenario)


def test_a_canary_that_dies_fails(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.canary.path.unlink()
        found = await run_canary(stage.environments, stage.target, LONG, stage.keep)
        assert found.verdict is Verdict.FAIL
        assert found.canary.errors == found.canary.requests
        assert found.elapsed_seconds < LONG.window_seconds
        stage.canary.path.touch()

    play(scenario)


def test_a_watch_that_was_killed_goes_on_with_the_same_log(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        watching = anyio.CancelScope()

        async def keep_two(sample: Mapping[str, Any]) -> None:
            await stage.keep(sample)
            if len(stage.samples) == 2:
                watching.cancel()

        with watching:
            await run_canary(stage.environments, stage.patient, FEW, keep_two)
        before = Progress.load(stage.progress)
        assert before is not None
        assert 0 < before.elapsed_seconds < 3
        counted = stage.samples[-1]["canary"]["requests"]
        found = await run_canary(stage.environments, stage.patient, FEW, stage.keep)
        assert found.verdict is Verdict.PASS
        assert stage.samples[2]["elapsed_seconds"] > before.elapsed_seconds
        assert stage.samples[-1]["elapsed_seconds"] >= 3
        assert found.canary.requests > counted

    play(scenario)


def test_too_little_traffic_is_inconclusive_at_the_end(play: Callable[[Scenario], None]) -> None:
    async def scenario(stage: Stage) -> None:
        plan = PLAN.model_copy(update={"window_seconds": 0.6, "min_samples": 10_000})
        found = await run_canary(stage.environments, stage.target, plan, stage.keep)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "10000 are needed" in found.reasons[0]
        assert found.elapsed_seconds >= 2 * plan.window_seconds, "it was looked at once more"

    play(scenario)


@pytest.mark.parametrize(("later_slow", "verdict"), [(0, Verdict.PASS), (2, Verdict.FAIL)])
def test_a_hiccup_at_the_end_gets_a_second_look_and_only_a_lasting_fault_fails(
    play: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch, later_slow: int, verdict: Verdict
) -> None:
    plan = PLAN.model_copy(update={"window_seconds": 0.8, "interval_seconds": 0.1, "min_samples": 1})

    async def scenario(stage: Stage) -> None:
        def logged(log: AccessLog) -> list[Sample]:
            """One slow request of at most 18, then twenty at a time."""
            first, over = not stage.samples, len(stage.samples) >= len(before) > 0
            count, slow = (20, later_slow) if over else (2, int(first))
            taken = [1.0] * slow + [0.01] * (count - slow)
            return [Sample(time.time(), str(stage.canary.path), 200, seconds) for seconds in taken]

        before: list[Mapping[str, Any]] = []

        async def keep(sample: Mapping[str, Any]) -> None:
            await stage.keep(sample)
            if sample["elapsed_seconds"] >= plan.window_seconds and not before:
                before.extend(stage.samples)

        monkeypatch.setattr(AccessLog, "read", logged)
        found = await run_canary(stage.environments, stage.target, plan, keep)
        assert before[-1]["verdict"] == "inconclusive"
        assert found.verdict is verdict
        assert stage.samples[-1]["verdict"] == verdict.value

    play(scenario)


def test_an_error_of_the_caller_leaves_the_watch_as_it_is(play: Callable[[Scenario], None]) -> None:
    async def refuse(sample: Mapping[str, Any]) -> None:
        raise Unavailable("the database is away")

    async def scenario(stage: Stage) -> None:
        with pytest.raises(Unavailable):
            await run_canary(stage.environments, stage.target, PLAN, refuse)

    play(scenario)
