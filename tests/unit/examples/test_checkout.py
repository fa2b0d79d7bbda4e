"""The example application is real, fast to start, and its known answers do what their names say."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.unit.examples.answers import NAMES, apply, known

from ripple.model.application import ApplicationManifest, EnvironmentOverlay
from ripple.model.release import ENVIRONMENTS
from ripple.stack.load import load_yaml, parse

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "checkout"
MANIFEST = parse(ApplicationManifest, load_yaml(EXAMPLE / "ripple.app.yaml"), "ripple.app.yaml")
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "checkout", ignore=IGNORED))


def runs(tree: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable if command[0] == "python" else command[0], *command[1:]]
    # Ripple's own pytest plugins are not in the application's toolchain.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        argv, cwd=tree, env=environment, text=True, capture_output=True, timeout=120, check=False
    )


@contextmanager
def served(tree: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The service of ``tree``: its address and its process."""
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "CHECKOUT_ENVIRONMENT": "qa"}
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "checkout"], cwd=tree, env=environment) as service:
        try:
            yield ready(f"http://127.0.0.1:{port}", started), psutil.Process(service.pid)
        finally:
            service.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(url: str, started: float) -> str:
    while time.monotonic() < started + 20:
        try:
            with urllib.request.urlopen(f"{url}{MANIFEST.run.ready.http}", timeout=1):
                return url
        except OSError:
            time.sleep(0.01)
    raise AssertionError(f"{url} did not become ready")


def ask(url: str) -> tuple[int, float]:
    started = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            answer.read()
            return answer.status, time.monotonic() - started
    except urllib.error.HTTPError as refused:
        return refused.code, time.monotonic() - started


def shipping(url: str, items: str) -> int:
    with urllib.request.urlopen(f"{url}/quote?items={items}", timeout=5) as answer:
        return int(json.load(answer)["shipping_cents"])


def test_every_environment_has_an_overlay_that_parses() -> None:
    for name in ENVIRONMENTS:
        overlay = parse(EnvironmentOverlay, load_yaml(EXAMPLE / "environments" / f"{name}.yaml"), name)
        assert overlay.env["CHECKOUT_ENVIRONMENT"] == name
        assert (overlay.canary is None) == (name == "dev")


def test_the_whole_way_to_prod_takes_well_under_a_minute_of_waiting() -> None:
    overlays = [
        parse(EnvironmentOverlay, load_yaml(EXAMPLE / "environments" / f"{name}.yaml"), name)
        for name in ENVIRONMENTS
    ]
    assert sum(o.canary.window_seconds + o.canary.soak_seconds for o in overlays if o.canary) <= 20


def test_its_own_commands_pass_as_the_manifest_gives_them(tree: Path) -> None:
    assert MANIFEST.build is not None
    for command in (MANIFEST.build.command, MANIFEST.test.unit, MANIFEST.test.integration):
        finished = runs(tree, command)
        assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_copy_becomes_a_repository_of_its_own(tree: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    for step in (("init", "-q", "-b", "main"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        assert runs(tree, ("git", *step)).returncode == 0
    assert runs(tree, ("git", "status", "--porcelain")).stdout == ""


def test_it_starts_fast_and_small_and_answers_its_load_paths() -> None:
    with served(EXAMPLE) as (url, process):
        assert all(ask(f"{url}{path}")[0] == 200 for path in (*MANIFEST.load.paths, MANIFEST.metrics.path))
        assert process.memory_info().rss < 60 << 20
        assert sum(process.cpu_times()[:2]) < 2, "0.2 s of processor time"


def test_the_words_of_a_quote_hold_what_the_evals_expect() -> None:
    evals = load_yaml(EXAMPLE / "promptfooconfig.yaml")
    command = tuple(evals["providers"][0].removeprefix("exec:").split())
    checks = {
        "contains": lambda text, v: v in text,
        "not-contains": lambda text, v: v not in text,
        "equals": str.__eq__,
    }
    for case in evals["tests"]:
        said = runs(EXAMPLE, (*command, case["vars"]["basket"])).stdout.strip()
        assert all(checks[check["type"]](said, check["value"]) for check in case["assert"]), (case, said)


def test_shipping_at_the_threshold_is_the_known_bug_and_the_answer_repairs_it(tree: Path) -> None:
    with served(tree) as (url, _):
        assert shipping(url, "mug:4") == 590
    apply(known("free-shipping").answer, tree)
    with served(tree) as (url, _):
        assert (shipping(url, "mug:4"), shipping(url, "mug:3")) == (0, 590)


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_applies_and_passes_or_fails_the_tests_as_meant(tree: Path, name: str) -> None:
    apply(known(name).answer, tree)
    passes = name not in {"free-shipping-wrong", "quantity-limit-outside-its-schema"}
    assert (runs(tree, MANIFEST.test.unit).returncode == 0) == passes


def test_the_raised_limit_is_really_used(tree: Path) -> None:
    with served(tree) as (url, _):
        assert ask(f"{url}/quote?items=notebook:50")[0] == 422
    apply(known("quantity-limit").answer, tree)
    with served(tree) as (url, _):
        assert ask(f"{url}/quote?items=notebook:50")[0] == 200


def test_the_slow_answer_is_fast_alone_and_breaks_the_limit_under_load(tree: Path) -> None:
    apply(known("slow-under-load").answer, tree)
    limit = MANIFEST.slo.latency_p95_seconds_max
    with served(tree) as (url, _), ThreadPoolExecutor(12) as crowd:
        # The fastest of a few: each of them may wait for a busy machine, and so few are no load.
        assert min(ask(f"{url}/quote?items=mug:1")[1] for _ in range(5)) < limit
        seconds = sorted(took for _, took in crowd.map(ask, [f"{url}/quote?items=mug:1"] * 36))
        assert seconds[len(seconds) // 2] > limit


def test_the_failing_answer_is_good_at_first_and_then_only_fails(tree: Path) -> None:
    apply(known("fails-after-a-while").answer, tree)
    assert runs(tree, MANIFEST.test.integration).returncode == 0
    with served(tree) as (url, _):
        statuses = [ask(f"{url}/quote?items=mug:1")[0] for _ in range(105)]
    assert set(statuses[:100]) == {200}
    assert set(statuses[100:]) == {500}
