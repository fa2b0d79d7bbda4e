"""Killed at every step boundary of a change: the same outcome, and no effect twice."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.instance import Instance, git, make_application, short_windows, until
from tests.e2e.provider import CLOUD, LOCAL, Endpoint
from tests.unit.examples.answers import known

pytestmark = [pytest.mark.live, pytest.mark.kill, pytest.mark.timeout(600)]
STEPS = 11
ENVIRONMENTS = ("dev", "qa", "staging", "prod")


class Watched:
    """One change of one instance, seen through its database so that a dead API hides nothing."""

    def __init__(self, instance: Instance, change: str) -> None:
        self.instance = instance
        self.change = change
        self._database = instance.home / "state" / "ripple.db"

    def rows(self, query: str, *values: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    def ended(self) -> set[str]:
        return {
            row[0] for row in self.rows("SELECT step FROM steps WHERE change_id=? AND state='passed'", self.change)
        }

    def state(self) -> str:
        return str(self.rows("SELECT state FROM changes WHERE id=?", self.change)[0][0])

    def kill(self, component: str) -> bool:
        """Whether it ran and is killed; one that ends at this very moment runs again soon."""
        pid = self.instance.pid(component)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_at_every_boundary(self, victim: str, seconds: float = 400) -> int:
        """Kill ``victim`` once for each step that ends; returns how often."""
        seen: set[str] = set()

        def over() -> bool:
            running = self.state() == "running"  # asked first: what ends meanwhile is still killed below
            for step in sorted(self.ended() - seen):
                seen.add(step)
                until(lambda: self.kill(victim), f"{victim} runs after {step}")
            return not running

        until(over, "the change ends", seconds, every=0.02)
        return len(seen)


@pytest.mark.parametrize("victim", ["api", "worker", "temporal", "nats"])
def test_a_change_ends_the_same_when_a_process_is_killed_at_every_boundary(
    instance: Instance, endpoint: Endpoint, tmp_path: Path, victim: str
) -> None:
    name = f"shop-{victim}"
    folder = make_application(tmp_path / "shop", name, short_windows)
    assert instance.json("app", "add", str(folder))["state"] == "ready"
    before = git(folder, "rev-parse", "HEAD")
    endpoint.all_say(known("free-shipping").answer.model_dump_json(by_alias=True, exclude_none=True))
    endpoint.asked.clear()
    watched = Watched(instance, instance.submit(name, known("free-shipping").intent))
    kills = watched.kill_at_every_boundary(victim)
    assert watched.state() == "promoted", watched.rows("SELECT reasons FROM changes WHERE id=?", watched.change)
    assert kills >= STEPS - 1, "it was killed at every boundary but, at most, behind the last"
    assert git(folder, "rev-list", "--count", f"{before}..HEAD") == "1"
    asked = Counter(request["model"] for request in endpoint.asked)
    assert set(asked) == {*LOCAL, *CLOUD}
    # A worker that dies while a question is under way asks it again: nobody has kept its answer.
    assert max(asked.values()) <= (2 if victim == "worker" else 1), asked
    stable = watched.rows("SELECT environment FROM deployments WHERE application=? AND state='stable'", name)
    assert Counter(row[0] for row in stable) == Counter(ENVIRONMENTS)
    until(lambda: (instance.seen("/api/status") or {}).get("ready"), "everything is ready again")
    rows = [row for row in instance.json("status")["components"] if row["id"].startswith(f"app.{name}.")]
    assert len(rows) == len(ENVIRONMENTS), [row["id"] for row in rows]
    assert {row["restarts"] for row in rows} == {0}, "each release was started once per environment"
    assert instance.json("audit", "verify")["ok"] is True
