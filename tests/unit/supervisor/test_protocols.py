"""Probes that speak a protocol, against real servers where the machine has them, and against others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from tests.installed import program
from tests.unit.supervisor.conftest import until

from ripple.model.component import Probe
from ripple.supervisor.loopback import free_ports
from ripple.supervisor.postgres import Scram
from ripple.supervisor.probes import ask

BIN = Path(sys.executable).parent
NOBODY = "nobody"
Kind = Literal["http", "tcp", "sql", "redis", "nats", "openai", "mcp"]


def asked(kind: Kind, target: str, **given: Any) -> str:
    return anyio.run(ask, Probe(kind=kind, target=target, timeout_seconds=3, **given), {})


@contextmanager
def running(command: list[str], user: str | None = None, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **env}, user=user
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def until_it_passes(kind: Kind, target: str, **given: Any) -> None:
    until(lambda: asked(kind, target, **given) == "", f"{kind} at {target} passes")


def secret(folder: Path, text: str) -> str:
    path = folder / "secret"
    path.write_text(f"{text}\n")
    return str(path)


def test_nats_says_pong_and_refuses_a_wrong_token(tmp_path: Path) -> None:
    port, guarded = free_ports(2)
    server = str(BIN / "nats-server")
    with running([server, "-a=127.0.0.1", f"-p={port}"]):
        until_it_passes("nats", f"127.0.0.1:{port}")
    assert "Connect call failed" in asked("nats", f"127.0.0.1:{port}")
    with running([server, "-a=127.0.0.1", f"-p={guarded}", "--auth=letmein"]):
        until_it_passes("nats", f"127.0.0.1:{guarded}", secret_file=secret(tmp_path, "letmein"))
        assert asked("nats", f"127.0.0.1:{guarded}") == "", "one that asks who we are is up"
        assert "Authorization" in asked("nats", f"127.0.0.1:{guarded}", secret_file=secret(tmp_path, "wrong"))


def test_valkey_says_pong_and_refuses_a_wrong_password(tmp_path: Path) -> None:
    server = program("valkey", "valkey-server")
    (port,) = free_ports(1)
    target = f"127.0.0.1:{port}"
    with running([server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]):
        until_it_passes("redis", target)
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--requirepass", "letmein"]
    with running([server, *flags, "--unixsocket", str(tmp_path / "s")]):
        until_it_passes("redis", target, secret_file=secret(tmp_path, "letmein"))
        assert asked("redis", str(tmp_path / "s"), secret_file=secret(tmp_path, "letmein")) == ""
        assert asked("redis", target) == "", "one that asks who we are is up"
        assert "WRONGPASS" in asked("redis", target, secret_file=secret(tmp_path, "wrong"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Path]]:
    """A PostgreSQL server with a password for TCP and none for its socket: its address and its folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    place = shutil.which("initdb") or next((str(one / "initdb") for one in reversed(found)), "")
    if not place:
        pytest.skip("not run: there is no PostgreSQL on this machine")
    user = NOBODY if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="rpg-"))
    try:
        secret(folder, "letmein")
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        (port,) = free_ports(1)
        data = folder / "data"
        options = ["-U", "postgres", "-A", "trust", "--auth-host=scram-sha-256", f"--pwfile={folder / 'secret'}"]
        subprocess.run([place, "-D", str(data), "-N", *options], check=True, capture_output=True, user=user)
        server = Path(place).with_name("postgres")
        with running([str(server), "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"], user):
            until_it_passes("sql", str(folder / f".s.PGSQL.{port}"))
            yield f"127.0.0.1:{port}", folder / f".s.PGSQL.{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_answers_a_query_over_tcp_with_a_password_and_over_its_socket(
    cluster: tuple[str, Path], tmp_path: Path
) -> None:
    target, unix = cluster
    assert asked("sql", str(unix), user="postgres", database="template1") == ""
    assert asked("sql", target, secret_file=secret(tmp_path, "letmein")) == ""
    assert asked("sql", target) == "", "one that asks who we are is up"


def test_postgresql_that_refuses_is_not_up_and_says_why(cluster: tuple[str, Path], tmp_path: Path) -> None:
    target, unix = cluster
    assert "28P01" in asked("sql", target, secret_file=secret(tmp_path, "wrong"))
    assert '"absent" does not exist (3D000)' in asked("sql", str(unix), database="absent")
    assert '"absent" does not exist' in asked("sql", str(unix), user="absent")
    assert "No such file" in asked("sql", target, secret_file="/no/such/file")


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    scram = Scram("pencil", nonce="abc")
    challenge = b"r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert scram.final(challenge).startswith(b"c=biws,r=abcdef,p=")
    with pytest.raises(ValueError, match="did not prove"):
        scram.check(b"v=AAAA")
    for wrong in (b"r=other,s=AAAA,i=4096", b"r=abcdef,s=AAAA,i=99999999"):
        with pytest.raises(ValueError, match="not an answer"):
            scram.final(wrong)


def byte_server(answer: bytes | None, ask_it: Callable[[int], str]) -> str:
    """What ``ask_it`` finds of a server that answers every connection with the same bytes, or never."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve() -> None:
        held = []
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                one, _ = listener.accept()
                held.append(one)
                if answer is not None:
                    with one, contextlib.suppress(OSError):
                        one.recv(4096)
                        one.sendall(answer)
        for one in held:
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return ask_it(listener.getsockname()[1])
    finally:
        stop.set()
        thread.join()
        listener.close()


@pytest.mark.parametrize("kind", ["sql", "redis", "openai", "mcp"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 503 Sick\r\n\r\n",
        b"E\0\0\0\5\0",
        b"R\0\0\0\4",
        b"\xff" * 100_000,
        b"{}\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    ],
    ids=lambda answer: repr(answer[:20]),
)
def test_what_does_not_speak_the_protocol_fails_and_says_so(kind: Kind, answer: bytes) -> None:
    def ask_it(port: int) -> str:
        scheme = "http://" if kind in ("openai", "mcp") else ""
        return asked(kind, f"{scheme}127.0.0.1:{port}")

    assert byte_server(answer, ask_it) != ""


@pytest.mark.parametrize(
    "greeting",
    [b"HELLO\r\n", b"INFO nonsense\r\n", b"INFO []\r\n", b"INFO {}\r\n-ERR 'no'\r\n", b"INFO {}\r\n"],
)
def test_a_greeting_that_is_not_that_of_nats_fails(greeting: bytes) -> None:
    async def scenario() -> str:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await ask(Probe(kind="nats", target=f"127.0.0.1:{port}"), {})

    assert anyio.run(scenario) != ""


@pytest.mark.parametrize("kind", ["sql", "redis", "nats", "openai", "mcp"])
def test_silence_ends_at_the_deadline(kind: Kind) -> None:
    def ask_it(port: int) -> str:
        scheme = "http://" if kind in ("openai", "mcp") else ""
        probe = Probe(kind=kind, target=f"{scheme}127.0.0.1:{port}", timeout_seconds=0.2)
        return anyio.run(ask, probe, {})

    began = time.monotonic()
    assert byte_server(None, ask_it) == "no answer within 0.2 s"
    assert time.monotonic() - began < 5


class Answering(BaseHTTPRequestHandler):
    """The server's ``replies`` maps ``METHOD path`` to a function of the body that gives status, headers, body."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status, headers, text = self.server.replies[f"{self.command} {self.path}"](self.headers, body)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "transfer-encoding" in headers:
            text = b"".join(
                b"%x\r\n%b\r\n" % (len(text[i : i + 7]), text[i : i + 7]) for i in range(0, len(text), 7)
            )
            text += b"0\r\n\r\n"
        else:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the base class calls them so

    def log_message(self, *args: Any) -> None:
        """Say nothing of it."""


@contextmanager
def http_server(replies: dict[str, Any]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.replies = replies  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_openai_server_is_up_once_it_lists_a_model(chunked: bool, tmp_path: Path) -> None:
    listed: list[dict[str, str]] = []
    heard: list[str] = []

    def models(headers: Any, _: bytes) -> tuple[int, dict[str, str], bytes]:
        heard.append(headers.get("authorization", ""))
        kind = {"transfer-encoding": "chunked"} if chunked else {}
        return 200, kind, json.dumps({"object": "list", "data": listed}).encode()

    with http_server({"GET /v1/models": models}) as url:
        assert asked("openai", f"{url}/v1") == "it lists no model"
        listed.append({"id": "small", "object": "model"})
        assert asked("openai", f"{url}/v1/", secret_file=secret(tmp_path, "sk-x")) == ""
        assert heard == ["", "Bearer sk-x"]


class McpServer:
    """The lifecycle of MCP 2025-06-18 over streamable HTTP: sessions are begun, confirmed and ended."""

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.sessions: dict[str, str] = {}

    def post(self, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        message = json.loads(body)
        wanted = {"application/json", "text/event-stream"}
        if not wanted <= {part.strip() for part in headers.get("accept", "").split(",")}:
            return 406, {}, b""
        if message.get("method") == "initialize":
            return self._begun(message)
        session = headers.get("mcp-session-id", "")
        if (
            message.get("method") == "notifications/initialized"
            and session in self.sessions
            and "id" not in message
        ):
            self.sessions[session] = headers.get("mcp-protocol-version", "")
            return 202, {}, b""
        return 400, {}, b""

    def _begun(self, message: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        assert {"protocolVersion", "capabilities", "clientInfo"} <= set(message["params"])
        session = f"s{len(self.sessions)}"
        self.sessions[session] = "begun"
        result = {
            "protocolVersion": "2025-03-26",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "t", "version": "1"},
        }
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        headers = {"mcp-session-id": session, "content-type": "application/json"}
        if self.stream:
            headers |= {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
            note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
            text = f": hello\r\n\r\nevent: message\r\ndata: {note}\r\n\r\nevent: message\ndata: {text}\n\n"
        return 200, headers, text.encode()

    def delete(self, headers: Any, _: bytes) -> tuple[int, dict[str, str], bytes]:
        self.sessions[headers["mcp-session-id"]] += " ended"
        return 200, {}, b""


@pytest.mark.parametrize("stream", [False, True])
def test_an_mcp_server_is_up_once_a_session_begins_and_the_session_is_ended(stream: bool) -> None:
    server = McpServer(stream=stream)
    with http_server({"POST /mcp": server.post, "DELETE /mcp": server.delete}) as url:
        assert asked("mcp", f"{url}/mcp") == ""
    assert server.sessions == {"s0": "2025-03-26 ended"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((405, b""), "answered 405"),
        ((200, b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "busy"}}'), "busy"),
        ((200, b'{"jsonrpc": "2.0", "id": 1, "result": {"capabilities": {}}}'), "protocolVersion"),
        ((200, b"[]"), "JSON-RPC"),
        ((200, b"<html>"), "Expecting value"),
    ],
)
def test_an_mcp_server_that_refuses_is_not_up(answer: tuple[int, bytes], said: str) -> None:
    with http_server({"POST /": lambda *_: (answer[0], {}, answer[1])}) as url:
        assert said in asked("mcp", f"{url}/")
