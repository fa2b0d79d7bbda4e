"""Steps 1 and 2: may this be asked, of which commit, and what do the models get to see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.changes.activities import StepContext, StepOutcome
from ripple.changes.calls import GO, STOP
from ripple.changes.steps.ground import Ground, ground_of
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.inference.classify import classify
from ripple.inference.prompt import ContextFile, rank_files
from ripple.model.application import ApplicationManifest
from ripple.model.change import ChangeKind
from ripple.model.digest import digest_bytes

MAX_FILE_BYTES = 60_000
SKIPPED_FOLDERS = frozenset({".git", "__pycache__", "node_modules", ".venv"})
SKIPPED_SUFFIXES = (".lock", ".png", ".jpg", ".ico", ".woff2", ".pyc")


async def admit(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Bind the change to a commit and a kind, and ask policy and the voters' plan whether it can go on."""
    change = context.change
    repository = await rooms.repository(change)
    await repository.sync()
    base = await repository.head()
    manifest = (await ground_of(rooms, change, base)).manifest
    kind = ChangeKind(change["kind"]) if change["kind"] else classify(change["intent"], manifest)
    asked = {
        "application": change["application"],
        "kind": kind.value,
        "policy": change["policy"],
        "dirty": await repository.dirty(),
        "principal": change["principal"],
    }
    decision = await rooms.governor.decide(
        WORKER,
        "ripple/changes/admit",
        asked,
        action="change.admit",
        resource=f"change/{change['id']}",
        trace_id=change["trace_id"],
    )
    plan = await rooms.voters.plan(change["policy"], kind)
    await rooms.journal.set_change(change["id"], kind=kind.value, base_commit=base)
    reasons = [*([] if decision.allowed else decision.reasons), *plan.refusals]
    outputs = {"base_commit": base, "kind": kind.value, "voters": plan.names, "acceptance": _acceptance(manifest)}
    return StepOutcome(STOP if reasons else GO, list(reasons), {**asked, "intent": change["intent"]}, outputs)


async def gather(rooms: Rooms, context: StepContext) -> StepOutcome:
    """Choose the files the models get, most relevant first, and record their digests."""
    change = context.change
    files = await ranked_files(await ground_of(rooms, change), change)
    shown = [{"path": one.path, "digest": one.digest, "bytes": len(one.text.encode())} for one in files]
    if not files:
        return StepOutcome(STOP, ["the application has no text files a change could be made to"])
    return StepOutcome(inputs={"base_commit": change["base_commit"]}, outputs={"files": shown})


async def ranked_files(ground: Ground, change: Mapping[str, Any]) -> list[ContextFile]:
    """The base commit's text files, most relevant to the intent first."""
    found = await anyio.to_thread.run_sync(_context_files, ground.folder)
    return rank_files(change["intent"], ChangeKind(change["kind"]), found, ground.manifest)


def _context_files(root: Path) -> list[ContextFile]:
    return [one for path in sorted(root.rglob("*")) if (one := _context_file(root, path))]


def _context_file(root: Path, path: Path) -> ContextFile | None:
    relative = path.relative_to(root)
    if path.is_symlink() or not path.is_file() or SKIPPED_FOLDERS & set(relative.parts):
        return None
    if path.name.endswith(SKIPPED_SUFFIXES) or path.stat().st_size > MAX_FILE_BYTES:
        return None
    data = path.read_bytes()
    try:
        return ContextFile(relative.as_posix(), data.decode(), digest_bytes(data))
    except UnicodeDecodeError:
        return None


def _acceptance(manifest: ApplicationManifest) -> dict[str, Any]:
    build = list(manifest.build.command) if manifest.build else []
    return {"build": build, "unit": list(manifest.test.unit), "integration": list(manifest.test.integration)}
