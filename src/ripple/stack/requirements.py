"""The ledger of requirements: what was asked for, and the tests that prove it or the reason why not yet.

Rules of the ledger (``tests/requirements/*.yaml``, one file per section of the specification):

- An id stands once.
- A requirement names its tests, or says why it is deferred. With both, the tests prove a part and it counts as
  deferred.
- A contradiction of the specification (``X…``) also says how it is resolved; its tests show the resolution.
"""

from __future__ import annotations

import enum
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from ripple.model.errors import Invalid, NotFound
from ripple.stack.load import load_manifest, parse

FOLDER = Path("tests") / "requirements"
NodeId = Annotated[str, StringConstraints(pattern=r"^tests(/\w+)+\.py(::\w+)+$")]


class Obstacle(enum.StrEnum):
    """Why a requirement is not proven."""

    HOSTED = "hosted"
    """needs an account with somebody else's service"""
    HARDWARE = "hardware"
    """needs a machine this project's tests do not have"""
    WINDOWS = "windows"
    """needs Windows"""
    LATER = "later"
    """is not built yet"""
    NOT_OBTAINABLE = "not-obtainable"
    """needs something that cannot be had from any registry the project uses"""


class Deferral(BaseModel):
    """A typed reason: the obstacle, and in one line what is missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Obstacle
    reason: str = Field(min_length=10, max_length=200)


class Requirement(BaseModel):
    """One requirement: what it asks, how that can be checked, and pytest node ids that do."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern=r"^(R[A-Z0-9]+(\.[A-Za-z0-9]+)+|X[0-9]+)$")
    text: str = Field(min_length=10, max_length=400)
    resolution: str = Field(default="", max_length=400)
    check: str = Field(min_length=5, max_length=400)
    tests: tuple[NodeId, ...] = ()
    deferred: Deferral | None = None

    @model_validator(mode="after")
    def _proven_or_explained(self) -> Requirement:
        if not self.tests and self.deferred is None:
            raise ValueError(f"{self.id} names neither tests nor a reason why it is deferred")
        if self.id.startswith("X") != bool(self.resolution):
            raise ValueError(f"{self.id}: contradictions (X…), and only they, have a resolution")
        return self

    @property
    def proven(self) -> bool:
        """True when its tests prove all of it."""
        return bool(self.tests) and self.deferred is None


class _Section(BaseModel):
    """A file: ``R7 bootstrapping`` holds the ids that begin with ``R7.``, ``X contradictions`` those in ``X``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    section: str = Field(pattern=r"^(R[A-Z0-9]+|X) \S")
    requirements: tuple[Requirement, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_its_place(self) -> _Section:
        code = self.section.split()[0]
        start = code if code == "X" else f"{code}."
        strays = [row.id for row in self.requirements if not row.id.startswith(start)]
        if strays:
            raise ValueError(f"{', '.join(strays)} cannot stand in section {self.section!r}")
        return self


class Ledger(BaseModel):
    """All requirements, in the order of their files and of the lines in them."""

    model_config = ConfigDict(frozen=True)
    requirements: tuple[Requirement, ...]


def load_ledger(root: Path) -> Ledger:
    """The ledger of the checkout at ``root``.

    Raises:
        NotFound: there is no ledger (an installed package carries no tests).
        Invalid: a file does not parse, or an id stands twice.
    """
    files = sorted((root / FOLDER).glob("*.yaml"))
    if not files:
        raise NotFound(f"no requirements in {root / FOLDER}; run this from a checkout of Ripple")
    found = tuple(row for path in files for row in parse(_Section, load_manifest(path), str(path)).requirements)
    twice = [name for name, count in Counter(row.id for row in found).items() if count > 1]
    if twice:
        raise Invalid(f"requirements {', '.join(sorted(twice))} stand twice in {root / FOLDER}; keep one of each")
    return Ledger(requirements=found)


def report(ledger: Ledger) -> dict[str, Any]:
    """``{total, proven, deferred, requirements: [{id, state, tests, reason}]}``, JSON all through."""
    rows = [
        {
            "id": row.id,
            "state": "proven" if row.proven else "deferred",
            "tests": list(row.tests),
            "reason": f"{row.deferred.kind}: {row.deferred.reason}" if row.deferred else "",
        }
        for row in ledger.requirements
    ]
    proven = sum(row.proven for row in ledger.requirements)
    return {"total": len(rows), "proven": proven, "deferred": len(rows) - proven, "requirements": rows}
