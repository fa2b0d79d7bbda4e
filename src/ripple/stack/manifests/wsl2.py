"""``wsl2/distro.json`` and ``wsl2/assets.json``: installing the WSL2 distro as data (Spec §7.2). Pure.

- What has no known digest is not used: the plan refuses and says which asset and why.
- The Debian or Ubuntu root file system is taken only by somebody who accepts its drift (option B).
- A distro that exists is never imported over; it is upgraded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import Invalid, Refused
from ripple.stack.manifests.section import Document, Section

Option = Literal["A", "B"]
_DISTRO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Home(Section):
    """The user's home as it is made, the same on every machine."""

    uid: int = Field(ge=1000, le=60000)
    gid: int = Field(ge=1000, le=60000)
    shell: str = Field(min_length=1)
    directories: tuple[str, ...] = ()


class Preflight(Section):
    """A check before anything is touched; each fails with an exit code of its own."""

    check: Literal["windows_build", "wsl_exe", "virtualization"]
    minimum: int = Field(default=0, ge=0)
    exit_code: int = Field(ge=10, le=99)
    message: str = Field(min_length=8)


class Smoke(Section):
    """A command inside the distro that must end with 0."""

    tool: str
    run: tuple[str, ...] = Field(min_length=1)


class Logs(Section):
    """Where a run writes on both sides, whether it succeeds or not."""

    windows: str
    distro: str


class Distro(Document):
    """``wsl2/distro.json``."""

    name: str = Field(pattern=f"^{_DISTRO.pattern}$")
    default_user: str = Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    version: str = Field(min_length=1)
    wsl_version: Literal[2] = 2
    install_dir: str = Field(min_length=1)
    rootfs_option: Option = "A"
    home: Home
    required_packages: tuple[str, ...] = Field(min_length=1, description="Ids of systems of the map.")
    preflight: tuple[Preflight, ...] = Field(min_length=1)
    smoke: tuple[Smoke, ...] = Field(min_length=1)
    coordination_smoke: tuple[Smoke, ...] = ()
    logs: Logs
    report: str

    @model_validator(mode="after")
    def _told_apart(self) -> Distro:
        codes = [one.exit_code for one in self.preflight]
        if len(set(codes)) != len(codes):
            raise ValueError("two preflight checks have the same exit code; nobody could tell which one failed")
        return self


class Asset(Section):
    """One file that comes from outside. Without a digest it says why, and is never used."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    kind: Literal["rootfs", "program", "configuration"]
    option: Option | None = None
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    url: str | None = Field(default=None, pattern=r"^https://")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    size_bytes: int | None = Field(default=None, gt=0)
    why_unknown: str = ""

    @model_validator(mode="after")
    def _known_or_said(self) -> Asset:
        if self.sha256 is None and not self.why_unknown:
            raise ValueError(f"{self.id} has no sha256 and does not say why")
        return self


class Assets(Document):
    """``wsl2/assets.json``."""

    assets: tuple[Asset, ...]


@dataclass(frozen=True)
class Host:
    """What a look at the Windows side found."""

    windows_build: int
    wsl_exe: bool
    virtualization: bool


@dataclass(frozen=True)
class Request:
    """What is asked for; None takes the manifest's own value."""

    distro_name: str | None = None
    install_dir: str | None = None
    user: str | None = None
    assets_dir: str | None = None
    option: Option | None = None
    accept_drift: bool = False
    existing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """One program to run on Windows, and why."""

    argv: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Fetch:
    """A file to be there before the commands run: from ``source``, with that digest or not at all."""

    file: str
    source: str
    sha256: str


@dataclass(frozen=True)
class Plan:
    """An installation or upgrade, as data."""

    kind: Literal["import", "upgrade"]
    fetch: Fetch
    commands: tuple[Command, ...]
    logs: tuple[str, str]
    report: str


def failed_preflight(distro: Distro, host: Host) -> Preflight | None:
    """The first check that ``host`` does not pass, in the order of the file."""
    passed = {
        "wsl_exe": host.wsl_exe,
        "virtualization": host.virtualization,
    }
    for one in distro.preflight:
        if not passed.get(one.check, host.windows_build >= one.minimum):
            return one
    return None


def plan_install(distro: Distro, assets: Assets, asked: Request) -> Plan:
    """What is fetched and run to have the distro, in order.

    Raises:
        Invalid: the distro's name is none that ``wsl.exe`` takes.
        Refused: the root file system has no known digest or no place to come from, or its drift is not accepted.
    """
    name = asked.distro_name or distro.name
    if not _DISTRO.fullmatch(name):
        raise Invalid(f"{name!r} is no name of a distro; use letters, digits, '.', '_' and '-'")
    rootfs = _rootfs(assets, asked.option or distro.rootfs_option, asked.accept_drift)
    fetch = _fetch(rootfs, asked.assets_dir)
    exists = name in asked.existing
    user = asked.user or distro.default_user
    made = () if exists else _imported(name, asked.install_dir or distro.install_dir, fetch.file, distro)
    proofs = tuple(
        Command(("wsl.exe", "-d", name, "-u", user, "--", *one.run), f"{one.tool} works")
        for one in (*distro.smoke, *distro.coordination_smoke)
    )
    kind: Literal["import", "upgrade"] = "upgrade" if exists else "import"
    return Plan(kind, fetch, (*made, *proofs), (distro.logs.windows, distro.logs.distro), distro.report)


def mirrored(assets: Assets) -> tuple[tuple[Fetch, ...], dict[str, str]]:
    """What can be mirrored for use without a network, and of every other asset why it cannot."""
    ready = [Fetch(one.file, one.url, one.sha256) for one in assets.assets if one.url and one.sha256]
    left = {one.id: one.why_unknown or "it has no URL" for one in assets.assets if not (one.url and one.sha256)}
    return tuple(ready), left


def _rootfs(assets: Assets, option: Option, accept_drift: bool) -> Asset:
    found: Sequence[Asset] = [one for one in assets.assets if one.kind == "rootfs" and one.option == option]
    if len(found) != 1:
        raise Invalid(f"wsl2/assets.json has {len(found)} root file systems of option {option}; it must be one")
    if option == "B" and not accept_drift:
        raise Refused("option B drifts from the pinned toolchain; accept that explicitly, or take option A")
    return found[0]


def _fetch(asset: Asset, assets_dir: str | None) -> Fetch:
    if asset.sha256 is None:
        raise Refused(f"{asset.id} has no known digest: {asset.why_unknown}; write its sha256 in wsl2/assets.json")
    if assets_dir is not None:
        return Fetch(asset.file, f"{assets_dir}/{asset.file}", asset.sha256)
    if asset.url is None:
        raise Refused(f"{asset.id} has no URL; give the folder that holds {asset.file} with --assets-dir")
    return Fetch(asset.file, asset.url, asset.sha256)


def _imported(name: str, folder: str, rootfs: str, distro: Distro) -> tuple[Command, ...]:
    return (
        Command(("wsl.exe", "--import", name, folder, rootfs), "make the distro"),
        Command(("wsl.exe", "--set-version", name, str(distro.wsl_version)), "run it with a kernel of its own"),
    )
