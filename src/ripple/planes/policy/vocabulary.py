"""What a policy may call: supported built-ins and, without recursion, the functions of its bundle.

Read from the parsed modules, so comments and strings never match.

The supported ones were each called in regorus 0.13, and ``tests/conformance`` calls them again. What is not listed
is refused when a bundle is loaded: at decision time it would be an error or, worse, undefined behind a ``not``. A
function that calls itself is refused too: Rego has no recursion, and this engine ends the whole process on it.
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


class Rule(NamedTuple):
    """One rule head: its package, its name, where it stands, and whether it is a function."""

    package: str
    name: str
    file: str
    line: int
    function: bool


class Call(NamedTuple):
    """One call: the function's full name (``data.…``) if the bundle defines it, else the name as written."""

    name: str
    caller: str
    file: str
    line: int


def refused_calls(modules: list[dict[str, Any]]) -> list[str]:
    """What to say of each call that may not be; ``modules`` is regorus' syntax tree."""
    said = []
    calls = list(_all_calls(modules))
    for call in calls:
        if call.name in IMPURE:
            why = "depends on more than its input; pass what it would tell as input"
        elif not call.name.startswith("data.") and call.name not in SUPPORTED:
            why = "is not supported by this engine; compute it in the caller and pass the result as input"
        elif call.caller in _reached(call.name, calls):
            why = "calls itself; Rego has no recursion"
        else:
            continue
        said.append(f"{call.file}:{call.line}: {call.name} {why}")
    return said


def rules(modules: list[dict[str, Any]]) -> list[Rule]:
    """Every rule of every module in file order; a rule with several bodies appears several times."""
    return [rule for module in modules for rule, _ in _heads(module)]


def _reached(start: str, calls: list[Call]) -> set[str]:
    """All functions that a call of ``start`` may end up in, itself included."""
    found, fresh = {start}, [start]
    while fresh:
        here = fresh.pop()
        following = {call.name for call in calls if call.caller == here} - found
        found |= following
        fresh += following
    return found


def _all_calls(modules: list[dict[str, Any]]) -> Iterator[Call]:
    defined = {f"data.{rule.package}.{rule.name}" for rule in rules(modules) if rule.function}
    for module in modules:
        aliases = _aliases(module)
        for rule, tree in _heads(module):
            package = f"data.{rule.package}"
            for name, line in _calls(tree):
                first, _, rest = name.partition(".")
                full = f"{aliases[first]}.{rest}" if first in aliases and rest else aliases.get(name, name)
                local = f"{package}.{name}"
                known = local if local in defined else full if full in defined else name
                yield Call(known, f"{package}.{rule.name}", rule.file, line)


def _heads(module: dict[str, Any]) -> Iterator[tuple[Rule, dict[str, Any]]]:
    package = _dotted(module["ast"]["package"]["refr"]) or ""
    for tree in module["ast"]["rules"]:
        kind, head = next(iter(tree["Spec"]["head"].items())) if "Spec" in tree else ("Default", tree["Default"])
        name = _dotted(head["refr"]) or ""
        yield Rule(package, name, module["source"]["file"], head["span"]["line"], kind == "Func"), tree


def _aliases(module: dict[str, Any]) -> dict[str, str]:
    text = module["source"]["contents"].encode()
    found = {}
    for one in module["ast"]["imports"]:
        path = _dotted(one["refr"]) or ""
        alias = one.get("as")
        name = text[alias["start"] : alias["end"]].decode() if alias else path.rpartition(".")[2]
        found[name] = path
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
