"""A system of the stack map: one row of ``manifests/components``, of which everything else is generated.

Rules of a row:

- A system has one role, and one system is the ``default`` of a role (Spec §0 rule 10).
- ``routes`` are tried in order; what each fetched is held by ``manifests/vendor.lock.json``, never by the row.
- ``run`` makes it a component of the supervisor; ``smoke`` uses it for what it is for.
- A row has exactly one of ``smoke`` and ``external``: proven by use, or out of reach for a named reason.
"""

from __future__ import annotations

import enum
import sys
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ripple.model.component import Component, Probe

ID = r"^[a-z0-9][a-z0-9._-]{0,80}$"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SystemStatus(enum.StrEnum):
    """How a system takes part (X1: the specification's word *Primary* meant two things)."""

    DEFAULT = "default"
    ALTERNATE = "alternate"
    PLUGIN = "plugin"
    OPTIONAL = "optional"
    OFF = "off"


class Kind(enum.StrEnum):
    """What a system is."""

    CLI = "cli"
    LIBRARY = "library"
    SDK = "sdk"
    SERVER = "server"
    SERVICE = "service"
    SPEC = "spec"
    MODEL = "model"
    PROVIDER = "provider"
    DATASET = "dataset"


class RouteKind(enum.StrEnum):
    """Where a system can be had."""

    PYPI = "pypi"
    NPM = "npm"
    DEBIAN = "debian"
    GO = "go"
    CRATES = "crates"
    MAVEN = "maven"
    URL = "url"
    OCI = "oci"
    NIX = "nix"


class Route(_Row):
    """One way to get a system.

    ``package`` is the name the route's registry knows: a PyPI or npm project, a Debian package, a Go package path
    with the ``version`` of its module, a crate, ``group:artifact:extension``, an https URL, an image. ``also`` are
    further packages of the same registry installed beside it, as ``name==version`` (PyPI), ``name@version`` (npm)
    or plain names; ``!name`` leaves out a PyPI dependency that is not used, ``!peers`` the npm packages that
    others only expect beside them (where those contradict each other, npm searches for hours). ``provides`` are
    the programs that end up in the tree's ``bin``. ``platforms`` limits it. ``origin`` says whose build it is
    where that is not the upstream's own.
    """

    kind: RouteKind
    package: str = Field(min_length=1)
    version: str = ""
    also: tuple[str, ...] = ()
    provides: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")], ...] = ()
    platforms: tuple[Literal["linux-x86_64", "linux-aarch64", "macos-x86_64", "macos-arm64"], ...] = ()
    python: str = ""
    origin: str = ""


class Answers(_Row):
    """The five answers of Spec §3.1; the first, the layer, is where the row stands."""

    owner: str = Field(min_length=1, description="Who does this today: a system's id, or 'nobody'.")
    adoption: Literal["first", "replacement", "plugin", "alternate", "reference"]
    failure_modes: tuple[str, ...] = Field(min_length=1, description="What can newly go wrong with it.")
    rollback: str = Field(min_length=1, description="How the stack goes back to life without it.")


class StatePath(_Row):
    """Durable state of a system and how it is saved."""

    path: str
    backup: Literal["copy", "dump", "snapshot", "rebuildable", "none"]


class Resources(_Row):
    """What it needs; the budget of a profile is the sum of these."""

    memory_mib: int = Field(default=0, ge=0, description="Resident memory, idle, measured.")
    cpu: float = Field(default=0.1, ge=0)
    disk_mib: int = Field(default=0, ge=0)


class Telemetry(_Row):
    """Where its metrics, logs and traces come out."""

    metrics: str = ""
    logs: Literal["stdout", "file", "none"] = "stdout"
    traces: Literal["otlp", "none"] = "none"


class Step(_Row):
    """One step of a smoke test: exactly one of ``run`` (argv), ``python``, ``node`` or ``shell`` (a script).

    All are templates except scripts, which find the same names in their environment (``{ports.client}`` is
    ``PORTS_CLIENT``, ``{bin}`` is ``BIN``). ``expect`` is a regular expression searched in the standard output, in
    multi-line mode.
    """

    run: tuple[str, ...] = ()
    python: str = ""
    node: str = ""
    shell: str = ""
    stdin: str = ""
    exit: int = 0
    expect: str = ""

    @model_validator(mode="after")
    def _one(self) -> Step:
        if sum(map(bool, (self.run, self.python, self.node, self.shell))) != 1:
            raise ValueError("a step is exactly one of run, python, node and shell")
        return self


class Smoke(_Row):
    """How a system is proven: a real use of what it is for.

    Everything runs in a sandbox without network, with its own loopback, unless ``isolation: host`` says why not
    (``why``). ``serve: true`` starts the row's ``run`` first and waits for its ``ready`` probe. ``needs`` are
    other systems installed before. ``not_exercised`` says why only its presence could be shown: the outcome is
    then ``installs``, never ``works``.
    """

    purpose: str = Field(min_length=8)
    serve: bool = False
    needs: tuple[str, ...] = ()
    timeout_seconds: float = Field(default=120.0, gt=0, le=1800)
    isolation: Literal["sandbox", "host"] = "sandbox"
    why: str = ""
    files: dict[str, str] = {}
    steps: tuple[Step, ...] = Field(min_length=1)
    not_exercised: str = ""

    @model_validator(mode="after")
    def _can_fail(self) -> Smoke:
        if not any(step.expect for step in self.steps):
            raise ValueError("no step expects anything of the output; a smoke test must be able to fail")
        if self.isolation == "host" and not self.why:
            raise ValueError("isolation: host needs a why")
        return self


class External(_Row):
    """Why a system cannot be here (hosted, hardware, Windows) and what stands for it in the tests."""

    why: str = Field(min_length=8)
    covered_by: str = Field(min_length=1, description="A test of its adapter (path::name), or 'nothing yet'.")


class Run(Component):
    """How the supervisor runs it. ``id`` is the component's; name, role and licence come of the system."""

    name: str = ""


class System(_Row):
    """One row of the map."""

    id: str = Field(pattern=ID)
    name: str
    upstream: str = ""
    licence: str = ""
    docs: str = ""
    kind: Kind
    spec: tuple[str, ...] = Field(default=(), description="Sections of the specification that name it.")
    origin: Literal["specification", "ripple"] = "specification"
    role: str
    status: SystemStatus
    summary: str = Field(min_length=8, description="What it does in the stack, one line.")
    reason: str = Field(default="", description="Why this status, where it is not the default; names the ADR.")
    answers: Answers
    provides: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    run: Run | None = None
    deep: Probe | None = None
    state: tuple[StatePath, ...] = ()
    secrets: tuple[str, ...] = Field(default=(), description="References like secret://NAME, never values.")
    resources: Resources = Resources()
    isolation: Literal["process", "sandbox-runtime", "kata", "firecracker", "none"] = "process"
    telemetry: Telemetry = Telemetry()
    policy: str = Field(default="", description="The Rego package that decides its use, if it is used by agents.")
    smoke: Smoke | None = None
    external: External | None = None

    @model_validator(mode="after")
    def _proven_or_external(self) -> System:
        if (self.smoke is None) == (self.external is None):
            raise ValueError(f"{self.id} needs exactly one of smoke and external")
        return self


class Layer(_Row):
    """One layer of Spec §1; ``0`` is Ripple itself."""

    id: str = Field(pattern=r"^(0|1\.\d{1,2})$")
    name: str
    purpose: str


class LayerFile(_Row):
    """One file of ``manifests/components``."""

    layer: Layer
    systems: tuple[System, ...]


class Outcome(enum.StrEnum):
    """What a proof found."""

    WORKS = "works"
    INSTALLS = "installs"
    NOT_OBTAINABLE = "not obtainable here"
    EXTERNAL = "external"
    FAILED = "failed"
    UNPROVEN = "unproven"
    """Never written into evidence: there is none, or it does not hold any more."""


class Verdict(_Row):
    """One element of ``ripple verify --json`` → ``systems``."""

    id: str
    layer: str
    outcome: Outcome
    version: str = ""
    seconds: float = 0.0
    reason: str = ""
    evidence: str = ""


class LockedFile(_Row):
    """One file of a system: a package URL (ECMA-427), so that no registry's host is named, its digest and size.

    ``into`` is where it is unpacked below the tree, for the routes that lay out several packages themselves.
    """

    url: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    into: str = ""

    @field_validator("into")
    @classmethod
    def _stays_below_the_tree(cls, into: str) -> str:
        if into and (not into.startswith("node_modules/") or "\\" in into or {"..", "."} & set(into.split("/"))):
            raise ValueError(f"{into!r} is no folder below node_modules")
        return into


class LockedRoute(_Row):
    """What one route of one system is, for one platform. ``signer`` says who vouches for the digests.

    A route that was tried and could not be had has no files; it names its ``package``, what it asked for ``also``,
    and the row's version.
    """

    route: RouteKind
    version: str
    signer: str
    files: tuple[LockedFile, ...] = ()
    package: str = ""
    also: tuple[str, ...] = ()


class VendorLock(_Row):
    """``manifests/vendor.lock.json``: system id → platform → what is locked, one entry per route, in order."""

    version: Literal[1] = 1
    systems: dict[str, dict[str, tuple[LockedRoute, ...]]] = {}


def this_platform(system: str = sys.platform, machine: str = "") -> str:
    """The platform's name as locks spell it, like ``linux-x86_64``."""
    import platform as _platform

    chip = machine or _platform.machine()
    names: dict[str, Any] = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64"}
    return f"{'macos' if system == 'darwin' else system}-{names.get(chip.lower(), chip.lower())}"
