"""Settings of an instance, and which source each value came from.

Precedence, weakest first: ``manifests/settings.yaml``, the profile's ``settings``, the environment
(``RIPPLE_SET_INFERENCE_DEFAULT_POLICY``), a flag of ``ripple up`` (``--set inference.default_policy=…``). The last
two are read where ``ripple up`` runs and kept in ``run/choices.json``, so every process of an instance agrees.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ripple.model.errors import Invalid, unknown_key
from ripple.stack.load import load_manifest, parse, parse_yaml

DEFAULT_PROFILE = "laptop"
SOURCES = ("manifest", "profile", "environment", "flag")
PREFIX = "RIPPLE_SET_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InferenceSettings(_Section):
    """Which inference policy decides when the operator names none."""

    default_policy: str = Field(default="ripple-moe", min_length=1)


class ChangeSettings(_Section):
    """How many steps of all running changes may run at once."""

    steps_at_once: int = Field(default=8, ge=1, le=64)


class TelemetrySettings(_Section):
    """Where spans go besides the local store: an OTLP/HTTP endpoint, or null."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://")


class Settings(_Section):
    """Everything that can be set."""

    inference: InferenceSettings = InferenceSettings()
    changes: ChangeSettings = ChangeSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


@dataclass(frozen=True)
class Choices:
    """What ``ripple up`` was told: dotted keys to values, by source."""

    profile: str = DEFAULT_PROFILE
    environment: Mapping[str, Any] = field(default_factory=dict)
    flag: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolved:
    """The settings that hold, and every source's word on each dotted key."""

    settings: Settings
    said: Mapping[str, Mapping[str, Any]]

    def explain(self, key: str) -> dict[str, Any]:
        """``{key, value, source, all: [{source, value}]}``; an unknown key names the nearest known one."""
        known = flatten(self.settings.model_dump())
        if key not in known:
            raise unknown_key(key, known, "settings")
        named = [source for source in SOURCES if key in self.said[source]]
        spoken = [{"source": source, "value": self.said[source][key]} for source in named]
        winner = spoken[-1]["source"] if spoken else "default"
        return {"key": key, "value": known[key], "source": winner, "all": spoken}

    def rows(self) -> list[dict[str, Any]]:
        """Every key, explained."""
        return [self.explain(key) for key in flatten(self.settings.model_dump())]


def choices_of(profile: str, flags: list[str], environment: Mapping[str, str] = os.environ) -> Choices:
    """What this command line and environment choose; each flag is ``KEY=VALUE`` with a YAML value.

    Raises:
        Invalid: a flag without ``=``, a value that is no YAML, or an unknown key.
    """
    known = {f"{PREFIX}{key.replace('.', '_').upper()}": key for key in flatten(Settings().model_dump())}
    named = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    for name in named:
        if name not in known:
            raise unknown_key(name, known, "the environment")
    chosen = dict(_flag(text) for text in flags)
    for key in chosen:
        if key not in known.values():
            raise unknown_key(key, known.values(), "--set")
    return Choices(profile, {known[name]: parse_yaml(value, name) for name, value in named.items()}, chosen)


def save_choices(file: Path, choices: Choices) -> bool:
    """Keep what was chosen; True when it differs from what was kept before."""
    text = json.dumps({"profile": choices.profile, "environment": choices.environment, "flag": choices.flag})
    if file.exists() and file.read_text() == text:
        return False
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)
    return True


def profile_of(choices_file: Path) -> str:
    """The profile the instance was last started with; the laptop's before it ever was."""
    return str(_kept(choices_file).get("profile", DEFAULT_PROFILE))


def _kept(choices_file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(choices_file.read_text()) if choices_file.exists() else {}
    return found


def resolve(manifests: Path, choices_file: Path) -> Resolved:
    """The settings of the instance whose choices lie in ``choices_file`` (defaults where there is none).

    Raises:
        Invalid: a source has an unknown key or a value of the wrong kind; the message names the source.
    """
    kept = _kept(choices_file)
    profile = manifests / "profiles" / f"{profile_of(choices_file)}.yaml"
    said = {
        "manifest": flatten(load_manifest(manifests / "settings.yaml") or {}),
        "profile": flatten((load_manifest(profile) or {}).get("settings") or {}),
        "environment": dict(kept.get("environment", {})),
        "flag": dict(kept.get("flag", {})),
    }
    merged: dict[str, Any] = {}
    for source in SOURCES:
        parse(Settings, nested(said[source]), f"settings of the {source}")
        merged.update(said[source])
    return Resolved(parse(Settings, nested(merged), "settings"), said)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a nested mapping."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found.update(flatten(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return tree


def _flag(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Invalid(f"--set {text}: write KEY=VALUE, such as inference.default_policy=ripple-moe-offline")
    return key.strip(), parse_yaml(value, f"--set {key}")
