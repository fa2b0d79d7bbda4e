"""What Caddy's saved configuration is spared when a port is taken."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ripple.delivery.edge import Route, render
from ripple.delivery.edge_start import spare, without_taken
from ripple.supervisor.loopback import free_ports


def config(*ports: int) -> dict[str, Any]:
    return render([Route(f"shop-{port}", "dev", port) for port in ports], Path("/s"), Path("/l"))


def test_only_listeners_on_taken_ports_are_left_out() -> None:
    kept, left_out = without_taken(config(1, 2, 3), lambda port: port == 2)
    assert left_out == ["shop-2.dev"]
    assert kept == {**config(1, 2, 3), "apps": config(1, 3)["apps"]}
    assert without_taken(config(1, 2), lambda _: False) == (config(1, 2), [])


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]", '{"apps": {"http": {"servers": {"a": 1}}}}'])
def test_a_saved_configuration_that_cannot_be_used_is_left_to_caddy(tmp_path: Path, text: str | None) -> None:
    saved = tmp_path / "autosave.json"
    if text is not None:
        saved.write_text(text)
    assert spare(saved, lambda _: True) == []
    assert (saved.read_text() if saved.exists() else None) == text


def test_the_start_says_what_it_left_out_and_becomes_the_command(tmp_path: Path) -> None:
    saved = tmp_path / "autosave.json"
    free, held = free_ports(2)
    saved.write_text(json.dumps(config(free, held)))
    with socket.socket() as one:
        one.bind(("127.0.0.1", held))
        one.listen()
        command = [sys.executable, "-m", "ripple.delivery.edge_start", str(saved), "/bin/echo", "started"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"})
    assert done.stdout == "started\n"
    assert f"shop-{held}.dev is left out" in done.stderr
    assert list(json.loads(saved.read_text())["apps"]["http"]["servers"]) == [f"shop-{free}.dev"]
