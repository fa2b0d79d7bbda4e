"""Run the same calls through trees in the sandbox, and learn calls from a tree's own tests.

The driver that does it inside is ``driver.py``; a tree is mounted read-only, so runs need no copies and leave no
traces. Everything that comes back was said by the tree's own code: it is read as text and never run here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ripple.changes.sources import Pool, Target, Tree
from ripple.delivery.toolchain import Toolchain
from ripple.planes.sandbox import Limits, Outcome, Sandbox, SandboxResult, SandboxSpec

REPLAY_SECONDS, RECORD_SECONDS, CALL_SECONDS, PLAN_SECONDS = 20.0, 10.0, 0.5, 60.0
TEARDOWN_SECONDS = 3.0
MEMORY_BYTES = 1 << 30
_DRIVER, _INSIDE = Path(__file__).with_name("driver.py"), "/opt/compare/driver.py"
_ENDS = {
    Outcome.TIMEOUT: "does not return",
    Outcome.CPU: "does not return",
    Outcome.MEMORY: "uses too much memory",
    Outcome.PROCESSES: "starts too many processes",
}

Lines = dict[str, dict[str, set[int]]]
"""For each target the lines that ran, by file."""


@dataclass(frozen=True)
class Replayed:
    """What one tree did: outcomes by the number of the call, and the lines each target ran."""

    outcomes: Mapping[int, str] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)


class Runner:
    """Runs the driver over trees, two at a time."""

    def __init__(self, sandbox: Sandbox, toolchain: Toolchain) -> None:
        self._sandbox, self._toolchain = sandbox, toolchain
        self._turns = asyncio.Semaphore(2)

    async def record(self, tree: Tree, targets: Sequence[Target]) -> dict[str, list[dict[str, Any]]]:
        """Arguments with which the tree's own tests call the targets; none when its tests cannot be run so."""
        wanted = [{"file": one.file, "name": one.qualified, "target": one.name} for one in targets]
        request = {"mode": "record", "paths": tree.paths, "targets": wanted, "seconds": RECORD_SECONDS}
        answers, _ = await self._drive(tree, request, RECORD_SECONDS, "0")
        found: dict[str, list[dict[str, Any]]] = {}
        for answer in answers:
            if isinstance(answer.get("arguments"), dict) and isinstance(answer.get("target"), str):
                found.setdefault(answer["target"], []).append(answer["arguments"])
        return found

    async def replay(self, tree: Tree, calls: Sequence[Any], files: Sequence[str], seed: str) -> Replayed:
        """Perform ``calls`` in order; a call that ends the process is the last one with an outcome."""
        request = {
            "mode": "replay", "paths": tree.paths, "calls": calls, "files": files,
            "seconds": REPLAY_SECONDS, "call_seconds": CALL_SECONDS,
        }  # fmt: skip
        answers, result = await self._drive(tree, request, REPLAY_SECONDS, seed)
        outcomes: dict[int, str] = {}
        lines: Lines = {}
        complete = False
        for answer in answers:
            if answer.get("call") in range(len(calls)) and isinstance(answer.get("outcome"), str):
                outcomes[int(answer["call"])] = answer["outcome"].encode(errors="replace").decode()
            elif isinstance(answer.get("lines"), dict):
                lines[str(answer.get("target"))] = _numbers(answer["lines"])
            complete = complete or answer.get("done") is True
        if not complete and outcomes and max(outcomes) + 1 < len(calls):
            outcomes[max(outcomes) + 1] = _ENDS.get(result.outcome, "ends its process")
        return Replayed(outcomes, lines)

    async def _drive(
        self, tree: Tree, request: Mapping[str, Any], seconds: float, seed: str
    ) -> tuple[list[dict[str, Any]], SandboxResult]:
        wall = seconds + TEARDOWN_SECONDS
        spec = SandboxSpec(
            command=("python", "-P", _INSIDE),
            worktree=tree.root,
            writable=False,
            read_only=(*self._toolchain.binds, (_DRIVER, _INSIDE)),
            env={**self._toolchain.env, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": seed},
            limits=Limits(
                cpu_seconds=2 * wall, wall_seconds=wall, memory_bytes=MEMORY_BYTES, output_bytes=32 << 20
            ),
            stdin=json.dumps(request).encode(),
        )
        async with self._turns:
            result = await self._sandbox.run(spec)
        return _answers(result.stdout), result


async def plan_calls(
    targets: Sequence[Target], recorded: Mapping[str, Sequence[Mapping[str, Any]]], pool: Pool
) -> list[dict[str, Any]]:
    """The calls to make, from a process of its own; none when it does not answer in time."""
    request = {
        "targets": [asdict(one) for one in targets],
        "recorded": recorded,
        "numbers": pool.numbers,
        "texts": pool.texts,
    }
    with tempfile.TemporaryDirectory(prefix="ripple-inputs-") as folder:
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "HOME": folder,
            "PYTHONHASHSEED": "0",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ripple.changes.inputs", cwd=folder, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PLAN_SECONDS):
                out, _ = await process.communicate(json.dumps(request).encode())
            found = json.loads(out) if process.returncode == 0 else []
        except (TimeoutError, ValueError):
            found = []
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return found if isinstance(found, list) else []


def _answers(output: bytes) -> list[dict[str, Any]]:
    found = []
    for line in output.splitlines():
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict):
            found.append(answer)
    return found


def _numbers(lines: Mapping[str, Any]) -> dict[str, set[int]]:
    return {str(file): {one for one in found if isinstance(one, int)} for file, found in lines.items()}
