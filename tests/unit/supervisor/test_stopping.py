"""Stopping a real instance: in order, whole, and not before the supervisor itself has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from typing import Any

import pytest
from tests.unit.supervisor.conftest import Instance, alive, until

from ripple.model.component import ComponentState
from ripple.model.errors import RippleError, Unavailable
from ripple.supervisor import start
from ripple.supervisor.journal import Journal
from ripple.supervisor.places import control_socket


def test_stopping_goes_backwards_and_ends_the_stubborn_and_their_families(instance: Instance) -> None:
    instance.write(
        instance.row("one"), instance.row("two", "stubborn", "family", requires=["one"], stop_seconds=0.3)
    )
    instance.up()
    until(lambda: len(instance.processes()) == 4, "the whole family")
    daemon = instance.daemon
    start.stop(instance.home)
    assert instance.processes() == []
    assert not alive(daemon)
    events = [json.loads(line) for line in (instance.home.logs / "supervisor.log").read_text().splitlines()]
    done = [(one["event"], one["component"]) for one in events if one["event"] in ("stop", "kill", "ended")]
    assert done == [("stop", "two"), ("kill", "two"), ("ended", "two"), ("stop", "one"), ("ended", "one")]
    start.stop(instance.home)


def test_down_after_a_killed_supervisor_leaves_nothing(instance: Instance) -> None:
    instance.write(instance.row("one", "family"), instance.row("two", "stubborn", stop_seconds=0.3))
    instance.up()
    until(lambda: len(instance.processes()) == 4, "all of them")
    instance.kill_daemon()
    start.stop(instance.home)
    assert instance.processes() == []
    assert Journal(instance.home).started() == []


def held_back(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the supervisor end late, as on a loaded machine: it holds its lock, and then nothing, for a while."""
    late = instance.root / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import asyncio, os, time\n"
        "run, end = asyncio.run, os._exit\n"
        "asyncio.run = lambda main: (run(main), time.sleep(1))\n"
        "os._exit = lambda code: (time.sleep(0.5), end(code))\n"
    )
    run = subprocess.run

    def with_it(command: Any, *, env: dict[str, str], **given: Any) -> Any:
        return run(command, env={**env, "PYTHONPATH": f"{late}:{env['PYTHONPATH']}"}, **given)

    monkeypatch.setattr(subprocess, "run", with_it)


@pytest.mark.parametrize("ending", [False, True], ids=["one that runs", "one that ends already"])
def test_stopping_waits_for_the_end_of_the_supervisor_itself(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, ending: bool
) -> None:
    held_back(instance, monkeypatch)
    instance.write(instance.row("one"))
    instance.up()
    daemon = instance.daemon
    if ending:
        os.kill(daemon, signal.SIGTERM)
        until(lambda: not control_socket(instance.home).exists(), "nobody answers any more")
    start.stop(instance.home)
    assert not alive(daemon)


def test_a_supervisor_somebody_waits_at_is_replaced_all_the_same(instance: Instance) -> None:
    instance.write(instance.row("slow"))
    instance.folder("slow").mkdir(exist_ok=True)
    (instance.folder("slow") / "sick").touch()
    instance.up(ready=False)
    daemon, said = instance.daemon, []

    def wait() -> None:
        try:
            instance.call(lambda client: client.wait(["slow"], ComponentState.READY, 60))
        except RippleError as error:
            said.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: "503" in instance.of("slow").reason, "it is sick, and waited for")
    instance.write(instance.row("slow"), instance.row("new"))
    instance.up(ready=False)
    assert instance.daemon != daemon
    waiting.join(30)
    assert [type(error) for error in said] == [Unavailable]
