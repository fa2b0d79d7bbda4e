"""Try a tree: build it, run its own tests, and the base commit's over it, in the sandbox.

- The tree's folder is never written: everything runs in copies that are thrown away.
- The commands are the base commit's. Its tests replace the tree's in a second copy, made before any test of the
  tree ran, so that neither rewritten tests nor what they do to the folder can make the base's tests pass.
- A suite has to show that it ran: no test collected, or no report of them, is a failure whatever the exit status.
- The first command that fails ends the trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ripple.changes.testreport import FILE, OPTIONS, Report, is_pytest, read_report
from ripple.changes.treefiles import plain_path
from ripple.delivery.toolchain import Toolchain
from ripple.model.application import ApplicationManifest
from ripple.model.digest import canonical_json
from ripple.planes.sandbox import Limits, Outcome, Sandbox, SandboxResult, SandboxSpec

TAIL_BYTES = 4096
WRITTEN_TEST = "test_written_by_another.py"
WRITTEN_SECONDS = 30.0
MAX_WRITTEN_BYTES = 100_000
UNUSABLE = "unusable"
_COPIED = shutil.ignore_patterns("__pycache__", ".git")
_NO_TESTS = re.compile(r"\bRan 0 tests\b|\bno tests ran\b|\bNO TESTS RAN\b")
_SHOWN_TESTS = 5


@dataclass(frozen=True)
class CommandRun:
    """One command and how it ended. ``output`` holds the last 4 KiB of each stream."""

    name: str
    command: tuple[str, ...]
    ok: bool
    reasons: tuple[str, ...]
    outcome: str
    exit_code: int | None
    duration_seconds: float
    output: str

    def as_row(self) -> dict[str, Any]:
        """Plain data for evidence and the timeline."""
        row = asdict(self)
        return {**row, "command": list(self.command), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Trial:
    """What the commands said: ``ok`` when every one of them passed, else the reasons."""

    ok: bool
    reasons: tuple[str, ...]
    commands: tuple[CommandRun, ...]

    def as_rows(self) -> list[dict[str, Any]]:
        """The commands as plain data, in the order in which they ran."""
        return [one.as_row() for one in self.commands]


async def run_trial(
    sandbox: Sandbox, folder: Path, base: Path, manifest: ApplicationManifest, toolchain: Toolchain
) -> Trial:
    """Build the tree in ``folder`` and run its unit tests and those of ``base``; a failure is a result.

    Raises:
        Refused: the sandbox this needs is not available here.
        Unavailable: the sandbox failed, or the disk did.
    """
    return await _tried(_Bench(sandbox, manifest, toolchain), folder, base, manifest.test.unit, "unit tests")


async def run_integration(
    sandbox: Sandbox, folder: Path, base: Path, manifest: ApplicationManifest, toolchain: Toolchain
) -> Trial:
    """As :func:`run_trial` with the integration tests; an application without any passes with no command."""
    if not manifest.test.integration:
        return Trial(True, (), ())
    bench = _Bench(sandbox, manifest, toolchain)
    return await _tried(bench, folder, base, manifest.test.integration, "integration tests")


async def run_written_test(
    sandbox: Sandbox, folder: Path, content: str, manifest: ApplicationManifest, toolchain: Toolchain
) -> str:
    """What a test file somebody wrote does on the tree: its tests by name and how each ended, as JSON.

    The same tree and file give the same text: no times, no places. ``unusable`` when the file is not UTF-8, holds
    no test, does not end, or ends differently when it is run again.
    """
    data = content.encode(errors="replace")
    if not data.strip() or len(data) > MAX_WRITTEN_BYTES:
        return UNUSABLE
    bench = _Bench(sandbox, manifest, toolchain)
    async with _copies(folder) as scratch:
        first, second = scratch / "first", scratch / "second"
        await asyncio.gather(*(asyncio.to_thread(_with_test, folder, copy, data) for copy in (first, second)))
        said = await asyncio.gather(bench.written(first), bench.written(second))
    return said[0] if said[0] == said[1] else UNUSABLE


class _Bench:
    """How this application's commands are run."""

    def __init__(self, sandbox: Sandbox, manifest: ApplicationManifest, toolchain: Toolchain) -> None:
        self.sandbox, self.manifest, self.toolchain = sandbox, manifest, toolchain

    async def build(self, tree: Path) -> CommandRun | None:
        build = self.manifest.build
        if build is None:
            return None
        result = await self._run(tree, build.command, build.timeout_seconds)
        return _run_of("build", build.command, result, _why(result))

    async def tests(self, tree: Path, name: str, command: tuple[str, ...]) -> CommandRun:
        (tree / FILE).unlink(missing_ok=True)
        result = await self._run(tree, command, self.manifest.test.timeout_seconds)
        report = await asyncio.to_thread(read_report, tree)
        return _run_of(name, command, result, _why_tests(command, result, report))

    async def written(self, tree: Path) -> str:
        python = self.manifest.test.unit[0]
        python = python if os.path.basename(python).startswith("python") else "python"  # noqa: PTH119
        command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", WRITTEN_TEST)
        seconds = min(WRITTEN_SECONDS, self.manifest.test.timeout_seconds)
        result = await self._run(tree, command, seconds)
        report = await asyncio.to_thread(read_report, tree)
        if result.outcome is not Outcome.EXITED or report is None or not report.named("passed", "failed"):
            return UNUSABLE
        return canonical_json(dict(report.tests)).decode()

    async def _run(self, tree: Path, command: tuple[str, ...], seconds: float) -> SandboxResult:
        spec = SandboxSpec(
            command=command,
            worktree=tree,
            read_only=self.toolchain.binds,
            env={**self.toolchain.env, **OPTIONS},
            limits=Limits(cpu_seconds=2 * seconds, wall_seconds=seconds),
        )
        return await self.sandbox.run(spec)


async def _tried(bench: _Bench, folder: Path, base: Path, command: tuple[str, ...], name: str) -> Trial:
    paths = tuple(plain_path(path.rstrip("/")) for path in bench.manifest.test.paths)
    async with _copies(folder) as scratch:
        own, accepted = scratch / "own", scratch / "accepted"
        await asyncio.to_thread(_copy, folder, own)
        built = await bench.build(own)
        runs = [built] if built else []
        differ = await asyncio.to_thread(_differ, folder, base, paths)
        if differ and _passed(runs):
            await asyncio.to_thread(_with_tests_of, base, own, accepted, paths)
        if _passed(runs):
            runs.append(await bench.tests(own, name, command))
        if differ and _passed(runs):
            runs.append(await bench.tests(accepted, f"{name} of the base commit", command))
    reasons = tuple(f"{run.name}: {reason}" for run in runs for reason in run.reasons)
    return Trial(_passed(runs), reasons, tuple(runs))


def _passed(runs: Sequence[CommandRun]) -> bool:
    return all(run.ok for run in runs)


@contextlib.asynccontextmanager
async def _copies(folder: Path) -> AsyncIterator[Path]:
    """A folder for copies beside the tree, on the same disk; gone afterwards."""
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".trial-", dir=folder.parent))
    try:
        yield scratch
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=_COPIED)


def _with_test(folder: Path, copy: Path, data: bytes) -> None:
    _copy(folder, copy)
    (copy / WRITTEN_TEST).unlink(missing_ok=True)
    (copy / WRITTEN_TEST).write_bytes(data)


def _with_tests_of(base: Path, built: Path, target: Path, paths: Sequence[str]) -> None:
    """A copy of the built tree whose test paths are exactly the base's, compiled leftovers included."""
    shutil.copytree(built, target, symlinks=True, ignore=shutil.ignore_patterns(FILE))
    for path in paths:
        _remove(target, path)
        source = base / path
        if source.is_dir() and not source.is_symlink():
            _copy(source, target / path)
        elif os.path.lexists(source):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / path, follow_symlinks=False)


def _remove(root: Path, path: str) -> None:
    """Remove what is at ``path`` below ``root``; a link on the way there is removed, not followed."""
    place = root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            place.unlink()
            return
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _differ(tree: Path, base: Path, paths: Sequence[str]) -> bool:
    return any(dict(_contents(tree / path)) != dict(_contents(base / path)) for path in paths)


def _contents(root: Path) -> Iterator[tuple[str, bytes | str]]:
    """What lies at and below ``root``, links by where they lead; caches of the interpreter do not count."""
    if root.is_symlink():
        yield "", f"link to {root.readlink()}"
    elif root.is_file():
        yield "", root.read_bytes()
    elif root.is_dir():
        yield "", "folder"
        for child in sorted(root.iterdir()):
            if child.name != "__pycache__":
                yield from ((f"{child.name}/{name}", value) for name, value in _contents(child))


def _run_of(name: str, command: tuple[str, ...], result: SandboxResult, reasons: tuple[str, ...]) -> CommandRun:
    output = "\n".join(text for stream in (result.stdout, result.stderr) if (text := _tail(stream)))
    seconds = round(result.duration_seconds, 3)
    return CommandRun(name, command, not reasons, reasons, result.outcome.value, result.exit_code, seconds, output)


def _why(result: SandboxResult) -> tuple[str, ...]:
    """Why a command did not pass; () when it did."""
    if result.ok:
        return ()
    said = _last_line(result.stderr) or _last_line(result.stdout)
    return (f"{result.reason or 'it failed'}{f' ({said})' if said else ''}",)


def _why_tests(command: tuple[str, ...], result: SandboxResult, report: Report | None) -> tuple[str, ...]:
    failed = report.named("failed", "error") if report else []
    if failed and report:
        more = f" and {len(failed) - _SHOWN_TESTS} more" if len(failed) > _SHOWN_TESTS else ""
        names = ", ".join(failed[:_SHOWN_TESTS])
        return (f"{len(failed)} of {len(report.tests)} tests failed: {names}{more}",)
    if not result.ok:
        return ("no tests were collected",) if is_pytest(command) and result.exit_code == 5 else _why(result)
    if report is None and is_pytest(command):
        return ("exited with status 0 but left no report of its tests: something ended the process early",)
    if report is not None and not report.named("passed"):
        return (f"exited with status 0 but none of {len(report.tests)} tests passed",)
    if report is None and _NO_TESTS.search(_tail(result.stdout) + _tail(result.stderr)):
        return ("exited with status 0 but ran no tests",)
    return ()


def _tail(data: bytes) -> str:
    """The end of a stream as text without control characters."""
    text = data[-TAIL_BYTES:].decode(errors="replace")
    return "".join(one for one in text if one.isprintable() or one in "\n\t").strip()


def _last_line(data: bytes) -> str:
    lines = _tail(data).splitlines()
    return lines[-1].strip()[:200] if lines else ""
