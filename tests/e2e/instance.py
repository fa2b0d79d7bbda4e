"""A real instance of Ripple in a folder of its own, driven through its command line and its API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx

from ripple.model.errors import RippleError
from ripple.model.paths import Home
from ripple.supervisor.client import SupervisorClient
from ripple.surfaces.cli.client import Api

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "checkout"


class Instance:
    """``./ripple`` of one checkout against one RIPPLE_HOME."""

    def __init__(self, home: Path, checkout: Path = ROOT) -> None:
        self.home = home
        self._checkout = checkout
        self.env = {**os.environ, "RIPPLE_HOME": str(home), "PYTHONPATH": str(checkout / "src")}
        self.link = ""
        self._asked: Api | None = None

    def run(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """One command; its output on failure is in the assertion."""
        command = (sys.executable, "-m", "ripple.surfaces.cli", *arguments)
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=timeout, cwd=self._checkout
        )
        if check:
            assert done.returncode == 0, f"{arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, check: bool = True, timeout: float = 300) -> Any:
        """One command's JSON."""
        return json.loads(self.run(*arguments, "--json", check=check, timeout=timeout).stdout)

    def up(self) -> dict[str, Any]:
        """Start it without local models."""
        found: dict[str, Any] = self.json("up", "--no-models")
        self.link = found["link"]
        return found

    def down(self) -> None:
        """Stop it."""
        self.run("down", check=False)

    @property
    def api(self) -> httpx.Client:
        """A client of the API as the local operator."""
        port = json.loads((self.home / "run" / "ports.json").read_text())["api"]["http"]
        token = (self.home / "run" / "operator.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False)

    def pid(self, component: str) -> int:
        """The pid of a running component; 0 without one."""
        with contextlib.suppress(RippleError):
            status = anyio.run(SupervisorClient(Home(self.home)).status)
            return next((row.pid or 0 for row in status.components if row.id == component), 0)
        return 0

    def running(self, component: str) -> int:
        """The pid of a component as soon as it runs; never 0, which would name our own process group."""
        return int(until(lambda: self.pid(component), f"{component} runs"))

    def seen(self, path: str) -> Any:
        """What the API answers just now; None while it cannot, to be asked again."""
        try:
            self._asked = self._asked or Api(Home(self.home))
            return self._asked.get(path)
        except RippleError as error:
            self._asked = None  # the API may come back on another port
            if not error.retryable:
                raise
            return None

    def provider(self, name: str, url: str, *, tier: str = "cloud", weight: float = 1.0) -> None:
        """Configure a model endpoint, as the console's form does."""
        row = {"name": name, "tier": tier, "base_url": url, "model": name, "weight": weight}
        answer = self.api.post("/api/providers", json=row)
        assert answer.status_code == 201, answer.text

    def submit(self, app: str, intent: str, *extra: str) -> str:
        """Ask for a change; its id."""
        found = self.json("change", "submit", "--app", app, "--intent", intent, *extra)
        return str(found["id"])

    def ended(self, change: str, seconds: float = 240) -> dict[str, Any]:
        """A change after its end, with everything kept of it."""
        found: dict[str, Any] = self.json(
            "change", "wait", change, "--timeout", str(seconds), timeout=seconds + 30
        )
        return found


def make_application(folder: Path, name: str = "checkout", edit: Callable[[Path], None] | None = None) -> Path:
    """A Git repository with the example in it, under another name if asked."""
    ignore = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLE, folder, ignore=ignore)
    manifest = folder / "ripple.app.yaml"
    manifest.write_text(manifest.read_text().replace("name: checkout", f"name: {name}"))
    if edit:
        edit(folder)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "The example as it comes"]):
        git(folder, *command)
    return folder


def short_windows(root: Path) -> None:
    """Canaries of two seconds that forgive a busy machine, for tests that are about something else."""
    for name in ("qa", "staging", "prod"):
        (root / "environments" / f"{name}.yaml").write_text(
            "canary: {weight: 50, window_seconds: 2, interval_seconds: 0.5, min_samples: 1}\n"
            "slo: {error_rate_max: 0.01, latency_p95_seconds_max: 10}\n"
            f"env: {{CHECKOUT_ENVIRONMENT: {name}}}\n"
        )


def git(folder: Path, *arguments: str) -> str:
    """The output of one git command."""
    identity = ("-c", "user.name=Operator", "-c", "user.email=operator@example.invalid")
    done = subprocess.run(("git", *identity, *arguments), cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def until(found: Callable[[], Any], what: str, seconds: float = 60, every: float = 0.05) -> Any:
    """The first true answer of ``found``, asked ``every`` so many seconds; fails naming ``what`` in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {seconds} s")
