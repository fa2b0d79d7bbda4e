"""``cloud/mcp_tools.json``: the tools Ripple serves over MCP (Spec §11). Pure.

- ``inputs`` and ``outputs`` are the specification's own form: a property is a type name or an object that may say
  ``required: true`` itself. JSON Schemas are made of them, never written by hand (X43).
- ``extra_inputs`` and ``extra_outputs`` are ours and optional, so a caller of the specification never fails (X42).
- ``origin: ripple`` marks a schema that the specification does not give (X46).
- A tool is also known by its name with underscores, for model APIs that forbid dots (X44).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ripple.model.errors import Invalid, NotFound, unknown_key
from ripple.stack.load import load_manifest, parse
from ripple.stack.manifests.section import Document, Section

FILE = Path("cloud") / "mcp_tools.json"
Auth = Literal["Vault cert", "Vault HSM", "Local admin", "Local user", "Local", "Agent key"]
Property = str | dict[str, Any]
TYPES = ("string", "number", "integer", "boolean", "object", "array")
KEYWORDS = frozenset(
    ("type", "description", "required", "default", "enum", "format", "pattern", "items", "properties")
) | frozenset(("minimum", "maximum", "minItems"))


class Rule(Section):
    """If the arguments fit ``when`` they have to fit ``then`` and bring ``needs``."""

    when: dict[str, dict[str, Any]] = Field(min_length=1)
    then: dict[str, dict[str, Any]] = {}
    needs: tuple[str, ...] = ()
    because: str = Field(min_length=8)


class Tool(Section):
    """One tool. ``where`` is the specification's column: a platform, a network, a scope or the models."""

    name: str = Field(pattern=r"^[a-z]+\.[a-z_]+$")
    description: str = Field(min_length=8)
    auth: Auth
    where: str = ""
    idempotent: Literal["stated", "extended", "no"] = "no"
    read_only: bool = False
    origin: Literal["specification", "ripple"]
    inputs: dict[str, Property]
    outputs: dict[str, Property]
    extra_inputs: dict[str, dict[str, Any]] = {}
    extra_outputs: dict[str, dict[str, Any]] = {}
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> Tool:
        for given, extra in ((self.inputs, self.extra_inputs), (self.outputs, self.extra_outputs)):
            if twice := sorted(set(given) & set(extra)):
                raise ValueError(f"{self.name}: {', '.join(twice)} is given and extra at once")
        if demanded := [key for key, value in self.extra_inputs.items() if value.get("required") is True]:
            raise ValueError(f"{self.name}: the extra {', '.join(demanded)} cannot be required")
        for name, value in (self.inputs | self.outputs | self.extra_inputs | self.extra_outputs).items():
            _checked_property(f"{self.name}: {name}", value)
        return self

    @property
    def alias(self) -> str:
        """The name without dots."""
        return self.name.replace(".", "_")

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.name.partition(".")[0]

    def input_schema(self) -> dict[str, Any]:
        """What a call has to fit; nothing that is not named may be given."""
        schema = _object({**self.inputs, **self.extra_inputs}, closed=True)
        if self.rules:
            schema["allOf"] = [_rule(rule) for rule in self.rules]
        return schema

    def output_schema(self) -> dict[str, Any]:
        """What an answer has to fit."""
        return _object({**self.outputs, **self.extra_outputs}, closed=False)

    def listed(self) -> dict[str, Any]:
        """The tool as ``tools/list`` answers it, the specification's form kept beside the generated schemas."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.input_schema(),
            "outputSchema": self.output_schema(),
            "annotations": {"readOnlyHint": self.read_only, "idempotentHint": self.idempotent != "no"},
            "_meta": {
                "ripple/inputs": self.inputs,
                "ripple/outputs": self.outputs,
                "ripple/origin": self.origin,
                "ripple/alias": self.alias,
                "ripple/auth": self.auth,
            },
        }


class Tools(Document):
    """``cloud/mcp_tools.json``."""

    tools: tuple[Tool, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Tools:
        names = [name for tool in self.tools for name in (tool.name, tool.alias)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the tool {', '.join(twice)} stands twice")
        return self

    def get(self, name: str) -> Tool:
        """The tool with that name or alias; NotFound names those of its family."""
        found = next((tool for tool in self.tools if name in (tool.name, tool.alias)), None)
        if found is None:
            family = name.replace("_", ".", 1).partition(".")[0]
            near = [tool.name for tool in self.tools if tool.family == family] or [one.name for one in self.tools]
            raise NotFound(f"no tool {name!r}; there are {', '.join(near)}")
        return found


def load_tools(manifests: Path) -> Tools:
    """The file below ``manifests``."""
    return parse(Tools, load_manifest(manifests / FILE), str(manifests / FILE))


def checked_call(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults filled in.

    Raises:
        Invalid: one is unknown (the nearest is named), missing or does not fit, or a rule between them is broken.
    """
    schema = tool.input_schema()
    for key in arguments:
        if key not in schema["properties"]:
            raise unknown_key(key, schema["properties"], f"a call of {tool.name}")
    defaults = {key: one["default"] for key, one in schema["properties"].items() if "default" in one}
    filled = {**defaults, **arguments}
    _fit(schema, filled, f"a call of {tool.name}", tool.rules)
    return filled


def checked_result(tool: Tool, result: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, once it fits; Invalid says what of it does not."""
    _fit(tool.output_schema(), dict(result), f"the answer of {tool.name}", ())
    return dict(result)


def idempotency_key(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """The same for calls that are the same, defaults included; None where each call counts (X45, RFC 8785)."""
    import rfc8785

    if tool.idempotent == "no":
        return None
    body = rfc8785.dumps({"tool": tool.name, "arguments": checked_call(tool, arguments)})
    return hashlib.sha256(body).hexdigest()


def _fit(schema: Mapping[str, Any], value: Any, where: str, rules: tuple[Rule, ...]) -> None:
    from jsonschema import Draft202012Validator  # slow to import, and most who read the file never need it

    wrong = sorted(
        Draft202012Validator(schema).iter_errors(value),
        key=lambda error: [str(part) for part in error.absolute_path],
    )
    if not wrong:
        return
    told = []
    for error in wrong:
        place = ".".join(str(part) for part in error.absolute_path)
        path = list(error.absolute_schema_path)
        why = f" ({rules[int(path[1])].because})" if path[0] == "allOf" and rules else ""
        told.append(f"{place + ': ' if place else ''}{error.message}{why}")
    raise Invalid(f"{where} does not fit its schema: {'; '.join(told)}")


def _object(properties: Mapping[str, Property], *, closed: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _property(value) for name, value in properties.items()},
        "required": [
            name for name, value in properties.items() if isinstance(value, dict) and value.get("required") is True
        ],
    }
    if closed:
        schema["additionalProperties"] = False
    return schema


def _checked_property(where: str, value: Any) -> None:
    """Refuses a keyword or type that JSON Schema would pass over silently; a hundred times as fast as its own."""
    if isinstance(value, str):
        value = {"type": value}
    if stray := sorted(set(value) - KEYWORDS):
        raise ValueError(f"{where} has {', '.join(stray)}; known keywords: {', '.join(sorted(KEYWORDS))}")
    if value.get("type") not in TYPES:
        raise ValueError(f"{where} is a {value.get('type')!r}; known types: {', '.join(TYPES)}")
    for name, inner in value.get("properties", {}).items():
        _checked_property(f"{where}.{name}", inner)
    if "items" in value:
        _checked_property(f"{where}[]", value["items"])


def _property(value: Property) -> dict[str, Any]:
    if isinstance(value, str):
        return {"type": value}
    return {key: part for key, part in value.items() if key != "required" or not isinstance(part, bool)}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "if": {"properties": rule.when, "required": list(rule.when)},
        "then": {"properties": rule.then, "required": list(rule.needs)},
    }
