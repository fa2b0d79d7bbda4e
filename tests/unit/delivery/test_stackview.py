"""The stack as the console shows it: every system once, its proof, its drift, and the repairs that make sense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.front_door.test_console_contract import fields
from tests.unit.stack.checkouts import ROLES, make, row, whole

from ripple.delivery.stackview import VERBS, StackSeen, card
from ripple.delivery.stackview import one as shown
from ripple.delivery.stackview import whole as page
from ripple.model.component import ComponentState, ComponentStatus
from ripple.model.system import Outcome, VendorLock
from ripple.stack.components import Profile
from ripple.stack.drift import Comparison, Drift, Installed, Level, Severity
from ripple.stack.proven import unproven
from ripple.stack.systems import load_map

BUS = ComponentStatus(id="bus", name="Bus", version="1.0", state=ComponentState.READY, pid=7)
LATE = Drift(Level.HEALTHY, Severity.ERROR, "bus", "is unready", "./ripple restart bus")


@pytest.fixture
def seen(tmp_path: Path) -> StackSeen:
    found = load_map(make(tmp_path, [*whole(), row("spare", "events", status="off", reason="x")]) / "manifests")
    return StackSeen(
        map=found,
        roles=ROLES,
        profile=Profile(name="p", components=("bus",)),
        lock=VendorLock(),
        proven={one.system.id: unproven(one, "nobody tried") for one in found.rows},
        installed={"page": Installed("1.0", current=True)},
        own={},
        drift=Comparison((LATE,), ("environment: nobody answers",)),
        running={"bus": BUS},
    )


def test_every_system_stands_once_in_its_layer_and_every_role_has_its_owner(seen: StackSeen) -> None:
    found = page(seen)
    cards = [card for layer in found["layers"] for card in layer["systems"]]
    assert [card["id"] for card in cards] == [placed.system.id for placed in seen.map.rows]
    roles = {one["id"]: one for one in found["roles"]}
    assert (roles["events"]["default"], roles["events"]["others"]) == ("bus", ["spare"])
    assert roles["edge"]["default"] is None
    assert found["counts"] == {"unproven": len(cards)}
    assert found["not_compared"] == ["environment: nobody answers"]


def test_a_card_shows_what_runs_what_is_installed_and_what_drifts(seen: StackSeen) -> None:
    cards = {card["id"]: card for layer in page(seen)["layers"] for card in layer["systems"]}
    assert (cards["bus"]["state"], cards["bus"]["component"]) == ("ready", "bus")
    assert [one["message"] for one in cards["bus"]["drift"]] == ["is unready"]
    assert (cards["page"]["installed"], cards["page"]["drift"], cards["page"]["state"]) == ("1.0", [], None)


def test_what_comes_with_ripple_is_installed_and_cannot_be_removed(seen: StackSeen) -> None:
    with_ripple = replace(seen, own={"bus": Installed("2.0", current=True)})
    bus = shown(with_ripple, seen.map.get("bus"), None, "")
    assert bus["installed"] == "2.0"
    remove = next(one for one in bus["repairs"] if one["verb"] == "remove")
    assert (remove["enabled"], remove["why"]) == (False, "it comes with Ripple")


def test_a_card_says_why_it_is_unproven_and_what_may_prove_it(seen: StackSeen) -> None:
    spare = seen.map.get("spare")
    without = replace(spare, system=spare.system.model_copy(update={"smoke": None}))
    assert card(seen, spare)["unproven"] == {"reason": "nobody tried", "verb": "verify"}
    assert card(seen, without)["unproven"] == {"reason": "nobody tried", "verb": None}
    verdict = seen.proven["spare"].verdict.model_copy(update={"outcome": Outcome.FAILED})
    tried = replace(seen, proven={**seen.proven, "spare": replace(seen.proven["spare"], verdict=verdict)})
    assert card(tried, spare)["unproven"] is None, "it was tried, and the tile says what came of it"


def test_the_console_knows_every_field_of_a_card_and_of_a_system(seen: StackSeen) -> None:
    bus = shown(seen, seen.map.get("bus"), None, "")
    first = page(seen)["layers"][0]["systems"][0]
    assert set(page(seen)) == fields("Stack")
    assert set(first) == fields("SystemCard")
    assert set(first["unproven"]) == fields("Unproven")
    assert set(bus) == fields("System")
    assert set(bus["routes"][0]) == fields("Route")
    assert set(bus["repairs"][0]) == fields("Repair")
    assert set(page(seen)["roles"][0]) == fields("Role")
    assert set(page(seen)["drift"][0]) == fields("Drift")


@pytest.mark.parametrize(
    ("name", "enabled"),
    [
        ("bus", {"install", "verify", "restart"}),
        ("page", {"fix", "remove", "verify"}),
        ("rung-1", {"install", "verify"}),
    ],
)  # fmt: skip
def test_only_repairs_that_make_sense_are_offered_and_the_others_say_why(
    seen: StackSeen, name: str, enabled: set[str]
) -> None:
    found = shown(seen, seen.map.get(name), None, "")
    assert {one["verb"] for one in found["repairs"] if one["enabled"]} == enabled
    assert tuple(one["verb"] for one in found["repairs"]) == VERBS
    assert all(one["why"] for one in found["repairs"] if not one["enabled"])


def test_a_system_shows_its_answers_its_routes_and_that_nothing_proves_it(seen: StackSeen) -> None:
    found = shown(seen, seen.map.get("bus"), {"verb": "fix", "state": "failed", "reason": "no", "at": "now"}, "")
    assert found["answers"]["owner"] == "nobody"
    assert [(one["kind"], one["locked"], bool(one["why"])) for one in found["routes"]] == [("pypi", False, True)]
    assert (found["evidence"]["holds"], found["evidence"]["reason"]) == (False, "nobody tried")
    assert found["repairing"]["state"] == "failed"
    assert found["running"]["pid"] == 7
