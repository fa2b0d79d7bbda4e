"""Probes against real sockets: what is up passes, everything else says why and in time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from tests.unit.supervisor.conftest import until

from ripple.model.component import Probe
from ripple.supervisor.probes import ask

ENV = {"PATH": os.environ["PATH"]}


def asked(answer: bytes | None, make: Callable[[int], dict[str, Any]]) -> str:
    """What a probe finds of a server that answers ``answer`` to anything, or nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is not None:
            await reader.read(1000)
            writer.write(answer)
            writer.close()

    async def scenario() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await ask(Probe.model_validate(make(server.sockets[0].getsockname()[1])), ENV)

    return anyio.run(scenario)


def http(port: int, seconds: float = 10) -> dict[str, Any]:
    return {"kind": "http", "target": f"http://127.0.0.1:{port}/healthz?x=1", "timeout_seconds": seconds}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 503 Sick\r\n\r\n", "answered 503"),
        (b"HTTP/1.1 301 Moved\r\n\r\n", "answered 301"),
        (b"HTTP/1.1 2000 What\r\n\r\n", "answered 2000"),
        (b"HTTP/1.1\r\n", "not HTTP"),
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"x" * 100_000 + b"\n", "limit"),
        (b"HTTP/1.1 200 OK", "without an answer"),
        (b"", "without an answer"),
        (None, "no answer within 0.3 s"),
    ],
)
def test_an_http_probe_wants_a_2xx_in_time(answer: bytes | None, said: str) -> None:
    found = asked(answer, http if answer is not None else partial(http, seconds=0.3))
    assert (found == "") if said == "" else (said in found), found


def test_a_port_that_nobody_listens_on_is_a_refusal() -> None:
    for kind, target in (("tcp", "127.0.0.1:1"), ("http", "http://127.0.0.1:1/"), ("temporal", "127.0.0.1:1")):
        found = anyio.run(ask, Probe.model_validate({"kind": kind, "target": target}), ENV)
        assert f"[Errno {errno.ECONNREFUSED}]" in found


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("tcp", "nonsense"),
        ("tcp", "127.0.0.1:99999"),
        ("http", "nonsense"),
        ("http", "http://127.0.0.1:99999/"),
        ("http", "http+unix:///no/such|/"),
        ("http", "http+unix:///" + "x" * 300 + "|/"),
        ("file", "/no/such"),
    ],
)
def test_a_target_that_cannot_be_asked_is_a_failure_not_a_crash(kind: str, target: str) -> None:
    assert anyio.run(ask, Probe.model_validate({"kind": kind, "target": target}), ENV) != ""


def test_an_open_port_and_an_existing_file_pass(tmp_path: Path) -> None:
    assert asked(b"", lambda port: {"kind": "tcp", "target": f"127.0.0.1:{port}"}) == ""
    assert anyio.run(ask, Probe(kind="file", target=str(tmp_path)), ENV) == ""


def test_a_path_with_a_line_break_is_never_sent() -> None:
    found = asked(
        b"HTTP/1.1 200 OK\r\n\r\n", lambda port: {**http(port), "target": f"http://127.0.0.1:{port}/a b"}
    )
    assert "not one of a URL" in found


def test_a_command_passes_by_its_status_and_is_ended_when_it_takes_too_long() -> None:
    def command(*words: str, seconds: float = 5) -> str:
        return anyio.run(ask, Probe(kind="exec", command=words, timeout_seconds=seconds), ENV)

    assert command("true") == ""
    assert "status 1" in command("false")
    assert "No such file" in command("/no/such/program")
    began = time.monotonic()
    marker = "import time; time.sleep(97.25)"
    assert "no answer within 0.3 s" in command(sys.executable, "-c", marker, seconds=0.3)
    assert time.monotonic() - began < 60
    until(lambda: not running(marker), "its process is gone")


def running(marker: str) -> bool:
    """Whether a process below this one has the marker among its words; one that is dead has no words."""
    found = False
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found = found or marker in child.cmdline()
    return found
