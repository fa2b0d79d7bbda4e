"""One command, run to its end or its caller's: bounded output, prompt on standard input, no descendants left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_NOISE_BYTES = 16 << 10
DRAIN_SECONDS = 1.0
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``whole`` is false when it said more than was read, and was killed for it."""

    status: int
    output: bytes
    noise: bytes
    whole: bool


async def run_command(
    command: Sequence[str], env: Mapping[str, str], folder: Path, given: bytes, most_bytes: int
) -> Ended:
    """Run ``command`` in ``folder`` with ``given`` on its standard input.

    It leads a process group of its own, which is killed when this returns, however it returns: an agent's helpers
    do not outlive it.
    """
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=dict(env), start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr
    feeding = asyncio.create_task(_feed(process.stdin, given))
    listening = asyncio.create_task(_last(process.stderr))
    try:
        output, whole = await _first(process.stdout, most_bytes)
        if not whole:
            _kill(process.pid)
        status = await _exited(process)
    finally:
        _kill(process.pid)
        await asyncio.shield(_drained(process, feeding, listening))
    noise = b"" if listening.cancelled() else listening.result()
    return Ended(status, output, noise, whole)


async def _exited(process: asyncio.subprocess.Process) -> int:
    """The exit status. ``Process.wait`` of Python 3.11 waits for the pipes too, which a helper may hold."""
    while process.returncode is None:  # noqa: ASYNC110 (there is nothing else to wait for)
        await asyncio.sleep(POLL_SECONDS)
    return process.returncode


async def _drained(
    process: asyncio.subprocess.Process, feeding: asyncio.Task[None], listening: asyncio.Task[bytes]
) -> None:
    """Wait for the end of the process and of its pipes; one that something outside its group holds is left."""
    await _exited(process)
    assert process.stdout
    rest = asyncio.create_task(_last(process.stdout))
    _, held = await asyncio.wait({feeding, listening, rest}, timeout=DRAIN_SECONDS)
    for task in held:
        task.cancel()
    await asyncio.wait({feeding, listening, rest})


async def _feed(stream: asyncio.StreamWriter, given: bytes) -> None:
    with contextlib.suppress(OSError):
        stream.write(given)
        await stream.drain()
    stream.close()


async def _first(stream: asyncio.StreamReader, most: int) -> tuple[bytes, bool]:
    """The first ``most`` bytes, and whether the stream ended there."""
    found = bytearray()
    while chunk := await stream.read(1 << 16):
        found += chunk
        if len(found) > most:
            return bytes(found[:most]), False
    return bytes(found), True


async def _last(stream: asyncio.StreamReader) -> bytes:
    found = b""
    while chunk := await stream.read(1 << 16):
        found = (found + chunk)[-MAX_NOISE_BYTES:]
    return found


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
