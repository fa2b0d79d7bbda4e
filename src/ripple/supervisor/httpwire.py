"""HTTP/1.1 in its smallest form: one request a connection, the answer's body piece by piece.

A probe runs every few seconds for years, and a client library would cost the supervisor more memory than all else
it does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

LINE_BYTES = 1 << 12
MAX_BODY_BYTES = 1 << 20
_HEADERS = 100


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]

    @property
    def good(self) -> bool:
        """A 2xx."""
        return 200 <= self.status <= 299

    async def body(self) -> bytes:
        """The whole body; ValueError when it is larger than a mebibyte."""
        found = bytearray()
        async for piece in self.pieces:
            found += piece
        return bytes(found)


@asynccontextmanager
async def exchange(
    method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> AsyncIterator[Answer]:
    """Ask ``http://host:port/path`` or ``http+unix:///socket|/path`` and read the answer's head.

    Raises:
        OSError: nobody answers there.
        ValueError: the target cannot be asked, or what answers does not speak HTTP.
    """
    reader, writer, host, path = await connect(target)
    try:
        given = {"host": host, "connection": "close", **(headers or {})}
        given |= {"content-length": str(len(body))} if body else {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        yield await _head(reader, path)
    finally:
        writer.close()


async def status_of(target: str) -> str:
    """Why a GET of the target found no 2xx; empty when it did. Reads no more than the status line."""
    reader, writer, host, path = await connect(target)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode("ascii"))
        await writer.drain()
        status = await _status(reader, path)
    except asyncio.IncompleteReadError:
        return f"{path} was closed without an answer"
    finally:
        writer.close()
    return "" if len(status) == 3 and status[0] == "2" else f"{path} answered {status}"


async def connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str, str]:
    """A connection for one exchange, the host's name and the path of the target."""
    if target.startswith("http+unix://"):
        socket, _, path = target.removeprefix("http+unix://").partition("|")
        reader, writer = await asyncio.open_unix_connection(socket, limit=LINE_BYTES)
        host = "localhost"
    else:
        url = urlsplit(target)
        host, path = url.netloc, url.path + (f"?{url.query}" if url.query else "")
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=LINE_BYTES)
    if any(character in path for character in " \r\n"):
        writer.close()
        raise ValueError(f"the probe's path {path!r} is not one of a URL")
    return reader, writer, host, path or "/"


async def _head(reader: asyncio.StreamReader, path: str) -> Answer:
    try:
        status = await _status(reader, path)
        headers: dict[str, str] = {}
        for _ in range(_HEADERS):
            line = (await reader.readuntil(b"\n")).decode("latin-1").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    except asyncio.IncompleteReadError as error:
        raise ValueError(f"{path} was closed without an answer") from error
    if not status.isdigit():
        raise ValueError(f"{path} answered {status}")
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    length = headers.get("content-length", "")
    pieces = _chunks(reader) if chunked else _plain(reader, int(length) if length.isdigit() else None)
    return Answer(int(status), headers, _bounded(pieces, path))


async def _status(reader: asyncio.StreamReader, path: str) -> str:
    line = (await reader.readuntil(b"\n")).split()
    if len(line) < 2 or not line[0].startswith(b"HTTP/"):
        raise ValueError(f"{path} answered something that is not HTTP")
    return line[1].decode("ascii", errors="replace")


async def _plain(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    left = length
    while left is None or left > 0:
        piece = await reader.read(LINE_BYTES if left is None else min(left, LINE_BYTES))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while size := int((await reader.readuntil(b"\n")).partition(b";")[0], 16):
            if not 0 < size <= MAX_BODY_BYTES:
                raise ValueError(f"a chunk of {size} bytes is too large for a probe")
            yield await reader.readexactly(size)
            await reader.readexactly(2)


async def _bounded(pieces: AsyncIterator[bytes], path: str) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise ValueError(f"{path} answered more than {MAX_BODY_BYTES} bytes")
        yield piece
