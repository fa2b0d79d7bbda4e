"""The console as people use it, in headless Chromium on a real instance; the tutorial's pictures come from here.

``RIPPLE_SCREENSHOTS=1`` writes the pictures to ``docs/images``; else they go to a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.instance import ROOT, Instance
from tests.e2e.provider import CLOUD, LOCAL, Endpoint
from tests.unit.examples.answers import known

from ripple.stack.components import load_stack
from ripple.stack.systems import load_map
from ripple.surfaces.cli.checks import CHROMIUM, NODE

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.timeout(400)]
STORIES = Path(__file__).parent / "browser"
PICTURES = ("overview", "applications", "ask", "change", "audit", "models", "stack", "component")
MAP = load_map(ROOT / "manifests")
LAPTOP = load_stack(ROOT / "manifests", "laptop")
SYSTEMS = {component.id: component.name for component in LAPTOP.components}
STEPS = ("admit", "context", "propose", "try", "reduce", "gates", "record")
ENVIRONMENTS = ("dev", "qa", "staging", "prod")
INTENT = known("free-shipping").intent
PROBED = '{"ok": true}'
HELD = "Hold this one until it is cancelled."
ANSWERS = {
    **dict.fromkeys((*LOCAL[:3], *CLOUD), "free-shipping"),
    LOCAL[2]: "free-shipping-spelled-differently",
    LOCAL[3]: "free-shipping-wrong-but-passing",
    LOCAL[4]: "free-shipping-wrong",
}


@dataclass
class Console:
    """The pages of one instance, and a browser to visit them with."""

    instance: Instance
    endpoint: Endpoint
    chromium: str
    pictures: Path

    def visit(self, story: str, link: str = "", **given: Any) -> dict[str, Any]:
        """What the story tells, after it held and nothing went wrong in the browser beside it."""
        facts = {"chromium": self.chromium, "pictures": str(self.pictures), "link": link or self.link(), **given}
        command = (str(NODE), str(STORIES / f"{story}.mjs"))
        done = subprocess.run(command, input=json.dumps(facts), capture_output=True, text=True, timeout=380)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def link(self) -> str:
        """A fresh one-time link, as another ``./ripple up`` would print it."""
        with self.instance.api as api:
            token = api.post("/api/sign-in-links").raise_for_status().json()["token"]
        return f"{self.instance.link.partition('#')[0]}#/sign-in/{token}"


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("not run: no Chromium on this machine; apt install chromium")
    if not (ROOT / "console" / "dist" / "index.html").exists():
        pytest.skip("not run: the console is not built; ./ripple up builds it")
    return found


@pytest.fixture(scope="module")
def console(
    chromium: str, short_home: Path, endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """A fresh instance with all its voters but one."""
    wanted = os.environ.get("RIPPLE_SCREENSHOTS") == "1"
    pictures = ROOT / "docs" / "images" if wanted else tmp_path_factory.mktemp("pictures")
    instance = Instance(short_home / "home")
    instance.up()
    with instance.api as api:
        for name in (*LOCAL, *CLOUD[:-1]):
            tier, weight = ("local", 1.0) if name in LOCAL else ("cloud", 1.5)
            voter = {"name": name, "tier": tier, "base_url": endpoint.url, "model": name, "weight": weight}
            api.post("/api/providers", json=voter).raise_for_status()
    yield Console(instance, endpoint, chromium, pictures)
    instance.down()


@pytest.fixture(scope="module")
def told(console: Console) -> dict[str, Any]:
    """What a newcomer saw on the way through the tutorial, with the link that ``up`` printed."""
    texts = {
        model: known(name).answer.model_dump_json(by_alias=True, exclude_none=True)
        for model, name in ANSWERS.items()
    }
    console.endpoint.replies.update(texts)
    last = CLOUD[-1]
    console.endpoint.replies[last] = lambda asked: texts[last] if INTENT in str(asked["messages"]) else PROBED
    provider = {"name": last, "base_url": console.endpoint.url, "weight": 1.5, "key": "a key of no worth"}
    asked = {"provider": provider, "intent": INTENT, "other": LOCAL[3]}
    return console.visit("newcomer", console.instance.link, systems=SYSTEMS, gates=8, **asked)


def test_a_newcomer_brings_a_change_to_prod_and_takes_it_back_without_a_terminal(told: dict[str, Any]) -> None:
    assert told["before"] == told["restored"] > 0
    assert told["after"] == 0
    assert told["change"]["sealed"] == 8
    passed = {f"{gate} pass" for gate in ("build", "integration", "security", "policy", "evals", "canary")}
    assert set(told["change"]["gates"]) == passed


def test_a_change_is_seen_live_while_the_page_stays(told: dict[str, Any]) -> None:
    assert told["streams"] == ["text/event-stream; charset=utf-8"], "one stream, never asked for again"
    steps = (*STEPS, *(f"promote/{environment}" for environment in ENVIRONMENTS))
    seen = set(told["seen"])
    assert {f"{step} passed" for step in steps} <= seen
    assert "promote/prod running" in seen
    assert {"live", "qa waiting", "qa passed", "prod canary", "a line of the canary in prod"} <= seen


def test_a_change_shows_its_candidates_its_vote_and_the_numbers_of_its_canary(told: dict[str, Any]) -> None:
    change = told["change"]
    assert set(change["candidates"]) == {*LOCAL, *CLOUD}
    assert "Failed the tests" in change["candidates"][LOCAL[4]]
    assert "Answer B had" in change["candidates"][LOCAL[3]], "it says why it lost"
    assert len(change["diffs"]) == 2
    assert "if goods_cents >= free_from_cents" in change["diffs"][0]
    assert "if goods_cents + flat_cents >= free_from_cents" in change["diffs"][1], "the other one is beside it"
    assert "weight 6 · winner" in change["votes"][0]
    assert "weight 1" in change["votes"][1]
    assert "Answer A" in change["disagreements"]
    assert "Canary" in change["numbers"]
    assert "Baseline" in change["numbers"]
    assert [chart.partition(":")[0] for chart in change["charts"]] == ["Error rate", "95th percentile latency"]
    assert all("canary" in chart and "baseline" in chart and "allowed" in chart for chart in change["charts"])


@pytest.fixture(scope="module")
def mapped(told: dict[str, Any], console: Console) -> dict[str, Any]:
    """What a visit to the map of the stack saw."""
    return console.visit("stack")


def test_the_map_shows_every_system_and_what_is_proven_of_it(mapped: dict[str, Any], console: Console) -> None:
    assert mapped["systems"] == len(MAP.rows)
    assert 0 < mapped["filtered"] < mapped["systems"]
    with console.instance.api as api:
        counts = api.get("/api/stack", timeout=60).json()["counts"]
    assert sum(counts.values()) == len(MAP.rows)
    assert len(mapped["legend"]) == len(counts)
    assert mapped["tagged"] == mapped["provable"] == counts.get("unproven", 0)
    assert any(f"Works: {counts['works']} systems" in text for text in mapped["legend"])


def test_a_system_is_understood_and_restarted_from_its_page_and_the_audit_log_says_who(
    mapped: dict[str, Any], console: Console
) -> None:
    for text in ("Process", "Memory", "nats://127.0.0.1:", "the way back", "Signed by", "pypi"):
        assert text.lower() in mapped["text"].lower(), text
    with console.instance.api as api:
        entries = api.get("/api/audit", params={"q": "component.restart"}).json()["entries"]
    assert any(one["resource"] == "stack/nats-server" and one["outcome"] == "done" for one in entries), entries


def test_the_pictures_of_the_tutorial_are_made_and_light(
    told: dict[str, Any], mapped: dict[str, Any], console: Console
) -> None:
    for name in PICTURES:
        data = (console.pictures / f"{name}.png").read_bytes()
        assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (1280, 800)
        assert 15_000 < len(data) < 200_000, name


def test_a_change_is_asked_for_and_cancelled_by_keyboard_alone(told: dict[str, Any], console: Console) -> None:
    released = threading.Event()
    for model in (*LOCAL, *CLOUD):
        console.endpoint.replies[model] = lambda request: str(released.wait(120))
    try:
        found = console.visit("keyboard", intent=HELD)
    finally:
        released.set()
    with console.instance.api as api:
        assert api.get(f"/api/changes/{found['id']}").json()["state"] == "cancelled"
    assert found["unreachable"] == {}, "controls that the Tab key does not reach, by page"


def test_every_page_fits_a_phone_and_is_legible_in_light_and_dark(told: dict[str, Any], console: Console) -> None:
    found = console.visit("appearance", change=told["id"])
    assert found["wide"] == [], "pages that scroll sideways at 390 pixels"
    assert found["faint"] == [], "text with less than 4.5:1 (large: 3:1) against what is behind it"
    assert found["grounds"]["light"] > 0.8
    assert found["grounds"]["dark"] < 0.05


def test_a_used_link_and_every_refusal_are_said_in_words(told: dict[str, Any], console: Console) -> None:
    found = console.visit("refusals", console.instance.link, fresh=console.link(), nowhere="/nowhere/at/all")
    assert "/nowhere/at/all" in found["application"]
    assert len(found["provider"]) > 20
