"""What no longer agrees: document ↔ manifest ↔ lock ↔ installed ↔ running ↔ healthy, environment ↔ environment.

Pure over a :class:`Snapshot`. Rules:

- Each level is compared with the one before it, and a difference is reported once, at the level where it begins: a
  component that does not run is not also reported as unhealthy.
- A level that could not be looked at is named in ``not_compared``; it is never silently clean.
- Each finding names the command that repairs it.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ripple.model.component import ComponentState, ComponentStatus
from ripple.stack.rules import Finding
from ripple.stack.systems import StackMap
from ripple.stack.vendorlock import LockFinding

WAY = ("dev", "qa", "staging", "prod")


class Level(enum.StrEnum):
    """Where a difference begins, in the order they are compared."""

    DOCUMENT = "document"
    MANIFEST = "manifest"
    LOCK = "lock"
    INSTALLED = "installed"
    RUNNING = "running"
    HEALTHY = "healthy"
    ENVIRONMENT = "environment"


class Severity(enum.StrEnum):
    """``error``: what runs is not what is stated. ``warning``: it will be so at the next start or release."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Drift:
    """One difference."""

    level: Level
    severity: Severity
    subject: str
    message: str
    repair: str


@dataclass(frozen=True)
class Installed:
    """A system in the prefix: whether it is what the lock of today holds, and which of its files differ."""

    version: str
    current: bool
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instance:
    """A running instance: its components, and whether it was started from these manifests."""

    components: tuple[ComponentStatus, ...]
    current: bool


@dataclass(frozen=True)
class Running:
    """What has an environment's traffic: a commit, and since when (ISO 8601, UTC)."""

    commit: str
    at: str


@dataclass(frozen=True)
class Snapshot:
    """What was seen. ``None`` is what could not be looked at."""

    map: StackMap
    profile: Sequence[str]
    findings: Sequence[Finding]
    lock: Sequence[LockFinding]
    installed: Mapping[str, Installed]
    """In the prefix."""
    own: Mapping[str, Installed] = field(default_factory=dict)
    """In Ripple's own environment, from which the profile's systems run."""
    instance: Instance | None = None
    environments: Mapping[str, Mapping[str, Running | None]] | None = None
    not_compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """``ripple drift --json``."""

    findings: tuple[Drift, ...]
    not_compared: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """0 none, 2 drift."""
        return 2 if self.findings else 0


def compare(seen: Snapshot) -> Comparison:
    """Every difference, by level."""
    found = [*_documents(seen.findings), *_locks(seen), *_installed(seen)]
    skipped = list(seen.not_compared)
    if seen.instance is None:
        skipped.append("running and healthy: no instance runs here; ./ripple up")
    else:
        found += [*_running(seen, seen.instance), *_healthy(seen, seen.instance)]
    if seen.environments is None:
        skipped.append("environment: no instance answers that knows them")
    else:
        found += _environments(seen.environments)
    order = list(Level)
    return Comparison(tuple(sorted(found, key=lambda one: (order.index(one.level), one.subject))), tuple(skipped))


def _documents(findings: Iterable[Finding]) -> Iterator[Drift]:
    for one in findings:
        where = f"{one.file}:{one.line}" if one.line else one.file
        level = Level.DOCUMENT if one.rule == "FRESH" else Level.MANIFEST
        yield Drift(level, Severity.ERROR, where, f"{one.rule}: {one.message}", one.fix)


def _locks(seen: Snapshot) -> Iterator[Drift]:
    for one in seen.lock:
        yield Drift(Level.LOCK, Severity.ERROR, one.system, one.problem, one.fix)


def _installed(seen: Snapshot) -> Iterator[Drift]:
    for name, one in sorted(seen.own.items()):
        if one.changed:
            message = f"differs from the wheel it came in: {_some(one.changed)}"
            mend = f"./ripple component fix {name}, then ./ripple restart {name}"
            yield Drift(Level.INSTALLED, Severity.ERROR, name, message, mend)
    known = {placed.system.id for placed in seen.map.rows}
    for name, one in sorted(seen.installed.items()):
        fix = f"./ripple component fix {name}"
        if name not in known:
            gone = f"./ripple component remove {name}"
            yield Drift(Level.INSTALLED, Severity.WARNING, name, "is installed and stands in no layer", gone)
        elif one.changed:
            message = f"differs from what was installed: {_some(one.changed)}"
            yield Drift(Level.INSTALLED, Severity.ERROR, name, message, fix)
        elif not one.current:
            message = f"{one.version} was installed from another lock"
            yield Drift(Level.INSTALLED, Severity.WARNING, name, message, fix)


def _some(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def _running(seen: Snapshot, instance: Instance) -> Iterator[Drift]:
    alive = {one.id for one in instance.components if _lives(one)}
    for name in seen.profile:
        if name not in alive:
            state = next((f"is {one.state}: {one.reason or 'no reason is known'}" for one in instance.components
                          if one.id == name), "is not known to the running instance")  # fmt: skip
            yield Drift(Level.RUNNING, Severity.ERROR, name, state, f"./ripple restart {name}")
    if not instance.current:
        message = "runs from other manifests or other code than this checkout's"
        yield Drift(Level.RUNNING, Severity.WARNING, "instance", message, "./ripple up")


def _healthy(seen: Snapshot, instance: Instance) -> Iterator[Drift]:
    for one in instance.components:
        if _lives(one) and one.state is not ComponentState.READY:
            waiting = f", waiting for {', '.join(one.waiting_for)}" if one.waiting_for else ""
            message = f"is {one.state}{waiting}{f': {one.reason}' if one.reason else ''}"
            yield Drift(Level.HEALTHY, Severity.ERROR, one.id, message, f"./ripple restart {one.id}")


def _lives(one: ComponentStatus) -> bool:
    return one.pid is not None


def _environments(found: Mapping[str, Mapping[str, Running | None]]) -> Iterator[Drift]:
    """Each environment against the one before it, which may be ahead, but never behind."""
    for application, releases in sorted(found.items()):
        for before, after in itertools.pairwise(WAY):
            here, there = releases.get(before), releases.get(after)
            if there is None or (here and (here.commit == there.commit or here.at >= there.at)):
                continue
            runs = f"{here.commit[:12]} since before that" if here else "nothing"
            yield Drift(
                Level.ENVIRONMENT,
                Severity.WARNING,
                f"{application}/{after}",
                f"runs {there.commit[:12]} since {there.at}, and {before} runs {runs}",
                f"./ripple change list, and bring {before} to what {after} runs, or roll {after} back",
            )
