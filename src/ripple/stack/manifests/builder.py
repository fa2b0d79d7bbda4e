"""``cloud/builder_image.json``: where a build runs and in what (Spec §6.1, §6.2). Pure.

- A use has one mode. What a mode or a requirement needs and the machine lacks leads to its named fallback.
- In production nothing falls back: what is missing is a refusal. Elsewhere every fallback is recorded.
- Where no fallback is named, a missing need is a refusal too.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ripple.model.errors import Invalid, Refused
from ripple.stack.manifests.section import Document, Section

Need = Literal["cloud-account", "builder-pool", "container-engine", "wsl2", "nix", "kvm"]
Use = Literal["ci", "high-frequency", "local-testing", "bootstrap-upgrade"]


class Mode(Section):
    """One way to run a build."""

    name: str
    description: str
    use_case: str
    use: Use
    needs: tuple[Need, ...] = ()
    fallback: str | None = None


class Requirement(Section):
    """Something every build wants, whatever its mode."""

    name: Literal["image", "isolation"]
    wants: str
    needs: tuple[Need, ...] = ()
    fallback: str | None = None


class Image(Section):
    """The image of the builder; without a digest it is not pinned, and says why."""

    base: str
    source: str
    digest: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    why_unknown: str = ""

    @model_validator(mode="after")
    def _known_or_said(self) -> Image:
        if self.digest is None and not self.why_unknown:
            raise ValueError("the image has no digest and does not say why")
        return self


class Cache(Section):
    """Where finished parts are looked up before they are built."""

    kind: Literal["ipfs", "s3"]
    content_addressed: Literal[True] = True


class Auth(Section):
    """How a builder shows who it is."""

    kind: Literal["mtls"]
    issuer: str
    certificate_minutes: int = Field(gt=0, le=1440)


class Builder(Document):
    """``cloud/builder_image.json``."""

    image: Image
    cache: tuple[Cache, ...]
    coordination: str
    auth: Auth
    modes: tuple[Mode, ...] = Field(min_length=1)
    requirements: tuple[Requirement, ...]

    @model_validator(mode="after")
    def _closed(self) -> Builder:
        names = [mode.name for mode in self.modes]
        for mode in self.modes:
            if mode.fallback is not None and mode.fallback not in names:
                raise ValueError(f"{mode.name} falls back to {mode.fallback}, which is no mode")
        if len({mode.use for mode in self.modes}) != len(names):
            raise ValueError("two modes are for the same use")
        return self


@dataclass(frozen=True)
class Fallback:
    """What was wanted, what stands in for it and what was missing."""

    what: str
    wanted: str
    used: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """Where and in what a build runs; ``fallbacks`` go into its provenance."""

    mode: str
    image: str
    isolation: str
    fallbacks: tuple[Fallback, ...]


def choose(builder: Builder, use: Use, has: Set[str], *, production: bool) -> Choice:
    """The mode, image and isolation of a build on a machine that ``has`` what is named.

    Raises:
        Refused: something is missing and has no fallback, or the build is for production.
    """
    mode, fallbacks = _mode(builder, use, has)
    used: dict[str, str] = {}
    for one in builder.requirements:
        missing = tuple(need for need in one.needs if need not in has)
        if missing:
            fallbacks.append(_fall(one.name, one.wants, one.fallback, missing))
        used[one.name] = fallbacks[-1].used if missing else one.wants
    if production and fallbacks:
        told = "; ".join(f"{one.wanted} needs {', '.join(one.missing)}" for one in fallbacks)
        raise Refused(f"a build for production takes no fallback: {told}")
    if production and builder.image.digest is None:
        raise Refused(f"the builder's image is not pinned: {builder.image.why_unknown}")
    return Choice(mode.name, used["image"], used["isolation"], tuple(fallbacks))


def _mode(builder: Builder, use: Use, has: Set[str]) -> tuple[Mode, list[Fallback]]:
    modes = {mode.name: mode for mode in builder.modes}
    mode = next((one for one in builder.modes if one.use == use), None)
    if mode is None:
        raise Invalid(f"no build mode is for {use}; cloud/builder_image.json has {', '.join(modes)}")
    fallbacks: list[Fallback] = []
    while missing := tuple(need for need in mode.needs if need not in has):
        fallbacks.append(_fall("mode", mode.name, mode.fallback, missing))
        mode = modes[fallbacks[-1].used]
        if mode.name in {one.wanted for one in fallbacks}:
            raise Refused(f"no build mode runs here: {', '.join(one.wanted for one in fallbacks)}")
    return mode, fallbacks


def _fall(what: str, wanted: str, fallback: str | None, missing: tuple[str, ...]) -> Fallback:
    if fallback is None:
        raise Refused(f"the build's {what} {wanted} needs {', '.join(missing)}, which is not here; no fallback")
    return Fallback(what, wanted, fallback, missing)
