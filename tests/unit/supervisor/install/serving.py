"""A web server on loopback that serves made-up packages, can break off, and remembers what it was asked."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from ripple.model.system import LockedFile, LockedRoute, Route, RouteKind, System, VendorLock, this_platform


class Shelf:
    """What the server gives: bodies by path. ``stop_after`` lets one answer end after so many bytes.

    Without ``says_length`` an answer ends where the connection does, and nobody can tell whether it is whole.
    """

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.stop_after: int | None = None
        self.says_length = True
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shelf.answer(self)

            def do_HEAD(self) -> None:
                shelf.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, body: bytes | str) -> str:
        """Serve ``body`` under ``path``; returns its address."""
        self.bodies[path] = body.encode() if isinstance(body, str) else body
        return f"{self.url}{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, wanted = unquote(request.path.partition("?")[0]), request.headers.get("range")
        self.asked.append((path, wanted))
        body = self.bodies.get(path)
        if body is None:
            request.send_error(404)
            return
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        begin = 0
        if wanted and request.headers.get("if-range") == tag:
            begin = int(wanted.removeprefix("bytes=").partition("-")[0])
            if begin >= len(body):
                request.send_error(416)
                return
        request.send_response(206 if begin else 200)
        request.send_header("etag", tag)
        if self.says_length:
            request.send_header("content-length", str(len(body) - begin))
        request.send_header("connection", "close")
        if path.endswith("/"):
            request.send_header("content-type", "text/html")
        request.end_headers()
        request.close_connection = True
        if request.command == "HEAD":
            return
        end, self.stop_after = self.stop_after, None
        request.wfile.write(body[begin:end])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def tar_of(files: Mapping[str, bytes | str], mode: str = "w:gz", runs: bool = True) -> bytes:
    """A tar archive of some files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:  # type: ignore[call-overload]
        for name, body in files.items():
            data = body.encode() if isinstance(body, str) else body
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if runs else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def wheel_of(
    name: str, version: str, files: dict[str, str], scripts: dict[str, str] | None = None, *, requires: str = ""
) -> bytes:
    """A pure wheel."""
    place = f"{name}-{version}.dist-info"
    data = {f"{name}-{version}.data/scripts/{key}": text for key, text in (scripts or {}).items()}
    more = f"Requires-Dist: {requires}\n" if requires else ""
    facts = {
        f"{place}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}",
        f"{place}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    whole = {**files, **data, **facts}
    record = "".join(f"{key},{_record(text)}\n" for key, text in whole.items()) + f"{place}/RECORD,,\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for key, text in {**whole, f"{place}/RECORD": record}.items():
            opened.writestr(zipfile.ZipInfo(key, (2020, 1, 1, 0, 0, 0)), text)
    return made.getvalue()


def deb_of(control: str, files: Mapping[str, bytes | str], links: dict[str, str] | None = None) -> bytes:
    """A Debian package."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, body in files.items():
            content = body.encode() if isinstance(body, str) else body
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode = len(content), 0o4755
            tar.addfile(entry, io.BytesIO(content))
        for name, to in (links or {}).items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            tar.addfile(entry)
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar_of({"./control": control}, "w:xz"),
        "data.tar.xz": data.getvalue(),
    }
    made = b"!<arch>\n"
    for name, body in members.items():
        made += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
            + body
            + b"\n" * (len(body) % 2)
        )
    return made


def a_system(name: str, *routes: dict[str, Any]) -> System:
    """A row with those routes."""
    return System.model_validate({
        "id": name, "name": name, "kind": "cli", "role": "dev.json", "status": "optional",
        "summary": "a system of a test", "routes": routes,
        "answers": {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "remove it"},
        "external": {"why": "it is only a test's", "covered_by": "nothing yet"},
    })  # fmt: skip


def locked_url(route: Route, body: bytes) -> LockedRoute:
    """What the lock holds of a url route that gives ``body``."""
    file = LockedFile(url=route.package, sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    return LockedRoute(route=RouteKind.URL, version=route.version, signer="the test", files=(file,))


def lock_of(system: System, *routes: LockedRoute) -> VendorLock:
    """A lock of one system."""
    return VendorLock(systems={system.id: {this_platform(): routes}})


def _record(text: str) -> str:
    data = text.encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(data)}"
