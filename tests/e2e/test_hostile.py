"""Hostile models and broken applications: each answer loses for its own reason, and nothing gets out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.instance import EXAMPLE, Instance, git, make_application, short_windows
from tests.e2e.provider import CLOUD, LOCAL, Endpoint
from tests.unit.examples.answers import known

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
INTENT = known("free-shipping").intent
EXTRA = ("local-6", "local-7", "local-8")
GOOD = ("    if goods_cents > free_from_cents:", "    if goods_cents >= free_from_cents:")


def edits(*changes: dict[str, Any]) -> str:
    return json.dumps({"summary": "", "edits": list(changes)})


def pricing(extra: str) -> str:
    """The right repair, with ``extra`` run when the module is imported."""
    text = (EXAMPLE / "checkout" / "pricing.py").read_text()
    assert GOOD[0] in text
    return edits({"path": "checkout/pricing.py", "content": text.replace(*GOOD) + f"\n\n{extra}\n"})


def hang(request: dict[str, Any]) -> str:
    time.sleep(45)
    return "{}"


def linked(root: Path) -> None:
    """A link that an answer could follow, and little patience with tests that never end."""
    (root / "stock").symlink_to("data")
    manifest = root / "ripple.app.yaml"
    manifest.write_text(manifest.read_text().replace("timeout_seconds: 60", "timeout_seconds: 15"))


def test_every_hostile_answer_loses_for_its_own_reason(
    instance: Instance, endpoint: Endpoint, tmp_path: Path
) -> None:
    folder = make_application(tmp_path / "shop", "prey", linked)
    assert instance.json("app", "add", str(folder))["state"] == "ready"
    for name in EXTRA:
        instance.provider(name, endpoint.url, tier="local")
    port = endpoint.url.rsplit(":", 1)[1].removesuffix("/v1")
    always = edits(
        {"path": "checkout/pricing.py", "find": GOOD[0], "replace": "    if True:"},
        *(
            {"path": f"tests/unit/test_{name}.py", "content": "def test_all_is_well():\n    assert True\n"}
            for name in ("pricing", "quote")
        ),
    )
    endpoint.replies = {
        "local-1": hang,
        "local-2": "I think you should simply be kinder to your customers.",
        "local-3": "x" * (10 << 20),
        "local-4": edits({"path": "../outside.txt", "content": "got out"}),
        "local-5": edits({"path": ".git/hooks/post-commit", "content": "#!/bin/sh\n"}),
        "local-6": edits({"path": "stock/stock.csv", "content": "item,pieces\n"}),
        "local-7": pricing('assert "root" in open("/etc/shadow").read()'),
        "local-8": pricing("while True:\n    pass"),
        "cloud-1": always,
        "cloud-2": pricing(f'import socket\n\nsocket.create_connection(("127.0.0.1", {port}), 5)'),
    }
    before, asked = git(folder, "rev-parse", "HEAD"), len(endpoint.asked)
    change = instance.ended(instance.submit("prey", INTENT))
    found = {one["model"]: (one["standing"], " ".join(one["reasons"])) for one in change["candidates"]}
    expected = {
        "local-1": ("absent", "30"),
        "local-2": ("spoiled", "JSON"),
        "local-3": ("spoiled", "bytes"),
        "local-4": ("spoiled", ".."),
        "local-5": ("spoiled", ".git"),
        "local-6": ("spoiled", "link"),
        "local-7": ("refuted", "unit"),
        "local-8": ("refuted", "15 s"),
        "cloud-1": ("refuted", "base"),
        "cloud-2": ("refuted", "unit"),
    }
    assert {model: one[0] for model, one in found.items()} == {model: one[0] for model, one in expected.items()}
    for model, (_, word) in expected.items():
        assert word in found[model][1], (model, found[model])
    assert change["state"] == "rejected"
    assert {request["model"] for request in endpoint.asked[asked:]} == set(expected)
    assert git(folder, "rev-parse", "HEAD") == before
    assert not (tmp_path / "outside.txt").exists()
    for name in EXTRA:
        instance.run("provider", "remove", name)


def test_an_application_whose_tests_never_end_is_not_adopted(instance: Instance, tmp_path: Path) -> None:
    def endless(root: Path) -> None:
        (root / "tests" / "unit" / "test_endless.py").write_text("def test_it():\n    while True:\n        pass\n")
        manifest = root / "ripple.app.yaml"
        manifest.write_text(manifest.read_text().replace("timeout_seconds: 60", "timeout_seconds: 4"))

    folder = make_application(tmp_path / "shop", "endless", endless)
    found = instance.json("app", "add", str(folder))
    assert found["state"] == "failed"
    assert "4 s" in " ".join(found["reasons"]), found["reasons"]


def test_two_changes_at_once_are_rebased_and_never_mixed(
    instance: Instance, endpoint: Endpoint, tmp_path: Path
) -> None:
    folder = make_application(tmp_path / "shop", "busy", short_windows)
    assert instance.json("app", "add", str(folder))["state"] == "ready"
    both = {known(name).intent: name for name in ("free-shipping", "quantity-limit")}

    def by_intent(request: dict[str, Any]) -> str:
        said = json.dumps(request["messages"], ensure_ascii=False)
        name = next(name for intent, name in both.items() if intent in said)
        return known(name).answer.model_dump_json(by_alias=True, exclude_none=True)

    endpoint.replies = dict.fromkeys((*LOCAL, *CLOUD), by_intent)
    before = git(folder, "rev-parse", "HEAD")
    ids = [instance.submit("busy", intent) for intent in both]
    ended = [instance.ended(one) for one in ids]
    assert [one["state"] for one in ended] == ["promoted", "promoted"], [one["reasons"] for one in ended]
    touched = git(folder, "log", "--format=", "--name-only", f"{before}..HEAD").split()
    assert sorted(touched) == ["checkout/pricing.py", "config/limits.json"]
    assert git(folder, "rev-list", "--count", f"{before}..HEAD") == "2"
    assert not git(folder, "rev-list", "--merges", f"{before}..HEAD")


def test_of_two_changes_to_one_line_the_second_is_refused_with_the_reason(
    instance: Instance, endpoint: Endpoint, tmp_path: Path
) -> None:
    folder = make_application(tmp_path / "shop", "narrow", short_windows)
    assert instance.json("app", "add", str(folder))["state"] == "ready"

    def by_mark(request: dict[str, Any]) -> str:
        name = (
            "free-shipping" if "FIRST" in json.dumps(request["messages"]) else "free-shipping-spelled-differently"
        )
        return known(name).answer.model_dump_json(by_alias=True, exclude_none=True)

    endpoint.replies = dict.fromkeys((*LOCAL, *CLOUD), by_mark)
    ids = [instance.submit("narrow", f"{mark}: {INTENT}") for mark in ("FIRST", "SECOND")]
    ended = sorted((instance.ended(one) for one in ids), key=lambda one: str(one["state"]))
    assert [one["state"] for one in ended] == ["promoted", "rejected"]
    said = " ".join(reason for one in ended[1]["candidates"] for reason in one["reasons"])
    assert "both changed checkout/pricing.py" in said, (ended[1]["reasons"], said)
