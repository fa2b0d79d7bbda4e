"""A call as a person reads it: its arguments in Python's notation, pickled ones by the text beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BRACKETS = {"list": ("[", "]"), "tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("{", "}")}


def shown_call(call: Mapping[str, Any]) -> str:
    """The arguments of a call, and after them the object it is made on."""
    named = [f"{name}={shown_value(value)}" for name, value in call["named"].items()]
    text = ", ".join([*map(shown_value, call["given"]), *named])
    return f"{text} on {shown_value(call['self'])}" if "self" in call else text


def shown_value(value: Any) -> str:
    """One value of the form that the driver decodes."""
    if not isinstance(value, dict):
        return repr(value)
    kind = value["t"]
    if kind == "dict":
        return "{" + ", ".join(f"{shown_value(key)}: {shown_value(one)}" for key, one in value["of"]) + "}"
    if kind in _BRACKETS:
        opening, closing = _BRACKETS[kind]
        return opening + ", ".join(map(shown_value, value["of"])) + closing
    if kind == "float":
        return str(value["repr"])
    if kind == "bytes":
        return repr(bytes.fromhex(value["hex"]))
    if kind == "member":
        return f"{_last(value['of'])}.{value['name']}"
    if kind == "call":
        named = [f"{name}={shown_value(one)}" for name, one in value["named"].items()]
        return f"{_last(value['of'])}({', '.join([*map(shown_value, value['given']), *named])})"
    return str(value.get("shown", "…"))


def _last(target: str) -> str:
    return target.rpartition(":")[2].rpartition(".")[2]
