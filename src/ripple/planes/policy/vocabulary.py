"""Which built-ins a policy may call. Read from the parsed module, so comments and strings never match.

The supported ones were each called in regorus 0.13, and ``tests/conformance`` calls them again. What is not listed
is refused when a bundle is loaded: at decision time it would be an error or, worse, undefined behind a ``not``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_NAMES = """
abs array.concat array.reverse array.slice base64.decode base64.encode base64.is_valid base64url.decode
base64url.encode base64url.encode_no_pad bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat
contains count endswith floor format_int glob.match glob.quote_meta graph.reachable graph.reachable_paths
hex.decode hex.encode indexof indexof_n intersection is_array is_boolean is_null is_number is_object is_set
is_string json.filter json.is_valid json.marshal json.match_schema json.patch json.remove json.unmarshal lower
max min net.cidr_contains net.cidr_is_valid numbers.range numbers.range_step object.filter object.get
object.keys object.remove object.subset object.union object.union_n product regex.find_n regex.is_valid
regex.match regex.replace regex.split regex.template_match replace round semver.compare semver.is_valid sort
split sprintf startswith strings.any_prefix_match strings.any_suffix_match strings.count strings.replace_n
strings.reverse substring sum time.add_date time.clock time.date time.diff time.parse_duration_ns time.parse_ns
time.parse_rfc3339_ns time.weekday to_number trim trim_left trim_prefix trim_right trim_space trim_suffix
type_name union units.parse units.parse_bytes upper urlquery.decode urlquery.encode
"""
SUPPORTED = frozenset(_NAMES.split())
IMPURE = frozenset({"time.now_ns", "rand.intn", "uuid.rfc4122", "opa.runtime", "http.send", "net.lookup_ip_addr"})
"""Depend on more than the input: two identical questions could get two answers."""


class Call(NamedTuple):
    """One call of a function that is not defined in the bundle."""

    name: str
    file: str
    line: int


class Rule(NamedTuple):
    """One rule head: its package, its name and where it stands."""

    package: str
    name: str
    file: str
    line: int


def refused_calls(modules: list[dict[str, Any]]) -> list[str]:
    """What to say of each built-in that may not be used; ``modules`` is regorus' syntax tree."""
    said = []
    for call in _foreign_calls(modules):
        if call.name in IMPURE:
            why = "depends on more than its input; pass what it would tell as input"
        elif call.name not in SUPPORTED:
            why = "is not supported by this engine; compute it in the caller and pass the result as input"
        else:
            continue
        said.append(f"{call.file}:{call.line}: {call.name} {why}")
    return said


def rules(modules: list[dict[str, Any]]) -> list[Rule]:
    """Every rule of every module in file order; a rule with several bodies appears several times."""
    return [
        Rule(package, name, module["source"]["file"], line)
        for module in modules
        for package in [_dotted(module["ast"]["package"]["refr"]) or ""]
        for name, line, _ in _heads(module)
    ]


def _foreign_calls(modules: list[dict[str, Any]]) -> Iterator[Call]:
    defined = {
        f"data.{_dotted(module['ast']['package']['refr'])}.{name}"
        for module in modules
        for name, _, is_function in _heads(module)
        if is_function
    }
    for module in modules:
        package = f"data.{_dotted(module['ast']['package']['refr'])}"
        aliases = _aliases(module)
        for name, line in _calls(module["ast"]["rules"]):
            first, _, rest = name.partition(".")
            full = f"{aliases[first]}.{rest}" if first in aliases and rest else aliases.get(name, name)
            if full not in defined and f"{package}.{name}" not in defined:
                yield Call(name, module["source"]["file"], line)


def _heads(module: dict[str, Any]) -> Iterator[tuple[str, int, bool]]:
    for rule in module["ast"]["rules"]:
        if "Spec" not in rule:
            continue
        kind, head = next(iter(rule["Spec"]["head"].items()))
        name = _dotted(head["refr"])
        if name:
            yield name, head["span"]["line"], kind == "Func"


def _aliases(module: dict[str, Any]) -> dict[str, str]:
    found = {}
    for one in module["ast"]["imports"]:
        path = _dotted(one["refr"]) or ""
        alias = one.get("as")
        found[alias[1] if alias else path.rpartition(".")[2]] = path
    return found


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, list):
        for item in node:
            yield from _calls(item)
    elif isinstance(node, dict):
        called = node.get("Call")
        if isinstance(called, dict):
            yield _dotted(called["fcn"]) or "a computed function", called["span"]["line"]
        for item in node.values():
            yield from _calls(item)


def _dotted(reference: Mapping[str, Any]) -> str | None:
    """``a.b.c`` of a reference, the part before the first bracket, None for anything else."""
    if "Var" in reference:
        return str(reference["Var"]["value"])
    if "RefDot" in reference:
        before = _dotted(reference["RefDot"]["refr"])
        return f"{before}.{reference['RefDot']['field'][1]}" if before else None
    if "RefBrack" in reference:
        return _dotted(reference["RefBrack"]["refr"])
    return None
