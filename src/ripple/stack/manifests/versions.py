"""``holochain/versions.json`` and ``tables/binaries.csv``: pins of the conductor's programs (Spec §9.3). Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from pydantic import Field

from ripple.stack.manifests.section import Section

BINARIES = "tables/binaries.csv"
COLUMNS = ("kind", "name", "what", "source", "repository")
LAIR, HDI = "lair-keystore", "hdi"
_VERSION = r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$"
# Read from the lock files of the releases themselves; the specification's own set is none of them (X62).
BELONG = {
    "0.4.0": {LAIR: "0.5.3", HDI: "0.5.0"},
    "0.4.4": {LAIR: "0.5.3", HDI: "0.5.4"},
    "0.5.6": {LAIR: "0.6.2", HDI: "0.6.6"},
    "0.6.0": {LAIR: "0.6.3", HDI: "0.7.0"},
    "0.6.3": {LAIR: "0.6.3", HDI: "0.7.3"},
    "0.7.0": {LAIR: "0.7.1", HDI: "0.8.0"},
}


class Versions(Section):
    """``holochain/versions.json``."""

    holochain: str = Field(pattern=_VERSION)
    hc: str = Field(pattern=_VERSION)
    lair_keystore: str = Field(alias=LAIR, pattern=_VERSION)
    hdk: str = Field(pattern=_VERSION)
    hdi: str | None = Field(default=None, pattern=_VERSION)

    def pins(self) -> dict[str, str]:
        """Program or library → its version."""
        return {name: value for name, value in self.model_dump(by_alias=True).items() if value is not None}


def binaries_rows() -> tuple[tuple[str, ...], ...]:
    """The three rows of Spec §9.3, word for word."""
    return (
        ("runtime", "holochain", "Holochain conductor (agent-centric P2P)", "vendor", "holochain/holochain"),
        ("runtime", "hc", "Holochain dev CLI (scaffold/package/run)", "vendor", "holochain/holochain"),
        ("runtime", LAIR, "Secure keystore for Holochain agent keys", "vendor", "holochain/lair"),
    )


def binaries_text() -> str:
    """``tables/binaries.csv``."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows((COLUMNS, *binaries_rows()))
    return text.getvalue()


def faults(versions: Versions, table: str) -> list[str]:
    """Each program of the table that has no pin, and what is wrong with the table itself."""
    rows = list(csv.reader(io.StringIO(table)))
    found = [f"{BINARIES} has a row of {len(row)} columns: {row}" for row in rows if len(row) != len(COLUMNS)]
    pins = versions.pins()
    found += [
        f"{row[1]} is in {BINARIES} and has no pin" for row in rows[1:] if len(row) > 1 and row[1] not in pins
    ]
    return found


def differences(versions: Versions, installed: Mapping[str, str]) -> list[str]:
    """What is installed in another version than the pinned one, or not at all."""
    found = []
    for name in (row[1] for row in binaries_rows()):
        pinned, there = versions.pins()[name], installed.get(name)
        if there != pinned:
            found.append(f"{name} is pinned to {pinned} and {f'is {there}' if there else 'is not installed'}")
    return found


def mismatches(versions: Versions) -> list[str]:
    """Pins that were never released together; the conductor decides what belongs to it."""
    belong = BELONG.get(versions.holochain)
    pins = versions.pins()
    found = [
        f"{name} {pins[name]} does not belong to holochain {versions.holochain}"
        for name in ("hc", "hdk")
        if pins[name] != versions.holochain
    ]
    if belong is None:
        return [*found, f"nothing is known of what belongs to holochain {versions.holochain}"]
    found += [
        f"{name} is {pins.get(name, 'not pinned')}; holochain {versions.holochain} belongs with {right}"
        for name, right in belong.items()
        if pins.get(name) != right
    ]
    return found
