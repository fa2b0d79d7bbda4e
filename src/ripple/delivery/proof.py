"""Proving systems: install what the lock says, use it as its row says, and sign what came of it.

- An error of the machinery proves nothing: it is raised, and no evidence is written.
- That a system cannot be had here now does not undo the evidence that it works: what was proven stays.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ripple import __version__
from ripple.delivery.evidence import read_evidence, write_evidence
from ripple.governance.keys import NodeKey
from ripple.model.errors import Broken, Unavailable
from ripple.model.system import Kind, Outcome, Smoke, System, VendorLock, Verdict, this_platform
from ripple.stack.proven import Proof, Tried, evidence_name, lock_digest, plain_reason, row_digest
from ripple.stack.systems import Placed, StackMap
from ripple.supervisor.install import Installer, NotObtainable, Tree
from ripple.supervisor.smoke import Smoker, SmokeResult

OWN_LAYER = "0"


@dataclass(frozen=True)
class Bench:
    """What proving needs: the checkout and its map, the lock, an installer, a sandbox and the key to sign with."""

    root: Path
    rows: StackMap
    lock: VendorLock
    installer: Installer
    smoker: Smoker
    key: NodeKey


@dataclass(frozen=True)
class _Found:
    """What a try came to, before it is written down."""

    outcome: Outcome
    reason: str = ""
    tree: Tree | None = None
    result: SmokeResult | None = None
    install_seconds: float = 0.0


async def prove(bench: Bench, placed: Placed) -> Verdict:
    """Try one system and write its evidence; two at once for one system leave the evidence of one of them, whole.

    Raises:
        RippleError: the system is not in the lock, what was fetched or its tree was changed, a tool was
            stopped, it cannot be had although it is proven, or no sandbox works; nothing is written.
    """
    found = await _try(bench, placed)
    if found.outcome is Outcome.NOT_OBTAINABLE:
        _keep_what_is_proven(bench, placed, found.reason)
    verdict = Verdict(
        id=placed.system.id,
        layer=placed.layer.id,
        outcome=found.outcome,
        version=found.tree.version if found.tree else "",
        seconds=round(found.result.seconds, 2) if found.result else 0.0,
        reason=plain_reason(found.reason, _places(bench)),
        evidence=evidence_name(placed.system.id),
    )
    write_evidence(bench.root, bench.key, placed.system, _proof(bench, placed.system, verdict, found))
    return verdict


async def _try(bench: Bench, placed: Placed) -> _Found:
    system = placed.system
    if system.external is not None:
        return _Found(Outcome.EXTERNAL, f"{system.external.why} Covered by: {system.external.covered_by}.")
    assert system.smoke is not None
    if not system.routes and placed.layer.id != OWN_LAYER and system.kind is not Kind.SPEC:
        return _Found(Outcome.NOT_OBTAINABLE, "its row names no route to it")
    began = time.monotonic()
    try:
        others = {name: await _whole(bench, bench.rows.get(name).system) for name in system.smoke.needs}
        tree = await _whole(bench, system) if system.routes else None
    except NotObtainable as error:
        if error.unsure:
            raise
        return _Found(Outcome.NOT_OBTAINABLE, str(error))
    installed = round(time.monotonic() - began, 2)
    result = await bench.smoker.run(system, system.smoke, tree, others)
    return _judged(system.smoke, tree, result, installed)


async def _whole(bench: Bench, system: System) -> Tree:
    """The system's tree, and every byte of it as it was installed."""
    if not system.routes:
        raise NotObtainable(system.id, ())
    was_there = bench.installer.installed(system) is not None
    tree = await bench.installer.install(system)
    if was_there and (different := await bench.installer.verify(system)):
        raise Broken(
            f"the tree of {system.id} is not as it was installed: {'; '.join(different[:3])}; "
            f"./ripple component fix {system.id}"
        )
    return tree


def _keep_what_is_proven(bench: Bench, placed: Placed, reason: str) -> None:
    before = read_evidence(bench.root, placed, bench.lock)
    if before.proof is not None and before.verdict.outcome in (Outcome.WORKS, Outcome.INSTALLS):
        raise Unavailable(
            f"{reason}; its evidence of {before.proof.date[:10]} stays, because the same bytes were used then; "
            f"if they are gone for good, remove {evidence_name(placed.system.id)} and verify it again"
        )


def _judged(smoke: Smoke, tree: Tree | None, result: SmokeResult, installed: float) -> _Found:
    if not result.ok:
        return _Found(Outcome.FAILED, result.reason, tree, result, installed)
    if smoke.not_exercised:
        return _Found(Outcome.INSTALLS, smoke.not_exercised, tree, result, installed)
    return _Found(Outcome.WORKS, "", tree, result, installed)


def _proof(bench: Bench, system: System, verdict: Verdict, found: _Found) -> Proof:
    platform, smoke, result = this_platform(), system.smoke, found.result
    places = _places(bench)
    return Proof(
        verdict=verdict,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        platform=platform,
        ripple=__version__,
        row=row_digest(system),
        lock=lock_digest(system, bench.lock, platform),
        route=str(found.tree.route) if found.tree else "",
        purpose=smoke.purpose if smoke else "",
        isolation=smoke.isolation if smoke and result else "",
        why=smoke.why if smoke and result else "",
        install_seconds=found.install_seconds,
        ready_seconds=result.ready_seconds if result else None,
        steps=tuple(
            Tried(kind=one.kind, exit=one.exit, seconds=one.seconds, tail=plain_reason(one.tail, places))
            for one in (result.steps if result else ())
        ),
    )


def _places(bench: Bench) -> dict[str, str]:
    """The folders whose names would tell of this machine, with what stands for them."""
    return {
        str(bench.installer.prefix.root): "PREFIX",
        str(bench.root): ".",
        str(Path.home()): "~",
        "/work/": "",
    }
