"""What is run in a sandbox, within what, and how it ended."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PYTHON_BIN = "/opt/ripple/bin"
"""Where every sandbox has ``python`` and ``python3``: the interpreter alone, without packages."""

DEFAULT_PATH = f"{PYTHON_BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Limits:
    """What one run may use. ``processes`` counts threads too; ``disk_bytes`` is growth of the worktree."""

    cpu_seconds: float = 300
    memory_bytes: int = 1 << 30
    processes: int = 256
    output_bytes: int = 4 << 20
    wall_seconds: float = 300
    disk_bytes: int = 512 << 20


@dataclass(frozen=True)
class SandboxSpec:
    """One run. ``read_only`` binds are (host path, path inside); ``env`` is the whole of what is added.

    ``rung`` names the isolation that policy asks for; None takes the driver's strongest.
    """

    command: tuple[str, ...]
    worktree: Path
    writable: bool = True
    read_only: tuple[tuple[Path, str], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    limits: Limits = Limits()
    working_dir: str = "/work"
    stdin: bytes = b""
    rung: str | None = None


class Outcome(enum.StrEnum):
    """How a run ended."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    PROCESSES = "processes"
    OUTPUT = "output"
    CPU = "cpu"
    DISK = "disk"
    FAILED = "failed"
    """the sandbox itself could not be set up"""


@dataclass(frozen=True)
class SandboxResult:
    """What a run did. ``exit_code`` is None unless the command ended by itself (128 + n after signal n).

    Output is cut at ``limits.output_bytes``; ``reason`` is a sentence, empty after a clean exit.
    """

    outcome: Outcome
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    duration_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    reason: str = ""

    @property
    def ok(self) -> bool:
        """True when the command ended by itself with status 0."""
        return self.outcome is Outcome.EXITED and self.exit_code == 0
