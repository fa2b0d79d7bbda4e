"""What the stack of one instance is: stated, locked, installed, proven and running; and where these differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio.to_thread

from ripple.delivery.evidence import read_all
from ripple.delivery.stackdocuments import check_stack
from ripple.model.errors import RippleError, Unavailable
from ripple.model.paths import Home
from ripple.model.system import Outcome, System, VendorLock, this_platform
from ripple.stack.components import Profile, load_profile
from ripple.stack.drift import Comparison, Installed, Instance, Running, Snapshot, compare
from ripple.stack.proven import Proven, evidence_name
from ripple.stack.settings import profile_of
from ripple.stack.systems import StackMap, load_map
from ripple.stack.vendorlock import check_lock, load_lock
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.fingerprint import fingerprint
from ripple.supervisor.install import Installer, Prefix
from ripple.supervisor.install.own import changed_files, own_package

Applications = Callable[[], Mapping[str, Any]]


class Stackstate:
    """The checkout at ``root`` as the instance in ``home`` has it. Reads files; changes nothing."""

    def __init__(self, root: Path, home: Home) -> None:
        self.root, self.home = root, home

    @property
    def manifests(self) -> Path:
        """The folder of the manifests."""
        return self.root / "manifests"

    @cached_property
    def map(self) -> StackMap:
        """Every row."""
        return load_map(self.manifests)

    @cached_property
    def lock(self) -> VendorLock:
        """What is locked."""
        return load_lock(self.manifests)

    @cached_property
    def profile(self) -> Profile:
        """The profile the instance was started with."""
        return load_profile(self.manifests, profile_of(self.home.choices))

    @cached_property
    def installer(self) -> Installer:
        """Reads receipts; installs when asked."""
        return Installer(self.home.prefix, self.lock)

    def profile_systems(self) -> list[System]:
        """The systems the profile runs that are not Ripple's own code."""
        rows = (self.map.component(name) for name in self.profile.components)
        return [row.system for row in rows if row is not None and row.system.external is None]

    def installed(self) -> dict[str, Installed]:
        """Every system in the prefix; a file is hashed only where its times say it may have changed."""
        prefix = Prefix(self.home.prefix)
        known = {row.system.id: row.system for row in self.map.rows}
        found = {}
        for name in prefix.systems():
            tree = self.installer.installed(known[name]) if name in known else None
            current = tree is not None
            tree = tree or next(iter(prefix.trees(name)), None)
            if tree is not None:
                changed = tuple(prefix.differences(tree, touched_only=True))
                found[name] = Installed(tree.version, current, changed)
        return found

    def own(self) -> dict[str, Installed]:
        """The profile's systems as Ripple's own environment has them: what of their wheels has changed since."""
        found = {}
        for system in self.profile_systems():
            if (package := own_package(system)) is not None:
                found[system.id] = Installed(package.version, current=True, changed=tuple(changed_files(package)))
        return found

    def proven(self) -> dict[str, Proven]:
        """Every system as its evidence shows it."""
        return {one.placed.system.id: one for one in read_all(self.root, self.map.rows, self.lock)}

    def signer(self, system: str) -> str:
        """The id of the key that signed the evidence of a system; empty while there is none."""
        try:
            envelope = json.loads((self.root / evidence_name(system)).read_text(encoding="utf-8"))
            return str(envelope["signatures"][0]["keyid"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""

    def unproven(self) -> dict[str, str]:
        """The profile's systems that are not proven to work, and why."""
        found = self.proven()
        verdicts = {system.id: found[system.id].verdict for system in self.profile_systems()}
        return {
            name: verdict.reason or f"the outcome is {verdict.outcome}"
            for name, verdict in verdicts.items()
            if verdict.outcome is not Outcome.WORKS
        }

    async def verified(self) -> dict[str, list[str]]:
        """Every installed system with what differs of it, byte by byte."""
        known = {row.system.id: row.system for row in self.map.rows}
        found = {}
        for name in Prefix(self.home.prefix).systems():
            if name in known and self.installer.installed(known[name]) is not None:
                found[name] = await self.installer.verify(known[name])
        return found

    def unlocked(self) -> list[str]:
        """The systems whose lock is not what their rows say."""
        return [one.system for one in check_lock(self.map, self.lock, this_platform())]

    def locked(self) -> int:
        """How many systems the lock knows."""
        return len(self.lock.systems)


async def compare_all(state: Stackstate, applications: Applications | None) -> Comparison:
    """Everything that can be compared; ``applications`` asks the instance what runs in its environments."""
    skipped: list[str] = []
    findings = await anyio.to_thread.run_sync(check_stack, state.root)
    seen = Snapshot(
        map=state.map,
        profile=state.profile.components,
        findings=findings,
        lock=check_lock(state.map, state.lock, this_platform()),
        installed=await anyio.to_thread.run_sync(state.installed),
        own=await anyio.to_thread.run_sync(state.own),
        instance=await instance_of(state),
        environments=await _environments(applications),
        not_compared=tuple(skipped),
    )
    return compare(seen)


async def instance_of(state: Stackstate) -> Instance | None:
    """What the supervisor says; None when there is none."""
    client = SupervisorClient(state.home)
    try:
        status = await client.status()
        told = await client.ask({"do": "identity"})
    except Unavailable:
        return None
    return Instance(tuple(status.components), told["build"] == fingerprint(state.manifests))


async def _environments(applications: Applications | None) -> dict[str, dict[str, Running | None]] | None:
    if applications is None:
        return None
    try:
        found = await anyio.to_thread.run_sync(applications)
    except RippleError:
        return None
    return {
        one["name"]: {
            place["environment"]: Running(str(stable["commit"]), str(stable["at"])) if stable else None
            for place in one["environments"]
            for stable in (place["stable"],)
        }
        for one in found["applications"]
    }
