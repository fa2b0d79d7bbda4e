"""What the sandbox tests share: runs of a command over a folder, and a look at the host's processes."""

from __future__ import annotations

import asyncio
import secrets
import sys
import textwrap
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ripple.planes.sandbox import Limits, Sandbox, SandboxResult, SandboxSpec
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox

T = TypeVar("T")
SANDBOX = Sandbox(BubblewrapSandbox())
"""Probed once for all tests; a test that needs another one makes it."""
LIMITS = Limits(
    cpu_seconds=10,
    wall_seconds=10,
    memory_bytes=256 << 20,
    processes=64,
    output_bytes=1 << 20,
    disk_bytes=32 << 20,
)
GONE_SECONDS = 20.0


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 40))


def spec(folder: Path, *command: str, limits: dict[str, Any] | None = None, **more: Any) -> SandboxSpec:
    """A run over ``folder`` with the tests' own small limits."""
    return SandboxSpec(command, folder, limits=replace(LIMITS, **(limits or {})), **more)


def python(folder: Path, code: str, *words: str, **more: Any) -> SandboxSpec:
    """A run of ``code`` by the sandbox's own Python."""
    return spec(folder, "python3", "-I", "-S", "-c", textwrap.dedent(code), *words, **more)


def ran(given: SandboxSpec) -> SandboxResult:
    """The result of one run."""
    return run(SANDBOX.run(given))


def said(given: SandboxSpec) -> str:
    """What a run that has to succeed printed."""
    result = ran(given)
    assert result.ok, (result.outcome, result.reason, result.stderr.decode())
    return result.stdout.decode().strip()


def marker() -> str:
    """A word that no other process on this machine has among its arguments."""
    return f"ripple-mark-{secrets.token_hex(8)}"


def alive(mark: str, named: str = "") -> list[int]:
    """Host pids with ``mark`` among their arguments, of programs ``named`` so if that is given."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words and words.startswith(named.encode()):
                found.append(int(folder.name))
    return found


def gone(mark: str, within: float = GONE_SECONDS, named: str = "") -> bool:
    """Whether every process with ``mark`` ends in time."""
    deadline = time.monotonic() + within
    while alive(mark, named):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


SLEEPER = "import sys, time; time.sleep(60)"
"""Runs for a minute; its marker is an argument behind it."""
assert sys.platform == "linux", "the sandbox driver is Linux's"
