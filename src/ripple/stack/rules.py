"""The rules of the map (Spec §0 and §3) as checks. Pure over a loaded :class:`Checked`; each finding says its fix.

- R0.1 one primary UI · R0.2 one way to models · R0.3 edge and agent gateway apart · R0.4 a policy for whatever
  agents use · R0.6 three rungs of isolation · R0.7 every store says its state and backup
- R0.8 whatever runs shows telemetry · R0.9 whatever is obtainable is tested by a use · R0.10 one default a role, a
  reason for every other · R0.11 a default can be had without a container engine · R0.12 one owner of shared state
- R0.13 a default runs on Linux and macOS · R3.1 the five answers · R3.2.c no secret in a manifest
- CONTRACT whatever is consumed is provided · PORT no port twice · VERSION one version of a thing in all files
- FRESH generated files are what their sources make · SHAPE a file parses, without duplicate or unknown keys
- DECISION a reason that names a decision record names one that is there

R0.5 and R0.14 speak of what runs and what is built: their checks are tests of the change flow and of the build.
What the lock holds is compared with the rows by ``lock --check`` (:mod:`ripple.stack.vendorlock`).
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ripple.model.system import RouteKind, System, SystemStatus
from ripple.stack.marks import Marks, Place
from ripple.stack.systems import Placed, StackMap

NEEDS_REASON = (SystemStatus.ALTERNATE, SystemStatus.PLUGIN, SystemStatus.OPTIONAL, SystemStatus.OFF)
RUNGS = ("isolation.process", "isolation.container", "isolation.microvm")
STORES = ("records.", "cache.server", "cache.cluster", "vectors", "objects.server", "content.addressing")
NOT_COVERED = "nothing yet"
AGENT_FACING = ("tools.", "agent.control", "agent.kernel", "agent.gateway", "inference.plane")
MODEL_CLIENTS = re.compile(r"^\s*(?:import|from)\s+(openai|anthropic|litellm|xllamacpp|ollama)\b", re.MULTILINE)
SECRETS = tuple(
    re.compile(form)
    for form in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----", r"AKIA[0-9A-Z]{16}\b", r"gh[pousr]_[A-Za-z0-9]{36,}\b",
        r"sk-[A-Za-z0-9_-]{20,}\b", r"xox[abpr]-[A-Za-z0-9-]{10,}\b", r"hvs\.[A-Za-z0-9]{20,}\b",
    )
)  # fmt: skip
"""Each begins with what is looked for literally, which is ten times as fast as one expression of all of them."""
SECRET_KEYS = re.compile(r"(?i)(password|passwd|secret|token|api_?key|credential)s?$")
_LITERAL_PORT = re.compile(r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1?\]):(\d{2,5})\b|--?port[= ](\d{2,5})\b")
_DECISION = re.compile(r"ADR[ -]?(\d{4})")
_PACKAGE = re.compile(r"\{package\.([A-Za-z0-9._-]+)\}")
PUBLISHED_FROM, PUBLISHED = 20_000, 20_000


@dataclass(frozen=True, order=True)
class Finding:
    """One refusal. ``line`` is 1-based; 0 where the file as a whole is meant."""

    file: str
    line: int
    rule: str
    message: str
    fix: str


@dataclass(frozen=True)
class Checked:
    """All that the rules look at. Paths are relative to ``root``."""

    root: Path
    map: StackMap
    roles: frozenset[str]
    pinned: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)
    decisions: frozenset[str] = frozenset()
    manifests: Mapping[str, str] = field(default_factory=dict)
    exemptions: tuple[str, ...] = ()


class Report:
    """Collects findings about rows, with their lines."""

    def __init__(self, checked: Checked) -> None:
        self.checked = checked
        self.found: list[Finding] = []
        self._marks: dict[Path, Marks] = {}

    def row(self, placed: Placed, rule: str, message: str, fix: str, *place: str | int) -> None:
        """One finding about a row, at the line of ``place`` inside it."""
        marks = self._marks.setdefault(placed.file, Marks(placed.file))
        line = marks.line(*marks.row(placed.system.id), *place)
        file = placed.file.relative_to(self.checked.root).as_posix()
        self.found.append(Finding(file, line, rule, f"{placed.system.id}: {message}", fix))

    def file(self, name: str, rule: str, message: str, fix: str, line: int = 0) -> None:
        """One finding about a file."""
        self.found.append(Finding(name, line, rule, message, fix))


def check(checked: Checked) -> list[Finding]:
    """Every refusal, by file and line; an empty list is a clean map."""
    report = Report(checked)
    for rule in RULES:
        rule(checked, report)
    return sorted(set(report.found))


def published_port(component: str, port: str) -> int:
    """The port that documents and compose files give a component: the same on every machine, from its name."""
    return PUBLISHED_FROM + zlib.crc32(f"{component}.{port}".encode()) % PUBLISHED


def _roles(checked: Checked, report: Report) -> None:
    defaults: dict[str, list[Placed]] = defaultdict(list)
    for placed in checked.map.rows:
        system = placed.system
        if system.role not in checked.roles:
            report.row(
                placed, "R0.10", f"the role {system.role!r} is not in the list",
                "take a role of manifests/stack.yaml, or add it there with its meaning", "role",
            )  # fmt: skip
        if system.status is SystemStatus.DEFAULT:
            defaults[system.role].append(placed)
        elif not system.reason:
            report.row(
                placed, "R0.10", f"is {system.status} and does not say why",
                "write the reason, and name the decision record if there is one", "status",
            )  # fmt: skip
    for role, owners in defaults.items():
        for placed in owners[1:]:
            report.row(
                placed, "R0.10", f"is a second default of {role}; {owners[0].system.id} is one already",
                "make one of them alternate, plugin, optional or off, with a reason", "status",
            )  # fmt: skip
    if len(defaults["ui.primary"]) != 1:
        report.file(
            "manifests/stack.yaml", "R0.1", f"{len(defaults['ui.primary'])} systems are the primary UI; it is one",
            "give exactly one system of role ui.primary the status default",
        )  # fmt: skip


def _models(checked: Checked, report: Report) -> None:
    for name, text in checked.sources.items():
        found = MODEL_CLIENTS.search(text)
        if found and not name.startswith("src/ripple/inference/") and name not in checked.exemptions:
            report.file(
                name, "R0.2", f"imports the model client {found[1]} outside the inference plane",
                "ask models through ripple.inference, or list the file under exemptions in manifests/stack.yaml",
                text.count("\n", 0, found.start()) + 1,
            )  # fmt: skip


def _gateways(checked: Checked, report: Report) -> None:
    for role, foreign in (("edge", "mcp"), ("agent.gateway", "edge")):
        for placed in _active(checked, role):
            if foreign in placed.system.provides:
                report.row(
                    placed, "R0.3", f"is the {role} and provides {foreign} as well",
                    "the front door and the agents' gateway are two systems: drop it from provides", "provides",
                )  # fmt: skip


def _policies(checked: Checked, report: Report) -> None:
    packages = {
        name.removeprefix("policies/").removesuffix(".rego").replace("/", ".")
        for name in checked.sources
        if name.startswith("policies/") and name.endswith(".rego")
    }
    for placed in checked.map.rows:
        policy, role = placed.system.policy, placed.system.role
        if policy and policy not in packages:
            report.row(
                placed, "R0.4", f"names the policy {policy}, which is not under policies/",
                f"add policies/{policy.replace('.', '/')}.rego with its test, or name one that is there", "policy",
            )  # fmt: skip
        elif not policy and role.startswith(AGENT_FACING) and placed.system.status is SystemStatus.DEFAULT:
            report.row(
                placed, "R0.4", "is used by agents and no policy decides it",
                "name the Rego package in the row's policy", "policy",
            )  # fmt: skip


def _rungs(checked: Checked, report: Report) -> None:
    for role in RUNGS:
        if not _active(checked, role):
            report.file(
                "manifests/components", "R0.6", f"no system offers the rung {role}",
                "isolation is a knob with three rungs: add a row that is not off",
            )  # fmt: skip


def _stores(checked: Checked, report: Report) -> None:
    for placed in checked.map.rows:
        system = placed.system
        if system.run is not None and system.role.startswith(STORES) and not system.state:
            report.row(
                placed, "R0.7", "keeps state and does not say where, nor how it is backed up",
                "write state: [{path, backup}] (rebuildable where losing it loses nothing)", "run",
            )  # fmt: skip


def _telemetry(checked: Checked, report: Report) -> None:
    for placed in checked.map.rows:
        telemetry = placed.system.telemetry
        if placed.system.run is not None and telemetry.logs == "none" and not telemetry.metrics:
            report.row(
                placed, "R0.8", "runs and shows neither logs nor metrics",
                "state where its telemetry comes out", "telemetry",
            )  # fmt: skip


def _proof(checked: Checked, report: Report) -> None:
    for placed in checked.map.rows:
        system = placed.system
        if system.smoke is not None and not system.routes:
            report.row(
                placed, "R0.9", "has a smoke test and no way to get it",
                "add a route, or say in external why there is none", "routes",
            )  # fmt: skip
        if system.external is not None and not _is_there(checked.root, system.external.covered_by):
            report.row(
                placed, "R0.9", f"is said to be covered by {system.external.covered_by}, which is not there",
                f"name a test (path::name), or {NOT_COVERED!r}", "external", "covered_by",
            )  # fmt: skip


def _is_there(root: Path, covered_by: str) -> bool:
    """Whether the test exists that a row names for what cannot be tried here."""
    if covered_by == NOT_COVERED:
        return True
    name, _, test = covered_by.partition("::")
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        return False
    return not test or re.search(rf"(?m)^(?:async )?def {re.escape(test)}\(", path.read_text("utf-8")) is not None


def _obtainable(checked: Checked, report: Report) -> None:
    engines = (RouteKind.OCI, RouteKind.NIX)
    for placed in checked.map.rows:
        system = placed.system
        if system.status is not SystemStatus.DEFAULT or system.run is None or system.origin == "ripple":
            continue
        plain = [route for route in system.routes if route.kind not in engines]
        if not plain:
            report.row(
                placed, "R0.11", "is a default that only a container engine or Nix can bring",
                "add a route without them, or make it alternate", "routes",
            )  # fmt: skip
        elif not any(_macos(route.platforms) for route in plain if route.kind is not RouteKind.DEBIAN):
            report.row(
                placed, "R0.13", "is a default that cannot be had on macOS",
                "add a route for macOS, or make it alternate", "routes",
            )  # fmt: skip


def _macos(platforms: tuple[str, ...]) -> bool:
    return not platforms or any(name.startswith("macos") for name in platforms)


def _shared_state(checked: Checked, report: Report) -> None:
    owners = _active(checked, "coordination.dht")
    for placed in owners[1:]:
        report.row(
            placed, "R0.12", f"shares the coordination of agents with {owners[0].system.id}",
            "one system owns shared state: switch one off", "status",
        )  # fmt: skip


def _contracts(checked: Checked, report: Report) -> None:
    provided = {
        name
        for placed in checked.map.rows
        if placed.system.status is not SystemStatus.OFF
        for name in placed.system.provides
    }
    for placed in checked.map.rows:
        for name in placed.system.consumes:
            if name not in provided and placed.system.status is not SystemStatus.OFF:
                report.row(
                    placed, "CONTRACT", f"consumes {name}, which no system provides",
                    f"add {name} to the provides of the system that does, or drop it here", "consumes",
                )  # fmt: skip


def _ports(checked: Checked, report: Report) -> None:
    taken: dict[int, str] = {}
    for placed in checked.map.rows:
        run = placed.system.run
        if run is None:
            continue
        written = " ".join((*run.command, *run.env.values(), *run.files.values()))
        literal = {int(found[1] or found[2]) for found in _LITERAL_PORT.finditer(written)}
        for number in {published_port(run.id, name) for name in run.ports} | literal:
            if number in taken and taken[number] != run.id:
                report.row(
                    placed, "PORT", f"{run.id} and {taken[number]} both want the port {number}",
                    "write {ports.NAME} and list NAME under ports, or give the port another name", "run", "ports",
                )  # fmt: skip
            taken.setdefault(number, run.id)


def _versions(checked: Checked, report: Report) -> None:
    for placed in checked.map.rows:
        system = placed.system
        for number, route in enumerate(system.routes):
            pinned = checked.pinned.get(route.package.lower()) if route.kind is RouteKind.PYPI else None
            if pinned and route.version and pinned != route.version:
                report.row(
                    placed, "VERSION", f"is {route.version} here and {pinned} in requirements.lock",
                    "write the same version in both", "routes", number, "version",
                )  # fmt: skip


def _secrets(checked: Checked, report: Report) -> None:
    fix = "keep it in the secrets of an instance and write a reference (secret://NAME)"
    for name, text in checked.manifests.items():
        for found in (found for form in SECRETS for found in form.finditer(text)):
            before = text[found.start() - 1 : found.start()]
            if not (before.isalnum() or before == "_"):
                line = text.count("\n", 0, found.start()) + 1
                report.file(name, "R3.2.c", "holds what looks like a secret", fix, line)
    for placed in checked.map.rows:
        for key, value in (placed.system.run.env if placed.system.run else {}).items():
            plain = value and "{" not in value and not value.startswith("secret://")
            if SECRET_KEYS.search(key) and plain:
                report.row(placed, "R3.2.c", f"gives {key} a value in the open", fix, "run", "env", key)
        for reference in placed.system.secrets:
            if not reference.startswith("secret://"):
                report.row(placed, "R3.2.c", "lists a secret that is no reference", fix, "secrets")


def _decisions(checked: Checked, report: Report) -> None:
    for placed in checked.map.rows:
        for number in _DECISION.findall(placed.system.reason):
            if number not in checked.decisions:
                report.row(
                    placed, "DECISION", f"names the decision record {number}, which is not under docs/adr",
                    "write it, or name the right one", "reason",
                )  # fmt: skip


def _fresh(checked: Checked, report: Report) -> None:
    for name, text in checked.generated.items():
        path = checked.root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            report.file(
                name, "FRESH", "is not what its sources make" if path.is_file() else "is not there",
                "./ripple stack generate",
            )  # fmt: skip


def _active(checked: Checked, role: str) -> list[Placed]:
    rows = [placed for placed in checked.map.rows if placed.system.role == role]
    return [placed for placed in rows if placed.system.status is not SystemStatus.OFF]


RULES: tuple[Callable[[Checked, Report], None], ...] = (
    _roles, _models, _gateways, _policies, _rungs, _stores, _telemetry, _proof, _obtainable, _shared_state,
    _contracts, _ports, _versions, _secrets, _decisions, _fresh,
)  # fmt: skip


def duplicates(files: Mapping[str, Marks]) -> Iterator[Finding]:
    """Keys that stand twice in one mapping: the fast parser keeps the last one silently."""
    for name, marks in files.items():
        for line, key in marks.duplicates():
            yield Finding(name, line, "SHAPE", f"the key {key!r} stands twice", "keep one of them")


def by_rule(findings: list[Finding]) -> dict[str, int]:
    """How often each rule refused."""
    return dict(sorted(Counter(finding.rule for finding in findings).items()))


__all__ = ["Checked", "Finding", "Place", "Report", "System", "by_rule", "check", "duplicates", "published_port"]
