"""Reads one task from standard input, runs it, and writes its result as one line of JSON."""

from __future__ import annotations

import asyncio
import sys

from ripple.supervisor.smoke.inside import prove
from ripple.supervisor.smoke.task import Task

MARK = "ripple-smoke-result "


def main() -> None:
    """Run the task to its end."""
    found = asyncio.run(prove(Task.model_validate_json(sys.stdin.buffer.read())))
    sys.stdout.write(f"{MARK}{found.model_dump_json()}\n")


if __name__ == "__main__":
    main()
