"""Running the registries' own tools: with a deadline, without a terminal, ended together with their children.

The tools, not Ripple, know where a package URL is fetched: pip, uv, npm, apt, go, cargo and Maven settings apply.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

from ripple.model.errors import DeadlineExceeded, Unavailable

TOOL_SECONDS = 600.0
BUILD_SECONDS = 2400.0
MAX_OUTPUT_BYTES = 256 << 20
LAST_CHARACTERS = 900
INTERRUPTED = "interrupted"
_DROPPED = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "NODE_PATH", "NODE_OPTIONS")
_GENTLE = ("nice", "-n", "10")


@dataclass(frozen=True)
class Command:
    """A tool's call: ``env`` is added to the operator's environment; ``seconds`` is its deadline."""

    words: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    seconds: float = TOOL_SECONDS
    gentle: bool = False


async def run_tool(command: Command) -> str:
    """What the tool wrote to its standard output.

    Raises:
        Unavailable: the tool is not on this machine, or it failed; the message ends with its last words.
            Code ``interrupted``: a signal ended it, which says nothing of what it was to do.
        DeadlineExceeded: it ran too long; it and its children were killed.
    """
    name = Path(command.words[0]).name
    words = [*(_GENTLE if command.gentle and shutil.which("nice") else ()), *command.words]
    env = {key: value for key, value in os.environ.items() if key not in _DROPPED} | dict(command.env)
    try:
        process = await anyio.open_process(
            words, stdin=subprocess.DEVNULL, cwd=command.cwd, env=env, start_new_session=True
        )
    except OSError as error:
        raise Unavailable(f"cannot run {name}: {error.strerror or error}; install it") from error
    said, complained = bytearray(), bytearray()
    try:
        with anyio.fail_after(command.seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(_collect, process.stdout, said)
                group.start_soon(_collect, process.stderr, complained)
                await process.wait()
    except TimeoutError as error:
        raise DeadlineExceeded(f"{name} did not end within {command.seconds:g} s; ask again") from error
    finally:
        await _end(process)
    if process.returncode and process.returncode < 0:
        raise Unavailable(
            f"{name} was ended by signal {-process.returncode}; look for what ended it, then ask again",
            code=INTERRUPTED,
        )
    if process.returncode:
        raise Unavailable(f"{name} failed with status {process.returncode}: {_last_words(complained, said)}")
    return said.decode(errors="replace")


def need_tool(name: str, advice: str) -> str:
    """The path of a program of this machine; Unavailable says how to get it."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"there is no {name} on this machine; {advice}")
    return found


async def _collect(stream: anyio.abc.ByteReceiveStream | None, into: bytearray) -> None:
    if stream is not None:
        async for chunk in stream:
            if len(into) < MAX_OUTPUT_BYTES:
                into += chunk


async def _end(process: anyio.abc.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.CancelScope(shield=True):
        await process.wait()
        await process.aclose()


def _last_words(complained: bytearray, said: bytearray) -> str:
    text = " ".join((complained or said).decode(errors="replace").split())
    return text[-LAST_CHARACTERS:] or "it said nothing"
