"""Adopting an application: it must pass its own checks as it is, then runs in all four environments.

Policy lets it in as an adoption, which no model voted for; it is one only while the application's row says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from ripple.changes.journal import now
from ripple.changes.steps.ground import toolchain_for
from ripple.changes.steps.promotion import situation
from ripple.changes.steps.rooms import WORKER, Rooms
from ripple.changes.trial import run_integration, run_trial
from ripple.delivery import gates
from ripple.delivery.application import load_application, load_overlay
from ripple.delivery.releases import make_release
from ripple.governance.audit import AuditDraft
from ripple.model.errors import Refused
from ripple.model.gate import Evidence
from ripple.model.release import ENVIRONMENTS, Release


async def adopt_application(rooms: Rooms, name: str) -> None:
    """Test the head of the branch and deploy it everywhere; Refused with the reasons when its own checks fail."""
    row = await rooms.applications.row(name)
    repository = rooms.applications.repository(row)
    await repository.sync()
    commit = await repository.head()
    tree = await repository.tree_of(commit)
    folder = rooms.home.applications / name / "adoption"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    await repository.checkout(commit, folder)
    manifest = load_application(folder)
    toolchain = await toolchain_for(rooms, folder, manifest)
    built = await run_trial(rooms.sandbox, folder, folder, manifest, toolchain)
    integrated = await run_integration(rooms.sandbox, folder, folder, manifest, toolchain)
    for trial in (built, integrated):
        if not trial.ok:
            said = "; ".join(trial.reasons)
            raise Refused(
                f"cannot adopt {name}: at {commit[:12]} its own checks fail: {said}; mend it and add again"
            )
    wanted = Release(name, commit, tree, toolchain.digest)
    release = await make_release(rooms.records, rooms.objects, wanted, repository)
    declared = bool(manifest.test.integration)
    checks = (
        gates.build_gate(release, built.as_rows()),
        gates.integration_gate(release, integrated.as_rows(), declared=declared),
    )
    for environment in ENVIRONMENTS:
        await _let_in(rooms, release, environment, checks)
        overlay = load_overlay(folder, manifest, environment)
        target = rooms.environments.target(release, environment, manifest, overlay, toolchain)
        await rooms.environments.deploy(target, repository)
        await rooms.environments.promote(target)
    draft = AuditDraft(
        principal=WORKER,
        action="application.adopt",
        resource=f"application/{name}",
        outcome="done",
        decision=None,
        trace_id=None,
        data={"commit": commit, "release": release.digest, "at": now()},
    )
    await rooms.audit.append(draft)
    shutil.rmtree(folder, ignore_errors=True)


async def _let_in(rooms: Rooms, release: Release, environment: str, checks: Sequence[Evidence]) -> None:
    """Refused with policy's reasons; whoever added the application approved of its running everywhere."""
    row = await rooms.applications.row(release.application)
    asked = gates.promotion_input(
        release,
        environment,
        checks,
        await situation(rooms, release, environment, {"required": False, "by": ""}),
        gates.from_adoption(row["state"]),
    )
    await rooms.governor.require(
        WORKER, "ripple/promotion", asked, action="release.promote",
        resource=f"environment/{release.application}/{environment}",
    )  # fmt: skip
