"""The short way of a policy against its long way: the same word for word, whatever is asked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.governance.test_policies import ASKED, POLICIES, REFUSED, holes

from ripple.planes.policy import Policy, read_bundle
from ripple.planes.policy.regorus import RegorusPolicy

SHORT = re.compile(r'decision := \{"allow": true, "reasons": \[\]\} if \{\n.*?\n\} else := ', re.DOTALL)
FAILED = re.compile(r"policy \S+ failed: ")
FILES = {path: f"{path}.rego" for path in ("ripple/authz", "ripple/edits", "ripple/promotion")}
SETTINGS = read_bundle(POLICIES)[1]["ripple"]["settings"]
TOUCHY = [
    "x.lock",
    "config",
    "src",
    "a.py",
    "X.Lock.",
    ".",
    "..",
    "",
    " ",
    "a ",
    "é",
    "Σ",
    "a:b",
    "a\\b",
    "\n",
    "\u200b",
]
NAMES = sorted({*TOUCHY, *(name for key in SETTINGS if key.startswith("protected") for name in SETTINGS[key])})


def loaded(modules: dict[str, str], data: dict[str, Any]) -> Policy:
    policy = Policy(RegorusPolicy())
    policy.load({name: text for name, text in modules.items() if not name.endswith("_test.rego")}, data)
    return policy


MODULES, DATA = read_bundle(POLICIES)
BOTH = loaded(MODULES, DATA)


def cut(text: str) -> str:
    """The module without its short way; its lines keep their numbers, which errors name."""
    (short,) = SHORT.findall(text)
    return text.replace(short, "\n" * short.count("\n") + "decision := ")


LONG = loaded({**MODULES, **{file: cut(MODULES[file]) for file in FILES.values()}}, DATA)


def same(path: str, asked: dict[str, Any]) -> bool:
    """Whether it is allowed, by both ways alike. Where one fails, which is a no, the other may say it in words."""
    short, long = BOTH.decide(path, asked), LONG.decide(path, asked)
    assert short.allowed == long.allowed, asked
    if not any(FAILED.match(reason) for reason in (*short.reasons, *long.reasons)):
        assert short.reasons == long.reasons, asked
    return short.allowed


@pytest.mark.parametrize("path", FILES)
def test_a_short_way_says_what_the_long_way_says_where_anything_is_missing_or_odd(path: str) -> None:
    assert same(path, ASKED[path])
    refused = [{**ASKED[path], **change} for where, change in REFUSED if where == path]
    assert not any(same(path, one) for one in refused)
    for asked in holes(ASKED[path]):
        same(path, asked)


paths = st.lists(st.sampled_from(NAMES) | st.text(max_size=3), min_size=1, max_size=4).map("/".join)
odd = st.none() | st.integers() | paths


@settings(max_examples=300, deadline=None)
@given(
    st.lists(paths, max_size=4) | st.lists(odd, max_size=3),
    st.sampled_from(["code", "code", "config", "both"]),
    st.sampled_from(["config", "./config/", ""]),
    st.lists(paths.map("./".__add__) | paths, max_size=3) | st.lists(odd, max_size=2),
)
def test_no_path_gets_by_on_the_short_way(
    touched: list[Any], kind: str, config: str, protected: list[Any]
) -> None:
    same("ripple/edits", {"paths": touched, "kind": kind, "config_dir": config, "protected": protected})


@pytest.mark.parametrize("name", NAMES)
def test_each_protected_name_is_seen_wherever_it_stands(name: str) -> None:
    for path in (name, f"{name}/b", f"a/{name}", f"a/{name}/b", f"a/{name.upper()}", f"a/{name}.", f"{name} /b"):
        for protected in ([], [name], [f"./{name}/"], [f"{name}. "], [path], ["a"]):
            asked = {"paths": ["ok/c.py", path], "kind": "code", "config_dir": "", "protected": protected}
            same("ripple/edits", asked)


numbers = st.sampled_from([0, 0.5, 0.6, 0.6000000000000001, 0.8, 1, -1, "0.9", None, True])


@settings(max_examples=250, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "environment": st.sampled_from(["dev", "staging", "prod", "moon", ""]),
            "release": st.sampled_from(["sha256:a", "sha256:b", ""]),
            "held": st.sampled_from([False, True, None]),
            "held_reason": st.sampled_from(["", "it was slow", None]),
            "previous_environment_stable": st.booleans(),
            "approval": st.sampled_from([{"required": True, "by": "operator:local"}, {"required": True}, {}]),
            "origin": st.sampled_from([{"kind": "adoption", "state": "adopting"}, {"kind": "adoption"}, {}, None]),
            "tree": st.sampled_from(["t", "u", "", None]),
            "consensus": st.fixed_dictionaries(
                {},
                optional={"reached": st.sampled_from([True, False, 1]), "score": numbers, "tree": st.just("t")},
            ),
            "policy": st.fixed_dictionaries({}, optional={"name": st.just("p"), "min_agreement": numbers}),
        },
    )
)
def test_no_release_gets_in_on_the_short_way(change: dict[str, Any]) -> None:
    same("ripple/promotion", {**ASKED["ripple/promotion"], **change})


def test_a_bundle_whose_lists_are_gone_protects_by_allowing_nothing() -> None:
    for key in (key for key in SETTINGS if key.startswith("protected")):
        for bad in (None, "x"):
            data = {"ripple": {**DATA["ripple"], "settings": {**SETTINGS, key: bad}}}
            assert not loaded(MODULES, data).decide("ripple/edits", ASKED["ripple/edits"]).allowed, (key, bad)


def test_every_short_way_is_measured_here() -> None:
    found = {name for name, text in MODULES.items() if SHORT.search(text)}
    assert found == set(FILES.values())
