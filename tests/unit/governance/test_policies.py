"""The shipped policies against incomplete and odd questions: what is left out never helps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ripple.planes.policy import Policy, read_bundle
from ripple.planes.policy.regorus import RegorusPolicy

POLICIES = Path(__file__).parents[3] / "policies"
SCAN = {"scanner": "bandit", "covers": "code", "state": "clean", "findings": []}
ASKED: dict[str, dict[str, Any]] = {
    "ripple/authz": {
        "principal": {"kind": "operator", "id": "local", "roles": ["operator"]},
        "action": "change.submit",
        "resource": "application/a",
    },
    "ripple/changes/admit": {
        "application": "a",
        "kind": "code",
        "policy": "ripple-moe",
        "dirty": False,
        "principal": "operator:local",
    },
    "ripple/edits": {"paths": ["src/a.py"], "kind": "code", "config_dir": "config/", "protected": ["x.lock"]},
    "inference/merge": {
        "consensus": {"reached": True, "score": 0.8, "winner": "a"},
        "policy": {"name": "ripple-moe", "min_agreement": 0.6},
    },
    "ripple/gates/security": {
        "environment": "prod",
        "scans": [{**SCAN, "covers": [what]} for what in ("code", "secrets", "misconfig", "vulnerabilities")],
    },
    "ripple/promotion": {
        "environment": "qa",
        "release": "sha256:a",
        "gates": {
            gate: {"verdict": "pass", "subject": "sha256:a"}
            for gate in ("build", "integration", "security", "policy", "evals")
        },
        "held": False,
        "previous_environment_stable": True,
        "approval": {"required": False, "by": ""},
        "origin": {"kind": "change"},
        "tree": "t",
        "consensus": {"reached": True, "score": 0.8, "tree": "t"},
        "policy": {"name": "ripple-moe", "min_agreement": 0.6},
    },
    "ripple/sandbox": {
        "rung_wanted": "bubblewrap",
        "rungs_available": ["bubblewrap"],
        "network": True,
        "purpose": "dependencies",
    },
    "ripple/models": {"name": "smollm2-135m", "sha256": None, "approved": []},
    "ripple/providers": {"adapter": "openai", "base_url": "https://api.example/v1"},
}
ODD: list[Any] = [None, False, True, 0, "", "odd", [], {}, [None], {"odd": 1}]


def holes(value: Any) -> Iterator[Any]:
    """``value`` with each part left out once, and each replaced by odd things."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
        yield from ({key: one for key, one in value.items() if key != name} for name in value)
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for place, part in pairs:
        for changed in (*ODD, *holes(part)):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[place] = changed
            yield copy


@pytest.fixture(scope="module")
def shipped() -> Policy:
    """The shipped bundle."""
    policy = Policy(RegorusPolicy())
    policy.load_directory(POLICIES)
    return policy


@pytest.mark.parametrize("path", ASKED)
def test_the_shipped_bundle_allows_what_is_in_order(shipped: Policy, path: str) -> None:
    assert shipped.decide(path, ASKED[path]).allowed


@pytest.mark.parametrize(
    "path", [path for path in ASKED if path not in ("ripple/promotion", "ripple/gates/security")]
)
def test_without_its_data_the_bundle_allows_nothing(path: str) -> None:
    modules = {name: text for name, text in read_bundle(POLICIES)[0].items() if not name.endswith("_test.rego")}
    policy = Policy(RegorusPolicy())
    policy.load(modules, {})
    found = policy.decide(path, ASKED[path])
    assert not found.allowed
    assert found.reasons


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("ripple/authz", {"principal": {"kind": "agent", "id": "a", "roles": ["agent"]}, "action": "provider.add"}),
    ("ripple/changes/admit", {"dirty": True}),
    ("ripple/changes/admit", {"policy": "mine"}),
    ("ripple/edits", {"paths": ["a/.git/config"]}),
    ("ripple/edits", {"paths": ["src/a.py"], "kind": "config"}),
    ("inference/merge", {"consensus": {"reached": True, "score": 0.5, "winner": "a"}}),
    ("inference/merge", {"consensus": {"reached": False, "score": 0.9, "winner": "a"}}),
    ("ripple/gates/security", {"scans": [{**SCAN, "covers": "code", "state": "findings"}]}),
    ("ripple/gates/security", {"scans": [SCAN]}),
    ("ripple/promotion", {"held": True}),
    ("ripple/promotion", {"approval": {"required": True, "by": ""}}),
    ("ripple/promotion", {"consensus": None}),
    ("ripple/promotion", {"consensus": {"reached": False, "score": 0.8, "tree": "t"}}),
    ("ripple/promotion", {"consensus": {"reached": True, "score": 0.8, "tree": "another"}}),
    ("ripple/promotion", {"consensus": {"reached": True, "score": 0.5, "tree": "t"}}),
    ("ripple/promotion", {"origin": {"kind": "adoption", "state": "ready"}}),
    ("ripple/sandbox", {"rung_wanted": "kata"}),
    ("ripple/models", {"name": "mystery"}),
    ("ripple/providers", {"adapter": "curl"}),
]


@pytest.mark.parametrize(("path", "change"), REFUSED)
def test_leaving_something_out_never_turns_a_no_into_a_yes(
    shipped: Policy, path: str, change: dict[str, Any]
) -> None:
    """A refusal whose message reads a missing field is undefined and would be lost."""
    refused = {**ASKED[path], **change}
    assert not shipped.decide(path, refused).allowed
    for given in holes(refused):
        bad = {name: given.get(name) for name in change} == {name: refused[name] for name in change}
        found = shipped.decide(path, given)
        assert not (bad and found.allowed), given
        assert found.allowed or found.reasons, given


def test_a_scan_without_a_scanner_or_state_is_refused(shipped: Policy) -> None:
    scans = ASKED["ripple/gates/security"]["scans"]
    for bad in ({"covers": "code", "state": "findings"}, {"covers": "code", "scanner": "x"}, "bandit", None, {}):
        assert not shipped.decide("ripple/gates/security", {"environment": "dev", "scans": [*scans, bad]}).allowed
