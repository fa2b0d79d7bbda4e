"""Asking Valkey, Redis and NATS in their own words: a greeting, who asks, PING, PONG."""

from __future__ import annotations

import asyncio
import json

_LINE_BYTES = 1 << 16


async def connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to ``host:port`` or to the unix socket ``/path``."""
    if target.startswith("/"):
        return await asyncio.open_unix_connection(target, limit=_LINE_BYTES)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port), limit=_LINE_BYTES)


async def redis_pong(target: str, user: str, secret: str) -> str:
    """Why the server does not answer PING with PONG; one that only asks for the password we lack is up."""
    reader, writer = await connect(target)
    try:
        if secret:
            said = await _redis(reader, writer, "AUTH", *([user] if user else []), secret)
            if said != "+OK":
                return f"it refused the password: {said[:200]}"
        said = await _redis(reader, writer, "PING")
    finally:
        writer.close()
    known = said == "+PONG" or (not secret and said.startswith("-NOAUTH"))
    return "" if known else f"PING was answered with {said[:200]!r}"


async def nats_pong(target: str, user: str, secret: str) -> str:
    """Why the server does not answer PING with PONG; one that only asks for the token we lack is up."""
    reader, writer = await connect(target)
    try:
        greeting = await _line(reader)
        word, _, facts = greeting.partition(" ")
        if word != "INFO":
            return f"it greets with {greeting[:80]!r} and not as NATS does"
        info = json.loads(facts)
        if info.get("auth_required") and not secret:
            return ""
        named = {"user": user, "pass": secret} if user else {"auth_token": secret}
        options = {"verbose": False, "pedantic": False, "name": "ripple-probe", "lang": "python", "version": "1"}
        writer.write(f"CONNECT {json.dumps(options | (named if secret else {}))}\r\nPING\r\n".encode())
        await writer.drain()
        said = await _line(reader)
    finally:
        writer.close()
    return "" if said == "PONG" else f"PING was answered with {said[:200]!r}"


async def _redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str:
    parts = [word.encode() for word in words]
    writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
    await writer.drain()
    return await _line(reader)


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\n")).decode(errors="replace").strip()
    except asyncio.IncompleteReadError as error:
        raise ValueError("it closed the connection without an answer") from error
