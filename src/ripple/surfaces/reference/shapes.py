"""The pages of what people and models write: manifest, overlay, inference policies, settings, an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ripple.inference.policy import POLICY_FILE, PolicyFile
from ripple.model.application import ApplicationManifest, EnvironmentOverlay
from ripple.stack.load import load_manifest
from ripple.stack.markdown import block, code, plain, table
from ripple.stack.settings import PREFIX, Settings, flatten

Schema = Mapping[str, Any]
EXAMPLE = Path("examples") / "checkout"
CANDIDATE = Path("schemas") / "candidate.json"

MANIFEST = """# `ripple.app.yaml` and environment overlays

An unknown key is an error that names the nearest known one. Paths are relative to the repository's root.
The JSON Schemas are `ripple.app.schema.json` and `environment.schema.json` in `manifests/schemas/`.

## `ripple.app.yaml`
"""
OVERLAY = """## `environments/NAME.yaml`

One file for each of `dev`, `qa`, `staging`, `prod`. Where it is missing, dev deploys at once, and every other
environment tries the release as a canary with the defaults below. `canary: null` deploys at once.
"""
INFERENCE = """# `manifests/distributed/inference_policy.yaml`

Who is asked about a change, how many have to answer, and when their votes agree. A change names one policy;
the Rego setting `allowed_inference_policies` says which may be named.
The JSON Schema is `manifests/schemas/inference_policy.schema.json`.
"""
SETTINGS = """# Settings

Weakest first: `manifests/settings.yaml`, the environment of `./ripple up`, its flag `--set KEY=VALUE`. The last
two are kept in `run/choices.json`, so every process of an instance agrees. Values are YAML.
`./ripple config explain KEY` says which source won.
"""
ANSWER = """# What a model answers: `schemas/candidate.json`

One JSON object. An edit is exactly one of `find` and `replace`, `content`, or `delete: true`. A `config` entry is
an RFC 6902 patch of one configuration file. An answer that changes nothing is no answer.

A server that can is made to follow the schema while it writes. What others write is taken as it stands, repaired
where only punctuation is missing, or rejected with a reason.
"""
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "pattern": "matches", "minItems": "at least"}


def application_page(root: Path) -> str:
    """``ripple.app.yaml`` and ``environments/NAME.yaml``, key by key, with the example's own."""
    manifest = (root / EXAMPLE / "ripple.app.yaml").read_text(encoding="utf-8")
    staging = (root / EXAMPLE / "environments" / "staging.yaml").read_text(encoding="utf-8")
    parts = [MANIFEST, _sections(ApplicationManifest), "The example's:\n", block("yaml", manifest)]
    parts += [OVERLAY, _sections(EnvironmentOverlay), "The example's staging:\n", block("yaml", staging)]
    return "\n".join(parts)


def inference_page(root: Path) -> str:
    """``inference_policy.yaml``, key by key, and the policies that come with Ripple."""
    shipped = (root / POLICY_FILE).read_text(encoding="utf-8")
    return "\n".join(
        [INFERENCE, _sections(PolicyFile), "## The policies that come with Ripple\n", block("yaml", shipped)]
    )


def settings_page(root: Path) -> str:
    """Every setting of an instance: its variable, its default and what it does."""
    manifest = flatten(load_manifest(root / "manifests" / "settings.yaml"))
    schema = Settings.model_json_schema()
    rows = []
    for section, reference in schema["properties"].items():
        kind = schema["$defs"][_name(reference)]
        for key, field in kind["properties"].items():
            dotted = f"{section}.{key}"
            variable = f"{PREFIX}{dotted.replace('.', '_').upper()}"
            default = manifest.get(dotted, field.get("default"))
            rows.append((code(dotted), code(variable), code(default), plain(kind["description"])))
    return "\n".join([SETTINGS, table(("key", "variable", "default", "what"), rows)])


def candidate_page(root: Path) -> str:
    """The schema of a model's answer, word for word as published."""
    return "\n".join([ANSWER, block("json", (root / CANDIDATE).read_text(encoding="utf-8"))])


def _sections(kind: type[BaseModel]) -> str:
    """One table for the model and one for each section it refers to."""
    schema = kind.model_json_schema(by_alias=True)
    parts = [_keys(schema)]
    for name, inner in schema.get("$defs", {}).items():
        if "properties" in inner:
            parts += [f"### {name}\n", f"{plain(inner.get('description', ''))}\n", _keys(inner)]
    return "\n".join(parts)


def _keys(schema: Schema) -> str:
    return table(("key", "type", "default", "limits"), _rows(schema))


def _rows(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    needed = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        default = "needed" if name in needed else code(inner.get("default"))
        yield code(name), _type(inner), default, _limits(inner)


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(code(one) for one in schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _limits(schema: Schema) -> str:
    found = [f"{sign} {code(schema[key])}" for key, sign in _LIMITS.items() if key in schema]
    return ", ".join([*found, *(_limits(one) for one in schema.get("anyOf", ()) if _limits(one))])
