"""The map as it is checked in: whole, each of the specification's systems once, and its open questions settled."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from ripple.delivery.stackdocuments import check_stack
from ripple.model.system import System, SystemStatus
from ripple.stack.load import load_manifest
from ripple.stack.root import project_root
from ripple.stack.systems import load_map

ROOT = project_root()
MAP = load_map(ROOT / "manifests")
SYSTEMS = {row.system.id: row.system for row in MAP.rows}
HERE = Path(__file__).parent
SPECIFIED = (HERE / "specified.txt").read_text().split()
LINKS = (HERE / "links.txt").read_text().split()
"""Every repository the specification links to: owner/name, or an owner alone."""


def of_role(role: str) -> list[System]:
    return [system for system in SYSTEMS.values() if system.role == role]


def adr(system: System) -> str:
    """The text of the decision record a row names."""
    found = re.search(r"ADR (\d{4})", system.reason)
    assert found, f"{system.id} names no decision record: {system.reason!r}"
    (path,) = (ROOT / "docs" / "adr").glob(f"{found[1]}-*.md")
    return path.read_text()


def test_the_map_breaks_no_rule() -> None:
    assert check_stack(ROOT) == []


def test_every_system_of_the_specification_has_its_row_and_ours_say_that_they_are_ours() -> None:
    assert len(SPECIFIED) == len(set(SPECIFIED)) == 165
    named = {name for name, system in SYSTEMS.items() if system.origin == "specification"}
    assert named == set(SPECIFIED)


def test_every_linked_repository_is_the_upstream_of_a_row() -> None:
    assert len(LINKS) == 102
    known = " ".join(f"{system.upstream} {system.docs} {system.reason}" for system in SYSTEMS.values()).lower()
    assert [link for link in LINKS if link.lower() not in known] == []


def test_every_layer_of_the_specification_has_one_file() -> None:
    layers = {row.layer.id: row.file for row in MAP.rows}
    assert set(layers) == {"0", *(f"1.{number}" for number in range(1, 23))}
    assert len(set(layers.values())) == len(layers)


def test_a_role_has_at_most_one_default_and_every_role_a_system() -> None:
    defaults = defaultdict(list)
    for system in SYSTEMS.values():
        if system.status is SystemStatus.DEFAULT:
            defaults[system.role].append(system.id)
    assert {role: names for role, names in defaults.items() if len(names) > 1} == {}
    assert len(defaults["ui.primary"]) == 1
    roles = load_manifest(ROOT / "manifests" / "stack.yaml")["roles"]
    assert sorted(set(roles) - {system.role for system in SYSTEMS.values()}) == []


@pytest.mark.parametrize("name", ["neon", "neo4j-labs", "jj"])
def test_what_was_both_adopted_and_open_is_optional_by_a_record(name: str) -> None:
    assert SYSTEMS[name].status is SystemStatus.OPTIONAL
    assert adr(SYSTEMS[name])


@pytest.mark.parametrize(
    "name", ["promptolution", "baml", "prompty", "memobase", "memori", "memos", "appflowy-cloud", "rust-postgres"]
)
def test_every_open_decision_is_closed_by_a_record_that_speaks_of_it(name: str) -> None:
    assert name.partition("-")[0] in adr(SYSTEMS[name]).lower()


@pytest.mark.parametrize("name", ["mem-rs", "arkflow", "prompt-cache", "vcache", "holochain-runner"])
def test_a_misfit_is_off_or_a_plugin_and_says_why(name: str) -> None:
    assert SYSTEMS[name].status in (SystemStatus.OFF, SystemStatus.PLUGIN)
    assert len(SYSTEMS[name].reason) > 20


def test_telemetry_is_a_standard_and_a_collector_and_logs_have_a_store() -> None:
    assert SYSTEMS["opentelemetry-spec"].role != SYSTEMS["opentelemetry-collector"].role
    assert [system.id for system in of_role("telemetry.logs")] != []


@pytest.mark.parametrize("name", ["neo4j-labs", "rust-postgres", "k3s", "candle-vllm", "nixos-wsl"])
def test_a_repository_the_specification_left_open_is_marked_as_our_choice(name: str) -> None:
    assert "our choice" in f"{SYSTEMS[name].reason} {SYSTEMS[name].summary}".lower()


def test_orchestration_has_one_owner_a_kind_and_coordination_one() -> None:
    durable = [system.id for system in of_role("flows.durable") if system.status is SystemStatus.DEFAULT]
    assert durable == ["temporal"]
    seven = ("agixt", "claude-flow", "agentic-flow", "temporal", "argo-workflows", "n8n", "arkflow")
    assert len({SYSTEMS[name].role for name in seven}) == len(seven)
    active = [
        name
        for name in ("holochain", "synaptic-mesh", "daa")
        if SYSTEMS[name].status in (SystemStatus.DEFAULT, SystemStatus.ALTERNATE)
    ]
    assert len(active) <= 1


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("refact", "off"),
        ("quantum-agentics", "off"),
        ("n8n", "off"),
        ("openai-evals", "off"),
        ("rustfs", "optional"),
    ],
)
def test_codified_decisions_stay_true(name: str, status: str) -> None:
    assert SYSTEMS[name].status in (status, "off")
