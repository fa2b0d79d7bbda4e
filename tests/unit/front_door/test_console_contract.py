"""The console's idea of the API is the API: each call has a route, each shape its fields, each state its word."""

from __future__ import annotations

import dataclasses
import enum
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from ripple.delivery.canary import Stats
from ripple.governance.audit import AuditVerdict
from ripple.inference.catalogue import load_catalogue
from ripple.model.candidate import Candidate, Cluster, Consensus, Standing, Tier
from ripple.model.change import ChangeKind, ChangeState, StepName, StepState
from ripple.model.component import ComponentState, ComponentStatus, Status
from ripple.model.gate import Verdict
from ripple.model.governance import AuditEntry
from ripple.model.release import ENVIRONMENTS
from ripple.planes.records import tables
from ripple.surfaces.http import changes, identity, stack, system, voters
from ripple.surfaces.http.changes import NewChange
from ripple.surfaces.http.voters import NewProvider

CONSOLE = Path(__file__).parents[3] / "console" / "src"
API = (CONSOLE / "api.ts").read_text() + (CONSOLE / "stack" / "types.ts").read_text()
CLIENT = (CONSOLE / "client.ts").read_text()
WORDS = (CONSOLE / "words.ts").read_text()


def routes() -> set[tuple[str, str]]:
    """Method and path of every route below /api, each parameter as ``{}``."""
    server = FastAPI()
    for router in (identity.router, changes.router, system.router, voters.router, stack.router):
        server.include_router(router)
    return {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, methods in server.openapi()["paths"].items()
        for method in methods
    }


def calls() -> set[tuple[str, str]]:
    """Method and path of every call in client.ts, each parameter as ``{}``, without the query."""
    found = re.findall(r'request<.*?>\(\s*"([A-Z]+)",\s*["`]([^"`]+)["`]', CLIENT)
    # First the nested template of an optional query, then the parameters.
    return {(method, re.sub(r"\$\{[^}]*\}", "{}", path.partition("?")[0])) for method, path in found}


def fields(interface: str) -> set[str]:
    """The names of an interface of api.ts, with those of the one it extends."""
    match = re.search(rf"export interface {interface}(?: extends (\w+))? \{{(.*?)\n\}}", API, re.DOTALL)
    assert match, f"no interface {interface} in api.ts"
    own = set(re.findall(r"^  (\w+)\??:", match[2], re.MULTILINE))
    return own | (fields(match[1]) if match[1] else set())


def union(name: str) -> set[str]:
    """The words of a union type of api.ts."""
    match = re.search(rf"export type {name} =(.*?);", API, re.DOTALL)
    assert match, f"no type {name} in api.ts"
    return set(re.findall(r'"([^"]+)"', match[1]))


def names(shape: Any) -> set[str]:
    """The fields of a model, dataclass or table."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return set(shape.model_fields)
    if dataclasses.is_dataclass(shape):
        return {field.name for field in dataclasses.fields(shape)}
    return {column.name for column in shape.columns}


def test_every_call_of_the_console_has_a_route() -> None:
    assert calls() - routes() == set()
    assert len(calls()) > 20


def test_every_route_an_operator_needs_is_called_by_the_console() -> None:
    by_other_means = {
        ("GET", "/changes/{}/events"),  # feed.ts follows it
        ("POST", "/sign-in-links"),  # ./ripple up makes the link
        ("POST", "/groups/{}/restart"),  # a page restarts one component at a time
        ("GET", "/applications/{}"),  # the list holds the same
        ("GET", "/config/{}"),  # so does this list
    }
    assert routes() - calls() - by_other_means == set()
    assert "/api/changes/${encodeURIComponent(changeId)}/events" in (CONSOLE / "feed.ts").read_text()


@pytest.mark.parametrize(
    ("interface", "shape"),
    [
        ("ComponentStatus", ComponentStatus),
        ("Status", Status),
        ("Candidate", Candidate),
        ("Cluster", Cluster),
        ("Consensus", Consensus),
        ("StepRecord", tables.steps),
        ("AuditEntry", AuditEntry),
        ("AuditVerdict", AuditVerdict),
        ("Traffic", Stats),
        ("Span", tables.spans),
    ],
)
def test_a_shape_has_the_same_fields_on_both_sides(interface: str, shape: Any) -> None:
    assert fields(interface) == names(shape)


@pytest.mark.parametrize(("interface", "shape"), [("NewProvider", NewProvider), ("Provider", tables.providers)])
def test_a_provider_has_no_field_in_the_console_that_the_api_does_not_know(interface: str, shape: Any) -> None:
    assert fields(interface) - names(shape) <= {"has_key"}


def test_what_the_console_asks_for_is_what_the_api_takes() -> None:
    match = re.search(r"export interface Ask \{(.*?)\n\}", CLIENT, re.DOTALL)
    assert match
    assert set(re.findall(r"^  (\w+)\??:", match[1], re.MULTILINE)) == names(NewChange)


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("ComponentState", ComponentState),
        ("ChangeState", ChangeState),
        ("ChangeKind", ChangeKind),
        ("StepState", StepState),
        ("Standing", Standing),
        ("Verdict", Verdict),
        ("Tier", Tier),
    ],
)
def test_a_state_has_the_same_words_on_both_sides(name: str, states: type[enum.StrEnum]) -> None:
    assert union(name) == {state.value for state in states}


def test_the_console_shows_the_steps_and_environments_of_the_flow_in_their_order() -> None:
    assert re.findall(r'^  step\("([^"]+)"', WORDS, re.MULTILINE) == [step.value for step in StepName]
    match = re.search(r"export const ENVIRONMENTS = \[(.*?)\]", WORDS)
    assert match
    assert tuple(re.findall(r'"(\w+)"', match[1])) == ENVIRONMENTS


def test_the_console_offers_every_kind_of_provider_there_is() -> None:
    form = (CONSOLE / "voters" / "provider-form.tsx").read_text()
    offered = re.findall(r'adapter: "([^"]+)", text:', form)
    rows = load_catalogue(CONSOLE.parents[1] / "manifests").adapters
    assert offered == [row.name for row in rows]
