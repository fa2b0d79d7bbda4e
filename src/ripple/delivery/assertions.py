"""Promptfoo's deterministic assertions on one output, as its documentation has them. Pure.

``not-`` before a type turns it around. A type that needs a model, a script or a clock is not supported, and an
assertion that is not supported fails: what was not checked did not pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema

from ripple.model.errors import Invalid

Check = Callable[[Any, str], bool]
REGEX = "regex"
"""The one type that is decided elsewhere: a pattern can take for ever, so it is searched for in the sandbox."""


def holds(kind: str, value: Any, output: str) -> bool:
    """Whether ``output`` is what an assertion of type ``kind``, without its ``not-``, asks for.

    Raises:
        Invalid: the type is not supported, or its value is of no use to it.
    """
    check = _CHECKS.get(kind)
    if check is None:
        raise Invalid(f"assertion type {kind!r} is not supported; use {', '.join(sorted((*_CHECKS, REGEX)))}")
    return check(value, output)


def _equals(value: Any, output: str) -> bool:
    if isinstance(value, dict | list):
        try:
            return bool(json.loads(output) == value)
        except (ValueError, RecursionError):
            return False
    return _text(value) == output


def _is_json(value: Any, output: str) -> bool:
    try:
        found = json.loads(output)
    except (ValueError, RecursionError):
        return False
    if value is None:
        return True
    if not isinstance(value, dict):
        raise Invalid("the value of is-json is no JSON Schema; give a mapping")
    try:
        jsonschema.validate(found, value)
    except jsonschema.ValidationError:
        return False
    except jsonschema.SchemaError as error:
        raise Invalid(f"the schema of is-json is unusable: {error.message}") from error
    return True


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        raise Invalid(f"the value {value!r} is no text; give one")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _several(value: Any) -> list[str]:
    """A list, or promptfoo's short form of one: texts with commas between."""
    found = value if isinstance(value, list) else [one.strip() for one in _text(value).split(",")]
    if not found:
        raise Invalid("the list of values is empty; give at least one")
    return [_text(one) for one in found]


def _folded(check: Check) -> Check:
    """The same without regard to case."""

    def folded(value: Any, output: str) -> bool:
        low = [_text(one).lower() for one in value] if isinstance(value, list) else _text(value).lower()
        return check(low, output.lower())

    return folded


def _contains(value: Any, output: str) -> bool:
    return _text(value) in output


def _contains_any(value: Any, output: str) -> bool:
    return any(one in output for one in _several(value))


def _contains_all(value: Any, output: str) -> bool:
    return all(one in output for one in _several(value))


def _starts_with(value: Any, output: str) -> bool:
    return output.startswith(_text(value))


_CHECKS: Mapping[str, Check] = {
    "equals": _equals,
    "contains": _contains,
    "contains-any": _contains_any,
    "contains-all": _contains_all,
    "icontains": _folded(_contains),
    "icontains-any": _folded(_contains_any),
    "icontains-all": _folded(_contains_all),
    "starts-with": _starts_with,
    "is-json": _is_json,
}
