"""One change from words to production, and every way it may end, on a real instance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.instance import ROOT, Instance, git, make_application, short_windows, until
from tests.e2e.provider import Endpoint
from tests.unit.changes.room import opened
from tests.unit.examples.answers import known

from ripple.changes.phases.actions import Workshop, promotion_recorded
from ripple.changes.phases.runs import Runs

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
Shop = tuple[str, Path]


def says(name: str) -> str:
    """The answer of that name as a model would write it."""
    return known(name).answer.model_dump_json(by_alias=True, exclude_none=True)


def states(change: dict[str, Any]) -> dict[str, str]:
    return {one["environment"]: one["state"] for one in change["environments"]}


def price(url: str) -> int:
    asked = f"{url}/quote?items=mug:4"
    try:
        found = httpx.get(asked, timeout=15, trust_env=False)
    except httpx.TransportError:  # a switch at the edge may close a connection that has no answer yet
        found = httpx.get(asked, timeout=15, trust_env=False)
    return int(found.json()["shipping_cents"])


def recorded(instance: Instance) -> Mapping[str, Any]:
    """What phase P6 finds in the records of the instance."""

    async def main() -> Mapping[str, Any]:
        async with opened(instance.home.parent, voters=False) as room:
            return await promotion_recorded(Workshop(room.rooms, Runs(room.rooms.objects, room.rooms.key), ROOT))

    return asyncio.run(main())


@pytest.fixture(scope="module")
def untouched(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One adopted copy of the example for all the changes that must leave it as it is."""
    folder = make_application(tmp_path_factory.mktemp("untouched") / "shop", "untouched")
    assert instance.json("app", "add", str(folder))["state"] == "ready"
    return "untouched", folder


def test_a_correct_code_change_reaches_prod_and_leaves_its_evidence(
    instance: Instance, endpoint: Endpoint, shop: Shop
) -> None:
    name, folder = shop
    endpoint.all_say(says("free-shipping"))
    before = git(folder, "rev-parse", "HEAD")
    change = instance.ended(instance.submit(name, known("free-shipping").intent))
    assert change["state"] == "promoted", change["reasons"]
    assert set(states(change).values()) == {"passed"}
    assert change["consensus"]["score"] == 1.0
    assert {gate["gate"]: gate["verdict"] for gate in change["gates"]} == dict.fromkeys(
        ("build", "integration", "security", "policy", "evals", "canary"), "pass"
    )
    assert git(folder, "rev-list", "--count", f"{before}..HEAD") == "1", "one commit, no more"
    message = git(folder, "log", "-1", "--format=%B")
    assert f"Ripple-Change: {change['id']}" in message
    assert ">= free_from_cents" in (folder / "checkout" / "pricing.py").read_text()
    assert instance.json("change", "show", change["id"]) == change
    evidence = instance.json("change", "evidence", change["id"])["envelopes"]
    assert len(evidence) == 8, "five gates and three canaries"
    assert all(one["verified"] for one in evidence)
    assert recorded(instance)["change"] == change["id"], "the phase P6 takes it for a promotion"
    assert instance.json("audit", "verify")["ok"] is True


def test_a_correct_config_change_reaches_prod(instance: Instance, endpoint: Endpoint, shop: Shop) -> None:
    name, folder = shop
    endpoint.all_say(says("quantity-limit"))
    change = instance.ended(instance.submit(name, known("quantity-limit").intent, "--kind", "config"))
    assert change["state"] == "promoted", change["reasons"]
    assert change["consensus"]["method"] == "weighted_consensus/canonical_patch"
    assert all(one["canonical"] for one in change["candidates"])
    limits = json.loads((folder / "config" / "limits.json").read_text())
    assert limits["max_quantity_per_line"] != 20


@pytest.mark.parametrize("wrong", ["free-shipping-wrong", "quantity-limit-outside-its-schema"])
def test_a_wrong_change_never_reaches_dev(
    instance: Instance, endpoint: Endpoint, untouched: Shop, wrong: str
) -> None:
    name, folder = untouched
    endpoint.all_say(says(wrong))
    before = git(folder, "rev-parse", "HEAD")
    change = instance.ended(instance.submit(name, known(wrong).intent))
    assert change["state"] == "rejected"
    assert change["reasons"]
    assert set(states(change).values()) == {"waiting"}
    assert all(one["standing"] in ("refuted", "spoiled") and one["reasons"] for one in change["candidates"])
    assert git(folder, "rev-parse", "HEAD") == before


def test_two_answers_that_pass_the_same_tests_but_differ_are_no_consensus(
    instance: Instance, endpoint: Endpoint, untouched: Shop
) -> None:
    name, _ = untouched
    endpoint.all_say(says("free-shipping"), says("free-shipping-wrong-but-passing"))
    change = instance.ended(instance.submit(name, known("free-shipping").intent))
    assert change["state"] == "rejected"
    assert change["consensus"]["contested"] is True
    assert change["consensus"]["score"] < 0.6
    assert change["consensus"]["details"]["distinguishing"], "an input that tells them apart is shown"


def test_a_change_that_breaks_only_under_load_is_rolled_back_in_staging_and_held(
    instance: Instance, endpoint: Endpoint, shop: Shop
) -> None:
    name, folder = shop
    endpoint.all_say(says("slow-under-load"))
    before = git(folder, "rev-parse", "HEAD")
    change = instance.ended(instance.submit(name, known("slow-under-load").intent))
    assert change["state"] == "rolled_back", change["reasons"]
    assert states(change) == {"dev": "rolled_back", "qa": "rolled_back", "staging": "failed", "prod": "waiting"}
    assert git(folder, "rev-parse", "HEAD") == before
    application = instance.json("app", "show", name)
    for environment in application["environments"]:
        assert environment["stable"]["release"] != change["release"]
        assert environment["canary"] is None
    again = instance.ended(instance.submit(name, known("slow-under-load").intent))
    assert again["state"] == "rejected"
    assert any("held" in reason for reason in again["reasons"]), again["reasons"]


def test_a_change_can_be_approved_cancelled_and_taken_back(
    instance: Instance, endpoint: Endpoint, tmp_path: Path
) -> None:
    def ask_for_a_person(root: Path) -> None:
        short_windows(root)
        with (root / "environments" / "prod.yaml").open("a") as overlay:
            overlay.write("require_approval: true\n")

    folder = make_application(tmp_path / "shop", "careful", ask_for_a_person)
    assert instance.json("app", "add", str(folder))["state"] == "ready"
    endpoint.all_say(says("free-shipping"))
    first = instance.submit("careful", known("free-shipping").intent)

    def awaiting(change: str) -> bool:
        seen = instance.seen(f"/api/changes/{change}")
        return bool(seen) and states(seen)["prod"] == "awaiting_approval"

    until(lambda: awaiting(first), "the change waits for approval", 120, every=0.3)
    instance.run("change", "cancel", first)
    cancelled = instance.ended(first)
    assert cancelled["state"] == "cancelled"
    assert states(cancelled)["dev"] == "rolled_back"
    instance.run("change", "unhold", cancelled["release"])
    second = instance.submit("careful", known("free-shipping").intent)
    until(lambda: awaiting(second), "the change waits for approval", 120, every=0.3)
    instance.run("change", "approve", second, "prod")
    assert instance.ended(second)["state"] == "promoted"
    urls = {one["environment"]: one["url"] for one in instance.json("app", "show", "careful")["environments"]}
    assert price(urls["prod"]) == 0
    instance.run("change", "rollback", second)
    until(lambda: price(urls["prod"]) > 0, "prod serves what ran before", 60)
    # Git removes a file before it writes the new one, and moves the branch last: so wait for the branch
    until(lambda: "Take back" in git(folder, "log", "-1", "--format=%s"), "the commit is reverted", 60)
    assert ">= free_from_cents" not in (folder / "checkout" / "pricing.py").read_text()
