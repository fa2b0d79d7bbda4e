"""``cloud/artifact_destinations.json``: where a build is published and how long it stays (Spec §6.3). Pure.

- A destination for tagged builds never sees an untagged one.
- What is old is archived first; it expires only after enough copies elsewhere are confirmed (X57).
- What was released with a tag does not expire.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import NotFound
from ripple.stack.manifests.section import Document, Section


class Due(enum.StrEnum):
    """What is to be done with one copy."""

    KEEP = "keep"
    ARCHIVE = "archive"
    EXPIRE = "expire"


class ArchiveFirst(Section):
    """Where a copy has to be, how often, before this one may go."""

    to: str
    confirmed_copies: int = Field(ge=1)


class Destination(Section):
    """One place; ``role`` is that of the systems that can be it. No ``retention_days`` means permanent."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    name: str
    purpose: str
    retention: str
    retention_days: int | None = Field(default=None, ge=1)
    publishes: Literal["all", "tagged"] = "all"
    role: str
    archive_first: ArchiveFirst | None = None

    @model_validator(mode="after")
    def _archives(self) -> Destination:
        if self.retention_days is not None and self.archive_first is None:
            raise ValueError(f"{self.id} expires and does not say where it is archived first")
        return self


class Destinations(Document):
    """``cloud/artifact_destinations.json``."""

    destinations: tuple[Destination, ...] = Field(min_length=1)
    releases_expire: bool = False

    @model_validator(mode="after")
    def _closed(self) -> Destinations:
        known = {one.id: one for one in self.destinations}
        for one in self.destinations:
            kept = known.get(one.archive_first.to) if one.archive_first else one
            if kept is None or (one.archive_first and kept.retention_days is not None):
                raise ValueError(f"{one.id} is archived in a place that is not there or expires itself")
        return self


@dataclass(frozen=True)
class Copy:
    """One copy of an artifact at a destination."""

    age_days: float
    tag: str = ""
    confirmed_copies: int = 0


def targets(destinations: Destinations, tag: str = "") -> tuple[Destination, ...]:
    """Where a build goes, in the order of the file."""
    return tuple(one for one in destinations.destinations if tag or one.publishes == "all")


def due(destinations: Destinations, destination: str, copy: Copy) -> Due:
    """What is to be done with a copy; NotFound for a destination that is not there."""
    found = next((one for one in destinations.destinations if one.id == destination), None)
    if found is None:
        raise NotFound(f"no destination {destination!r} in cloud/artifact_destinations.json")
    exempt = bool(copy.tag) and not destinations.releases_expire
    if found.retention_days is None or copy.age_days < found.retention_days or exempt:
        return Due.KEEP
    needed = found.archive_first.confirmed_copies if found.archive_first else 0
    return Due.EXPIRE if copy.confirmed_copies >= needed else Due.ARCHIVE
