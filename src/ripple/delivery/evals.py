"""Evals (gate 5): the application's ``promptfooconfig.yaml``, its programs run in the sandbox.

- The file is the base commit's: a change may not touch it, and it is read without following links.
- A provider is a program of the application (``exec:``); it has no network, so no model outside is asked.
- Every case has to pass. A file that cannot be run as a whole is not run in parts: that is a reason, not a pass.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ripple.delivery.assertions import REGEX, holds
from ripple.delivery.evalplan import Assertion, Case, EvalConfig, unfold
from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest
from ripple.model.errors import Invalid, RippleError
from ripple.planes.sandbox import Limits, Sandbox, SandboxSpec
from ripple.stack.load import load_yaml, parse

MAX_OUTPUT_BYTES = 256 << 10
PARALLEL = 2
SHOWN_CHARACTERS = 2000
_SEARCH_LIMITS = Limits(cpu_seconds=5, wall_seconds=10, memory_bytes=256 << 20, output_bytes=4096)
_SEARCH = "import json,re,sys;p,t=json.load(sys.stdin);sys.stdout.write(str(bool(re.search(p,t))))"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


async def run_evals(
    sandbox: Sandbox, folder: Path, manifest: ApplicationManifest, toolchain: Toolchain
) -> dict[str, Any]:
    """The evals of the tree in ``folder``: ``declared``, ``total``, ``failed``, ``reasons`` and each result.

    Raises:
        Refused: the sandbox this needs is not available here.
        Unavailable: the sandbox failed.
    """
    if manifest.evals is None:
        return {"declared": False, "total": 0, "failed": 0, "reasons": [], "results": []}
    try:
        cases = unfold(await asyncio.to_thread(_config, folder, manifest.evals))
    except RippleError as error:
        return _answer(manifest.evals, [], [f"{manifest.evals} cannot be run: {error}"])
    seconds = min(60.0, manifest.test.timeout_seconds)
    with tempfile.TemporaryDirectory(prefix=".evals-", dir=folder.parent) as scratch:
        tree = Path(scratch) / "tree"
        await asyncio.to_thread(shutil.copytree, folder, tree, symlinks=True)
        runner = _Runner(sandbox, tree, toolchain, seconds)
        results = await runner.all(cases)
    return _answer(manifest.evals, results, [f"{one['name']}: {why}" for one in results for why in one["reasons"]])


class _Runner:
    """Runs cases over one copy of the tree."""

    def __init__(self, sandbox: Sandbox, tree: Path, toolchain: Toolchain, seconds: float) -> None:
        self._sandbox, self._tree, self._toolchain = sandbox, tree, toolchain
        self._limits = Limits(cpu_seconds=2 * seconds, wall_seconds=seconds, output_bytes=MAX_OUTPUT_BYTES)
        self._turns = asyncio.Semaphore(PARALLEL)

    async def all(self, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What became of each case, in order; the first error of the sandbox itself is raised once all ended."""
        found = await asyncio.gather(*(self._one(case) for case in cases), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return [one for one in found if not isinstance(one, BaseException)]

    async def _one(self, case: Case) -> dict[str, Any]:
        async with self._turns:
            output, reasons = await self._call(case)
            if not reasons:
                reasons = await self._judged(case, output)
        return {
            "name": case.name,
            "provider": case.provider,
            "prompt": case.prompt[:SHOWN_CHARACTERS],
            "output": output[:SHOWN_CHARACTERS],
            "ok": not reasons,
            "reasons": reasons,
        }

    async def _call(self, case: Case) -> tuple[str, list[str]]:
        """The program's output, trimmed and without colours, or why there is none."""
        spec = SandboxSpec(
            case.command, self._tree, read_only=self._toolchain.binds, env=self._toolchain.env, limits=self._limits
        )
        result = await self._sandbox.run(spec)
        output, said = (_plain(stream) for stream in (result.stdout, result.stderr))
        if not result.ok:
            return output, [f"its program failed: {result.reason}{f' ({said[-200:]})' if said else ''}"]
        if said and not output:
            return output, [f"its program printed nothing but: {said[-200:]}"]
        return output, []

    async def _judged(self, case: Case, output: str) -> list[str]:
        """Why the case fails: every assertion that does not hold, unless its score reaches the threshold."""
        failed: list[tuple[Assertion, str]] = []
        for assertion in case.assertions:
            try:
                ok = await self._holds(assertion, output)
            except Invalid as error:
                # Not a matter of score: nothing makes up for what cannot be checked.
                return [str(error)]
            if not ok:
                failed.append((assertion, _shown(assertion, output)))
        if case.threshold is None:
            return [reason for assertion, reason in failed if assertion.weight > 0]
        whole = sum(one.weight for one in case.assertions)
        score = 1 - sum(one.weight for one, _ in failed) / whole if whole else 0.0
        return (
            [] if score >= case.threshold else [reason for _, reason in failed] or ["its assertions weigh nothing"]
        )

    async def _holds(self, assertion: Assertion, output: str) -> bool:
        kind = assertion.type.removeprefix("not-")
        if kind == REGEX:
            found = await self._searched(assertion.value, output)
        else:
            found = holds(kind, assertion.value, output)
        return found != assertion.type.startswith("not-")

    async def _searched(self, pattern: Any, output: str) -> bool:
        if not isinstance(pattern, str):
            raise Invalid(f"the value {pattern!r} of regex is no pattern; give a text")
        spec = SandboxSpec(
            command=("python", "-I", "-S", "-c", _SEARCH),
            worktree=self._tree,
            writable=False,
            stdin=json.dumps([pattern, output]).encode(),
            limits=_SEARCH_LIMITS,
        )
        result = await self._sandbox.run(spec)
        said = result.stdout.decode(errors="replace")
        if not result.ok or said not in ("True", "False"):
            last = _plain(result.stderr).rpartition("\n")[2]
            raise Invalid(f"the pattern {pattern!r} cannot be searched for: {last or result.reason}")
        return said == "True"


def _config(folder: Path, name: str) -> EvalConfig:
    root, path = folder.resolve(), folder / name
    if Path(name).is_absolute() or path.is_symlink() or not path.resolve().is_relative_to(root):
        raise Invalid("it leads out of the application or is a link; evals are a plain file of it")
    return parse(EvalConfig, load_yaml(path), name)


def _answer(name: str, results: list[dict[str, Any]], reasons: list[str]) -> dict[str, Any]:
    failed = sum(not one["ok"] for one in results)
    total = len(results)
    return {
        "declared": True,
        "file": name,
        "total": total,
        "failed": failed,
        "reasons": reasons,
        "results": results,
    }


def _plain(stream: bytes) -> str:
    return _ANSI.sub("", stream.decode(errors="replace")).strip()


def _shown(assertion: Assertion, output: str) -> str:
    value = "" if assertion.value is None else f" {assertion.value!r}"
    return f"{assertion.type}{value} does not hold for {output[:200]!r}"
