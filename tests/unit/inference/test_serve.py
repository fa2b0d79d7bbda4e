"""Serving a model file: what is refused, and live the whole way from the default model's package to an answer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from tests.unit.inference.asking import voter
from tests.unit.inference.endpoint import closed_port

from ripple.inference.adapters import adapters_of
from ripple.inference.adapters.exchange import Call
from ripple.inference.catalogue import Catalogue
from ripple.inference.fanout import Fanout
from ripple.inference.keys import Keyring
from ripple.inference.local import component_id, component_of
from ripple.inference.request import Request
from ripple.inference.store import Store
from ripple.model.candidate import Tier
from ripple.supervisor.templates import render

ROOT = Path(__file__).parents[3]
SCHEMA = {
    "type": "object",
    "properties": {"summary": {"type": "string", "maxLength": 60}, "count": {"type": "integer"}},
    "required": ["summary", "count"],
    "additionalProperties": False,
}


def command(model: Path, port: int) -> list[str]:
    words = ["--model", str(model), "--port", str(port), "--alias", "small", "--context", "2048"]
    return [sys.executable, "-m", "ripple.inference.serve", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no model file"), (b"not a model", "not a GGUF file"), (b"GGUF" + b"\0" * 60, "version")],
)
def test_a_file_that_is_no_model_is_refused_with_the_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    model = tmp_path / "m.gguf"
    if content is not None:
        model.write_bytes(content)
    done = subprocess.run(
        command(model, closed_port()), env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_model_ends_with_a_reason_not_a_hang(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF\3\0\0\0" + b"\1\0\0\0\0\0\0\0" * 2 + b"\xff" * 4096)
    done = subprocess.run(
        command(model, closed_port()), env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0


def test_the_component_of_a_model_holds_on_any_path(catalogue: Catalogue, tmp_path: Path) -> None:
    row = catalogue.chosen("Qwen3-4B")[0]
    component = component_of(catalogue, row, Store(tmp_path / "a{b}"))
    assert component.id == component_id(catalogue, row) == "model.qwen3-4b"
    names = {"python": "/py", "ports.http": "4000"}
    words = [render(part, names, "here") for part in component.command]
    assert words[words.index("--model") + 1] == str(tmp_path / "a{b}" / row.file)
    assert words[words.index("--port") + 1] == "4000"
    assert component.env["OMP_WAIT_POLICY"] == "passive"
    assert component.ready is not None
    assert render(component.ready.target, names, "here") == "http://127.0.0.1:4000/health"
    assert component.version


@pytest.mark.live
def test_the_default_model_is_fetched_served_and_answers_in_the_schema(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    row = catalogue.chosen("default")[0]
    model = asyncio.run(Store(tmp_path / "models").fetch(row))
    port = closed_port()
    process = subprocess.Popen(command(model, port), env=environment(), stdout=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        url = f"http://127.0.0.1:{port}"
        while not _healthy(url):
            assert process.poll() is None
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        ready = time.monotonic() - began
        said = {"role": "user", "content": "Count the letters of the word cat."}
        asked = voter("small", f"{url}/v1", tier=Tier.LOCAL, timeout_seconds=60)
        request = Request((said,), SCHEMA, "counted", 120)
        fanout = Fanout(adapters_of(catalogue), Keyring(tmp_path / "secrets"))
        began = time.monotonic()
        reply = asyncio.run(fanout.reply(Call(asked, request)))
        took = time.monotonic() - began
        found = json.loads(reply.text)
        assert set(found) == {"summary", "count"}
        assert isinstance(found["count"], int)
        assert reply.tokens_out
        assert reply.tokens_in
        rss = psutil.Process(process.pid).memory_info().rss / 1e6
        print(f"ready {ready:.1f} s, {reply.tokens_out / took:.0f} tokens/s, {rss:.0f} MB", file=sys.stderr)
        assert _listens_only_on_loopback(process.pid, port)
        assert httpx.get(f"{url}/slots").status_code != 200, "other callers' prompts are nobody's business"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _listens_only_on_loopback(pid: int, port: int) -> bool:
    listening = [
        one.laddr for one in psutil.Process(pid).net_connections("tcp") if one.status == psutil.CONN_LISTEN
    ]
    return [(one.ip, one.port) for one in listening] == [("127.0.0.1", port)]
