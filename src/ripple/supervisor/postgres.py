"""Asking a PostgreSQL server for ``SELECT 1`` (protocol 3.0, "Message Flow"): what it takes and nothing more.

No TLS: a probe asks on loopback or over a unix socket. Passwords are given by SCRAM-SHA-256 (RFC 7677) or as the
server wishes in the clear; MD5 is refused, as PostgreSQL is about to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass, field

from ripple.supervisor.wire import connect

_VERSION = 196608
_MAX_BYTES = 1 << 20
_MAX_ITERATIONS = 100_000
_MECHANISM = b"SCRAM-SHA-256"


async def select_one(target: str, user: str, database: str, secret: str) -> str:
    """Why the server does not answer ``SELECT 1``; empty when it does.

    Without a secret, one that asks for a password is up too: it accepts connections.
    """
    name = user or "postgres"
    reader, writer = await connect(target)
    try:
        _startup(writer, name, database or name)
        wrong, known = await _signed_in(reader, writer, secret)
        if wrong or not known:
            return wrong
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError:
        return "it closed the connection without an answer"
    finally:
        writer.close()


@dataclass
class Scram:
    """One SCRAM-SHA-256 exchange. ``nonce`` is the client's; the server's signature is checked at the end."""

    password: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    signature: bytes = b""

    def first(self) -> bytes:
        """The first message; PostgreSQL takes the user's name from the start-up message."""
        return f"n,,n=,r={self.nonce}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's challenge; ValueError when it is not one for us."""
        facts = _facts(challenge)
        nonce, salt, rounds = facts["r"], base64.b64decode(facts["s"]), int(facts["i"])
        if not nonce.startswith(self.nonce) or not 0 < rounds <= _MAX_ITERATIONS:
            raise ValueError("the server's SCRAM challenge is not an answer to ours")
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, rounds)
        key = _hmac(salted, b"Client Key")
        bare = f"c=biws,r={nonce}"
        signed = b",".join((f"n=,r={self.nonce}".encode(), challenge, bare.encode()))
        stamp = _hmac(hashlib.sha256(key).digest(), signed)
        self.signature = _hmac(_hmac(salted, b"Server Key"), signed)
        proof = bytes(one ^ other for one, other in zip(key, stamp, strict=True))
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def check(self, verdict: bytes) -> None:
        """ValueError unless the server knew the password too."""
        if not hmac.compare_digest(base64.b64decode(_facts(verdict).get("v", "")), self.signature):
            raise ValueError("the server did not prove that it knows the password")


async def _signed_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: str) -> tuple[str, bool]:
    """What is wrong, and whether the server takes questions now."""
    scram = Scram(secret)
    while True:
        kind, payload = await _message(reader)
        if kind == b"E":
            return _complaint(payload), False
        if kind == b"Z":
            return "", True
        if kind != b"R":
            continue
        code = struct.unpack_from("!I", payload)[0]
        if code == 0:
            continue
        if not secret:
            return "", False
        reply = _reply(code, payload[4:], scram)
        if reply is None:
            return f"it asks for a password in a way (code {code}) that a probe does not know", False
        if reply:
            await _send(writer, b"p", reply)


def _reply(code: int, payload: bytes, scram: Scram) -> bytes | None:
    match code:
        case 3:
            return scram.password.encode() + b"\0"
        case 10 if _MECHANISM in payload.split(b"\0"):
            first = scram.first()
            return _MECHANISM + b"\0" + struct.pack("!I", len(first)) + first
        case 11:
            return scram.final(payload)
        case 12:
            scram.check(payload)
            return b""
        case _:
            return None


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    await _send(writer, b"Q", b"SELECT 1\0")
    found = b""
    while True:
        kind, payload = await _message(reader)
        if kind == b"E":
            return _complaint(payload)
        if kind == b"D":
            found = payload
        if kind == b"Z":
            await _send(writer, b"X", b"")
            return "" if found == _ONE else "SELECT 1 was not answered with 1"


def _startup(writer: asyncio.StreamWriter, user: str, database: str) -> None:
    pairs = ("user", user, "database", database, "application_name", "ripple-probe")
    body = struct.pack("!I", _VERSION) + b"".join(part.encode() + b"\0" for part in pairs) + b"\0"
    writer.write(struct.pack("!I", len(body) + 4) + body)


async def _send(writer: asyncio.StreamWriter, kind: bytes, body: bytes) -> None:
    writer.write(kind + struct.pack("!I", len(body) + 4) + body)
    await writer.drain()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    size = struct.unpack("!I", head[1:])[0] - 4
    if not 0 <= size <= _MAX_BYTES:
        raise ValueError("what answers does not speak PostgreSQL's protocol")
    return head[:1], await reader.readexactly(size)


def _complaint(payload: bytes) -> str:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in payload.split(b"\0") if part}
    return f"{fields.get(b'M', 'it refused the connection')} ({fields.get(b'C', '?????')})"


def _facts(message: bytes) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in message.decode().split(","))}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


_ONE = struct.pack("!HI", 1, 1) + b"1"
