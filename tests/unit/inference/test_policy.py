"""The settings file: what it says, and what it may not say."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ripple.inference.policy import load_policies, policy_named
from ripple.inference.schemas import SCHEMAS, schema_text
from ripple.model.candidate import Tier
from ripple.model.change import ChangeKind
from ripple.model.errors import Invalid, NotFound
from ripple.stack.load import load_yaml
from ripple.stack.root import project_root

ROOT = project_root()
SHIPPED = ROOT / "manifests" / "distributed" / "inference_policy.yaml"


def policy(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "mine",
        "local_tier": {"min_parallel": 1, "max_parallel": 2, "timeout_ms": 1000},
        "reducer": {"min_agreement": 0.6},
    }
    return {**given, **changes}


def write(folder: Path, *policies: dict[str, Any], one: bool = False) -> Path:
    path = folder / "inference_policy.yaml"
    path.write_text(json.dumps({"inference_policy": policies[0] if one else list(policies)}))
    return path


def test_the_shipped_policies_are_those_of_the_specification() -> None:
    policies = load_policies()
    assert list(policies) == ["ripple-moe", "ripple-moe-offline", "ripple-moe-embedded"]
    moe = policies["ripple-moe"]
    local, cloud = moe.tiers[Tier.LOCAL], moe.tiers[Tier.CLOUD]
    assert (local.min_parallel, local.max_parallel, local.timeout_ms) == (5, 8, 30_000)
    assert (cloud.min_parallel, cloud.max_parallel, cloud.timeout_ms) == (2, 4, 60_000)
    assert cloud.fallback_on_timeout
    weights = {member.name: member.weight for member in (*local.members, *cloud.members)}
    assert weights == {
        "gemma-3n-E2B-it": 1.0, "Phi-4-mini-reasoning": 1.2, "DeepSeek-R1-Distill-Qwen-1.5B": 1.1,
        "gemma-3-4b-it-qat": 0.9, "Qwen3-4B": 1.0, "gemma-3-1b-it": 1.0, "Qwen3-0.6B": 1.0,
        "claude-code": 1.5, "codex": 1.3, "github-copilot": 1.0, "abacus": 1.0, "openrouter": 1.0,
    }  # fmt: skip
    assert (moe.reducer.min_agreement, moe.reducer.policy_gate) == (0.6, "opa://inference/merge")
    assert moe.audit.log_all_responses
    assert moe.audit.store_disagreements
    assert moe.audit.trace_id_propagation


def test_offline_asks_the_local_tier_only_and_no_less_of_it() -> None:
    policies = load_policies()
    offline = policies["ripple-moe-offline"]
    assert offline.tiers == {Tier.LOCAL: policies["ripple-moe"].local_tier}
    assert offline.reducer == policies["ripple-moe"].reducer


def test_embedded_takes_what_is_there_but_agreement_stays() -> None:
    embedded = load_policies()["ripple-moe-embedded"]
    assert {tier: one.min_parallel for tier, one in embedded.tiers.items()} == {Tier.LOCAL: 0, Tier.CLOUD: 0}
    assert (embedded.reducer.min_agreement, embedded.reducer.min_lineages) == (0.6, 1)


def test_the_rule_is_exact_and_the_gate_is_a_rego_path() -> None:
    moe = load_policies()["ripple-moe"]
    rule = moe.rule()
    assert rule.min_agreement == Fraction(3, 5)
    assert (rule.min_lineages, rule.min_answered) == (2, {Tier.LOCAL: 5, Tier.CLOUD: 2})
    assert moe.gate_path == "inference/merge"
    assert moe.as_input()["name"] == "ripple-moe"
    assert moe.as_input()["min_agreement"] == 0.6


def test_one_policy_or_a_list_of_them_is_read(tmp_path: Path) -> None:
    assert list(load_policies(write(tmp_path, policy(), one=True))) == ["mine"]
    assert list(load_policies(write(tmp_path, policy(), policy(name="other")))) == ["mine", "other"]


def test_a_trigger_says_which_changes_a_policy_is_for(tmp_path: Path) -> None:
    path = write(tmp_path, policy(), policy(name="code-only", trigger="code_change"))
    every, some = load_policies(path).values()
    assert [every.covers(kind) for kind in ChangeKind] == [True, True]
    assert (some.covers(ChangeKind.CODE), some.covers(ChangeKind.CONFIG)) == (True, False)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"local_teir": {}}, "unknown key 'local_teir' in .*did you mean 'local_tier'"),
        ({"reducer": {"min_agreement": 0.6, "min_agreemnt": 1}}, "did you mean 'min_agreement'"),
        (
            {"local_tier": {"min_parallel": 1, "max_parallel": 2, "timeout_ms": 1000, "models": [{"nam": "x"}]}},
            "did you mean 'name'|models.0.name: Field required",
        ),
        ({"reducer": {"min_agreement": 0.5}}, "min_agreement: Input should be greater than 0.5"),
        ({"reducer": {"min_agreement": 0.6, "policy_gate": "https://x"}}, "policy_gate"),
        ({"reducer": {"min_agreement": 0.6, "strategy": "first"}}, "strategy"),
        ({"local_tier": None}, "a policy needs a local_tier or a cloud_tier"),
        (
            {"local_tier": {"min_parallel": 3, "max_parallel": 2, "timeout_ms": 1000}},
            "min_parallel 3 is above max_parallel 2",
        ),
        ({"trigger": "reading"}, "trigger"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        load_policies(write(tmp_path, policy(**changes)))


def test_a_name_stands_once_and_an_unknown_one_is_told_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="policies named twice: mine"):
        load_policies(write(tmp_path, policy(), policy()))
    with pytest.raises(NotFound, match=r"no inference policy 'ripple'; .* ripple-moe, ripple-moe-embedded"):
        policy_named(load_policies(), "ripple")


def test_the_shipped_file_satisfies_the_published_schema() -> None:
    schema = json.loads((ROOT / "manifests/schemas/inference_policy.schema.json").read_text())
    data = load_yaml(SHIPPED)
    jsonschema.validate(data, schema)
    jsonschema.validate({"inference_policy": policy()}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inference_policy": policy(nam="x")}, schema)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_published_schemas_are_fresh_and_marked(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == schema_text(SCHEMAS[name]), "run ripple.inference.schemas.write_schemas(project_root())"
    assert "generated by" in text.splitlines()[1]
