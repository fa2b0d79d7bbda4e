"""Asking what speaks a protocol above HTTP: the models of an OpenAI server, the handshake of an MCP server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from ripple.supervisor.httpwire import exchange

MCP_VERSION = "2025-06-18"
_BOTH = "application/json, text/event-stream"


async def models_of(base: str, secret: str) -> str:
    """Why the server below ``base`` (``http://host:port/v1``) lists no model; empty when it lists one."""
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    async with exchange("GET", f"{base.rstrip('/')}/models", headers) as answer:
        if not answer.good:
            return f"the list of models answered {answer.status}"
        found = json.loads(await answer.body())
    rows = found.get("data") if isinstance(found, dict) else None
    named = [row for row in rows if isinstance(row, dict) and row.get("id")] if isinstance(rows, list) else []
    return "" if named else "it lists no model"


async def mcp_handshake(url: str, secret: str) -> str:
    """Why an MCP client could not begin a session at ``url``; empty when it could, and the session is ended.

    MCP 2025-06-18, "Lifecycle" and "Streamable HTTP": initialize, its result, notifications/initialized.
    """
    headers = {"content-type": "application/json", "accept": _BOTH}
    headers |= {"authorization": f"Bearer {secret}"} if secret else {}
    async with exchange("POST", url, headers, _INITIALIZE) as answer:
        if not answer.good:
            return f"initialize answered {answer.status}"
        said = await _reply(answer.headers, answer.pieces)
        session = answer.headers.get("mcp-session-id", "")
    wrong, version = _judged(said)
    if wrong:
        return wrong
    headers |= {"mcp-protocol-version": version} | ({"mcp-session-id": session} if session else {})
    async with exchange("POST", url, headers, _INITIALIZED) as answer:
        if not answer.good:
            return f"notifications/initialized answered {answer.status}"
    if session:
        # A server that keeps its sessions answers 405: that is allowed.
        async with exchange("DELETE", url, headers):
            pass
    return ""


def _judged(said: Any) -> tuple[str, str]:
    """What is wrong with the answer to initialize, and the version of the protocol it names."""
    if not isinstance(said, dict):
        return "initialize was not answered by a JSON-RPC message", ""
    if "error" in said:
        return f"initialize was refused: {json.dumps(said['error'])[:200]}", ""
    result = said.get("result")
    facts = result if isinstance(result, dict) else {}
    version = facts.get("protocolVersion")
    if not isinstance(version, str) or not isinstance(facts.get("capabilities"), dict):
        return "the answer to initialize names no protocolVersion or no capabilities", ""
    return "", version


async def _reply(headers: Mapping[str, str], pieces: AsyncIterator[bytes]) -> Any:
    """The message with our id: the body as it is, or the first such event of a stream, which may stay open."""
    if not headers.get("content-type", "").startswith("text/event-stream"):
        return json.loads(b"".join([piece async for piece in pieces]))
    text = ""
    async for piece in pieces:
        text = (text + piece.decode(errors="replace")).replace("\r\n", "\n")
        *events, text = text.split("\n\n")
        for event in events:
            message = _event(event)
            if isinstance(message, dict) and message.get("id") == 1:
                return message
    return None


def _event(text: str) -> Any:
    data = [line.removeprefix("data:").lstrip() for line in text.split("\n") if line.startswith("data:")]
    return json.loads("\n".join(data)) if data and any(data) else None


_INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": MCP_VERSION,
            "capabilities": {},
            "clientInfo": {"name": "ripple-probe", "version": "1"},
        },
    }
).encode()
_INITIALIZED = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
