"""With only the embedded model: real model output goes all the way, and the change ends with its reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.instance import Instance, make_application
from tests.unit.examples.answers import known

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_the_embedded_model_proposes_and_the_change_ends_honestly(short_home: Path, tmp_path: Path) -> None:
    instance = Instance(short_home / "embedded")
    instance.up()
    try:
        instance.json("models", "add", "default", timeout=300)
        folder = make_application(tmp_path / "shop", "shop")
        assert instance.json("app", "add", str(folder))["state"] == "ready"
        refused = instance.ended(instance.submit("shop", known("free-shipping").intent))
        assert refused["state"] == "rejected", "one small model is no substitute for the policy's voters"
        assert any("local" in reason for reason in refused["reasons"])
        change = instance.submit("shop", known("free-shipping").intent, "--policy", "ripple-moe-embedded")
        found = instance.ended(change, 400)
        assert found["state"] in ("promoted", "rejected", "rolled_back")
        assert found["candidates"], found["reasons"]
        assert {one["lineage"] for one in found["candidates"]} == {"smollm2-135m-instruct"}
        assert all(one["tokens_out"] for one in found["candidates"] if one["standing"] != "absent")
        if found["state"] != "promoted":
            assert found["reasons"]
            assert all(one["reasons"] for one in found["candidates"] if one["standing"] != "counted")
    finally:
        instance.down()
