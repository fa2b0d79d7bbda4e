"""Asking a component whether it is up. Each probe returns what is wrong, or nothing when all is well.

HTTP is spoken here in its smallest form, one GET and the status line of the answer: a probe runs every few seconds
for years, and a client library would cost the supervisor more memory than everything else it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from urllib.parse import urlsplit

from ripple.model.component import Probe

_LINE_BYTES = 1 << 12
# A namespace that counts its flows can start one; the ports are open well before that.
_TEMPORAL_PATH = "/api/v1/namespaces/default/workflow-count"


async def ask(probe: Probe, env: Mapping[str, str]) -> str:
    """Why the component is not up, or an empty string. Never raises, never takes longer than the probe allows.

    ``env`` is what the command of an ``exec`` probe runs with.
    """
    try:
        async with asyncio.timeout(probe.timeout_seconds):
            return await _ask(probe, env)
    except TimeoutError:
        return f"no answer within {probe.timeout_seconds:g} s"
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
        return str(error) or type(error).__name__


async def _ask(probe: Probe, env: Mapping[str, str]) -> str:
    match probe.kind:
        case "http":
            return await _get(probe.target)
        case "temporal":
            return await _get(f"http://{probe.target}{_TEMPORAL_PATH}")
        case "tcp":
            host, _, port = probe.target.rpartition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return ""
        case "file":
            return "" if os.path.exists(probe.target) else f"there is no {probe.target}"  # noqa: PTH110, ASYNC240
        case "exec":
            return await _execute(probe, env)


async def _get(target: str) -> str:
    """GET of ``http://host:port/path`` or ``http+unix:///socket|/path``: any 2xx will do."""
    reader, writer, host, path = await _connect(target)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode("ascii"))
        await writer.drain()
        line = (await reader.readuntil(b"\n")).split()
    except asyncio.IncompleteReadError:
        return f"{path} was closed without an answer"
    finally:
        writer.close()
    if len(line) < 2 or not line[0].startswith(b"HTTP/"):
        return f"{path} answered something that is not HTTP"
    status = line[1].decode("ascii", errors="replace")
    return "" if len(status) == 3 and status[0] == "2" else f"{path} answered {status}"


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str, str]:
    if target.startswith("http+unix://"):
        socket, _, path = target.removeprefix("http+unix://").partition("|")
        reader, writer = await asyncio.open_unix_connection(socket, limit=_LINE_BYTES)
        host = "localhost"
    else:
        url = urlsplit(target)
        host, path = url.netloc, url.path + (f"?{url.query}" if url.query else "")
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=_LINE_BYTES)
    if any(character in path for character in " \r\n"):
        writer.close()
        raise ValueError(f"the probe's path {path!r} is not one of a URL")
    return reader, writer, host, path or "/"


async def _execute(probe: Probe, env: Mapping[str, str]) -> str:
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *probe.command, env=dict(env), stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    return "" if code == 0 else f"{probe.command[0]} exited with status {code}"
