"""Sandboxed services: reached through their socket only, stopped gently, never outliving who started them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.sandboxes import SANDBOX, alive, gone, marker, python, run

from ripple.model.errors import Invalid

pytestmark = pytest.mark.skipif(
    run(SANDBOX.rungs()) == (), reason="not run: no isolation on this machine; allow unprivileged user namespaces"
)
PORT = 8080
SERVICE = """
import http.server, os, signal, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/eat":
            self.server.eaten = bytearray(200 << 20)
        if self.path == "/breed":
            threading.stack_size(256 << 10)
            threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(60)]
            [thread.start() for thread in threads]
        body = b"x" * int(self.path[5:]) if self.path.startswith("/big/") else b"hello"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer)
def stop(*_):
    open("/work/stopped", "w").write("gently")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
server.serve_forever()
"""


class Service:
    """A service that was started as the supervisor would: in a process group of its own."""

    def __init__(self, folder: Path, code: str = SERVICE, **limits: Any) -> None:
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.socket = folder / "sockets" / "service.sock"
        self.mark = marker()
        self.argv = SANDBOX.wrap(python(self.work, code, self.mark, limits=limits), self.socket, PORT)

    def start(self) -> None:
        self.process = subprocess.Popen(self.argv, start_new_session=True, stderr=subprocess.PIPE)

    def get(self, path: str = "/") -> bytes:
        """The answer to one request, whole; empty when nobody answers."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.socket))
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(1 << 16), b""))
        return b""

    def ready(self) -> None:
        deadline = time.monotonic() + 15
        while not self.get().endswith(b"hello"):
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(tmp_path, memory_bytes=120 << 20, processes=32)
    found.start()
    found.ready()
    yield found
    found.kill()
    assert gone(found.mark)


def test_a_service_answers_on_its_socket_and_nowhere_on_the_host(service: Service) -> None:
    assert service.get().startswith(b"HTTP/1.0 200")
    with socket.socket() as host:
        assert host.connect_ex(("127.0.0.1", PORT)) != 0 or b"hello" not in _answer(host)


def _answer(connected: socket.socket) -> bytes:
    connected.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return connected.recv(4096)


def test_a_large_answer_comes_whole(service: Service) -> None:
    assert service.get(f"/big/{5 << 20}").endswith(b"\r\n\r\n" + b"x" * (5 << 20))


def test_its_socket_folder_is_for_its_owner_only(service: Service) -> None:
    assert service.socket.parent.stat().st_mode & 0o077 == 0


def test_a_stop_sent_to_its_group_lets_it_end_by_itself(service: Service) -> None:
    os.killpg(service.process.pid, signal.SIGTERM)
    assert service.process.wait(30) == 0
    assert (service.work / "stopped").read_text() == "gently"
    assert gone(service.mark)


def test_a_kill_of_its_first_process_leaves_none(service: Service) -> None:
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait(20)
    assert gone(service.mark)


@pytest.mark.parametrize(("path", "reason"), [("/eat", b"120 MiB of memory"), ("/breed", b"32 processes")])
def test_a_service_over_its_limits_is_stopped_with_the_reason(service: Service, path: str, reason: bytes) -> None:
    service.get(path)
    assert service.process.wait(20) != 0
    assert service.process.stderr is not None
    assert reason in service.process.stderr.read()


def test_a_service_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    service = Service(tmp_path)
    code = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True).wait()"
    parent = subprocess.Popen([sys.executable, "-c", code, *service.argv])
    service.process = parent
    service.ready()
    parent.kill()
    parent.wait(20)
    assert gone(service.mark)


def test_a_service_that_cannot_start_says_so(tmp_path: Path) -> None:
    service = Service(tmp_path, "raise SystemExit(7)")
    service.start()
    assert service.process.wait(10) == 7


def test_a_socket_path_that_no_kernel_takes_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="longer than 100 bytes"):
        SANDBOX.wrap(python(tmp_path, ""), tmp_path / ("x" * 100), PORT)


def test_nothing_is_started_by_asking_for_the_arguments(tmp_path: Path) -> None:
    assert alive(Service(tmp_path).mark) == []
