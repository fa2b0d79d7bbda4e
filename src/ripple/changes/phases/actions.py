"""What each task of a phase does. Each looks at the real thing: a refusal says what it saw and what to do."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
from sqlalchemy import select

from ripple.changes.attested import doubt
from ripple.changes.phases.runs import Runs
from ripple.changes.steps.rooms import Rooms
from ripple.delivery.stackdocuments import check_stack
from ripple.delivery.stackstate import Stackstate
from ripple.model.change import ChangeState
from ripple.model.component import ComponentState
from ripple.model.errors import Broken, Refused, Unavailable
from ripple.model.gate import GateName, Verdict
from ripple.model.release import ENVIRONMENTS
from ripple.planes.records import tables as t
from ripple.planes.records.schema import HEAD
from ripple.stack.documents import COMPOSE
from ripple.stack.load import load_manifest
from ripple.stack.manifests.hash import manifest_hash
from ripple.stack.oci import BASE, FOLDER, merge_files
from ripple.stack.phases import Action
from ripple.supervisor.client import SupervisorClient

GIT_SECONDS = 30.0


@dataclass(frozen=True)
class Workshop:
    """What the tasks work with: the rooms of the worker, the kept runs, the checkout."""

    rooms: Rooms
    runs: Runs
    root: Path

    @property
    def stack(self) -> Stackstate:
        """What is locked, installed and proven."""
        return Stackstate(self.root, self.rooms.home)


Found = Mapping[str, Any]


async def tree_clean(at: Workshop) -> Found:
    """Refused while Git knows of a change that is not committed."""

    def ask(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ("git", *arguments), cwd=at.root, capture_output=True, text=True, timeout=GIT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(f"cannot ask Git about {at.root}: {error}") from error
        if done.returncode:
            raise Refused(f"{at.root} is no Git checkout, so nobody can say it is clean: {done.stderr.strip()}")
        return done.stdout.rstrip()

    changed = (await anyio.to_thread.run_sync(ask, "status", "--porcelain")).splitlines()
    if changed:
        raise Refused(
            f"{len(changed)} files of {at.root} are not committed, such as {changed[0][3:]}; commit them"
        )
    return {"revision": await anyio.to_thread.run_sync(ask, "rev-parse", "HEAD")}


async def map_check(at: Workshop) -> Found:
    """Refused while a rule of the map is broken."""
    findings = [one for one in await _findings(at) if one.rule != "FRESH"]
    if findings:
        first = findings[0]
        raise Refused(f"{len(findings)} rules are broken, such as {first.file}:{first.line} {first.message}")
    return {"manifest_hash": manifest_hash(at.root / "manifests")}


async def tools_verify(at: Workshop) -> Found:
    """Refused while something installed is not what was installed."""
    found = await at.stack.verified()
    wrong = {name: files for name, files in found.items() if files}
    if wrong:
        name, files = next(iter(wrong.items()))
        raise Refused(f"{name} differs from what was installed ({files[0]}); ./ripple component fix {name}")
    return {"installed": sorted(found)}


async def lock_check(at: Workshop) -> Found:
    """Refused while a route of the map has no lock for this platform, or another version's."""
    wrong = at.stack.unlocked()
    if wrong:
        raise Refused(
            f"{len(wrong)} systems are not locked as their rows say, such as {wrong[0]}; ./ripple lock update"
        )
    return {"locked": at.stack.locked()}


async def documents_check(at: Workshop) -> Found:
    """Refused while a generated file is stale."""
    stale = [one.file for one in await _findings(at) if one.rule == "FRESH"]
    if stale:
        raise Refused(f"{', '.join(stale[:3])} are not what the map makes; ./ripple stack generate")
    return {"fresh": True}


async def images_merge(at: Workshop) -> Found:
    """Write the merged image table."""
    merged = await anyio.to_thread.run_sync(merge_files, at.root / FOLDER)
    return {"images": len(merged), "pinned": sum(bool(image.digest) for image in merged)}


async def images_freeze(at: Workshop) -> Found:
    """Refused while the compose file deploys an image other than by a digest of the tables.

    An image that nobody has pinned is not deployed, and told.
    """
    merged = await anyio.to_thread.run_sync(merge_files, at.root / FOLDER)
    frozen = {image.reference for image in merged if image.digest}
    services = load_manifest(at.root / COMPOSE).get("services") or {}
    images = {name: one.get("image") for name, one in services.items()}
    wrong = [f"{name} ({image or 'no image'})" for name, image in images.items() if image not in frozen]
    if wrong:
        raise Refused(
            f"{COMPOSE} deploys {len(wrong)} images without a digest of the tables: {', '.join(wrong)}; "
            f"write the digest (sha256:…) of each into {FOLDER}/{BASE}, then ./ripple stack generate"
        )
    waiting = [image.reference for image in merged if not image.digest]
    return {"frozen": len(frozen), "not_pinned_and_not_deployed": waiting}


async def reconciler_healthy(at: Workshop) -> Found:
    """Refused while a component of the profile is not ready."""
    status = await SupervisorClient(at.rooms.home).status()
    waiting = [f"{one.id} is {one.state}" for one in status.components if one.state is not ComponentState.READY]
    if waiting:
        raise Unavailable(f"{'; '.join(waiting)}; ./ripple status")
    return {one.id: one.version for one in status.components}


async def records_migrated(at: Workshop) -> Found:
    """Refused while the database does not answer at the newest migration."""
    async with at.rooms.records.read() as connection:
        found = (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar()
    if found != HEAD:
        raise Broken(f"the database is at migration {found}, this code at {HEAD}; ./ripple restart api")
    return {"migration": found}


async def objects_keep(at: Workshop) -> Found:
    """Refused while the object store does not give back what it was given."""
    data, key = secrets.token_bytes(4096), "phases/probe"
    await at.rooms.objects.put(key, data)
    if await at.rooms.objects.get(key) != data:
        raise Broken("the object store gave back other bytes than it was given")
    return {"bytes": len(data)}


async def audit_whole(at: Workshop) -> Found:
    """Refused while the audit chain is broken."""
    verdict = await at.rooms.audit.verify()
    if not verdict.ok:
        raise Broken(f"the audit chain is broken: {verdict.reason}; ./ripple audit verify")
    return {"entries": verdict.entries}


async def models_listed(at: Workshop) -> Found:
    """Refused while nobody could answer."""
    names = [one["name"] for one in await at.rooms.voters.providers()]
    if not names:
        raise Refused("no model is configured; ./ripple models add, or ./ripple provider add")
    return {"models": names}


async def models_answer(at: Workshop) -> Found:
    """Refused while no configured model completes a short question."""
    reasons = []
    for one in await at.rooms.voters.providers():
        answer = await at.rooms.voters.test_provider(one["name"])
        if answer["ok"]:
            return {"model": one["name"], "seconds": answer["latency_seconds"]}
        reasons.append(f"{one['name']}: {answer['reason']}")
    raise Refused(f"no model answers: {'; '.join(reasons) or 'none is configured'}")


async def flow_complete(at: Workshop) -> Found:
    """This very task runs in a durable flow: what is left to see is that it goes through the engine's history."""
    from temporalio import activity

    here = activity.info()
    if here.workflow_id is None:
        raise Refused("this task does not run in a flow")
    return {"flow": here.workflow_id, "type": here.workflow_type, "attempt": here.attempt}


async def systems_proven(at: Workshop) -> Found:
    """Refused while a system the profile runs has no proof that it works, for the row and lock of today."""
    unproven = await anyio.to_thread.run_sync(at.stack.unproven)
    if unproven:
        name, why = next(iter(unproven.items()))
        raise Refused(
            f"{len(unproven)} systems of the profile are not proven; {name}: {why}; ./ripple verify {name}"
        )
    return {"proven": sorted(one.id for one in at.stack.profile_systems())}


async def promotion_recorded(at: Workshop) -> Found:
    """Refused while no change has gone to production with evidence of all six gates that holds."""
    promoted = t.changes.c.state == ChangeState.PROMOTED.value
    query = select(t.changes.c.id, t.changes.c.release).where(promoted).order_by(t.changes.c.created_at.desc())
    async with at.rooms.records.read() as connection:
        changes = [(str(row[0]), str(row[1])) for row in (await connection.execute(query)).all()]
    lacking = {}
    for change, release in changes:
        held = await _gates_held(at, change, release)
        lacking[change] = sorted({gate.value for gate in GateName} - held)
        if not lacking[change]:
            return {"change": change, "release": release, "gates": sorted(held)}
    if not lacking:
        raise Refused("no change has gone to prod and stayed there; ./ripple change submit")
    newest, gates = next(iter(lacking.items()))
    raise Refused(
        f"none of {len(lacking)} promoted changes has sound evidence of all gates; the newest, {newest}, has "
        f"none of {', '.join(gates)}; let another change go to prod"
    )


async def _gates_held(at: Workshop, change: str, release: str) -> set[str]:
    """The gates that said yes to this release in a statement that holds; the canary's counts in prod alone."""
    return {
        row["gate"]
        for row in await at.rooms.journal.evidence(change)
        if row["verdict"] == Verdict.PASS
        and row["subject"] == release
        and (row["gate"] != GateName.CANARY or row["environment"] == ENVIRONMENTS[-1])
        and not doubt(row, at.rooms.key.public_pem)
    }


async def evidence_holds(at: Workshop) -> Found:
    """Refused without P6's signed evidence for the manifests of today."""
    found = await at.runs.proof("P6", f"sha256:{manifest_hash(at.root / 'manifests')}")
    return {"run": found.get("run", ""), "at": found.get("at", "")}


async def binary_build(at: Workshop) -> Found:
    """Refused: this checkout has no builder of the bootstrap binary."""
    raise Refused(f"{at.root} has no builder of the bootstrap binary (bootstrap/), so no binary can be made")


async def _findings(at: Workshop) -> list[Any]:
    return await anyio.to_thread.run_sync(check_stack, at.root)


ACTIONS: Mapping[Action, Callable[[Workshop], Awaitable[Found]]] = {
    Action.TREE_CLEAN: tree_clean,
    Action.MAP_CHECK: map_check,
    Action.TOOLS_VERIFY: tools_verify,
    Action.LOCK_CHECK: lock_check,
    Action.DOCUMENTS_CHECK: documents_check,
    Action.IMAGES_MERGE: images_merge,
    Action.IMAGES_FREEZE: images_freeze,
    Action.RECONCILER_HEALTHY: reconciler_healthy,
    Action.RECORDS_MIGRATED: records_migrated,
    Action.OBJECTS_KEEP: objects_keep,
    Action.AUDIT_WHOLE: audit_whole,
    Action.MODELS_LISTED: models_listed,
    Action.MODELS_ANSWER: models_answer,
    Action.FLOW_COMPLETE: flow_complete,
    Action.SYSTEMS_PROVEN: systems_proven,
    Action.PROMOTION_RECORDED: promotion_recorded,
    Action.EVIDENCE_HOLDS: evidence_holds,
    Action.BINARY_BUILD: binary_build,
}
