"""Whom a policy asks, whom it refuses to go without, and what too few answers are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripple.inference.policy import CloudTier, InferencePolicy, LocalTier, Member, Reducer, load_policies
from ripple.inference.voters import Voter, lineage_of, plan_examiners, plan_voters
from ripple.model.candidate import Tier
from ripple.model.change import ChangeKind

MOE, OFFLINE, EMBEDDED = load_policies().values()


def voter(name: str, tier: Tier = Tier.LOCAL, **more: Any) -> Voter:
    given_ = {
        "weight": 1.0, "lineage": lineage_of(name), "context_tokens": 4096, "adapter": "openai", "model": name,
        "base_url": None, "key_name": None, "priority": 100, "specialization": "general",
        "timeout_seconds": 9.0, "output_tokens": 1024,
    }  # fmt: skip
    return Voter(name, tier, **{**given_, **more})


LOCAL = [voter(member.name) for member in MOE.tiers[Tier.LOCAL].members]
CLOUD = [voter(name, Tier.CLOUD, adapter=name) for name in ("claude-code", "codex", "github-copilot")]


def small(**more: Any) -> InferencePolicy:
    tier = {"min_parallel": 1, "max_parallel": 2, "timeout_ms": 1000}
    return InferencePolicy(
        name="small", local_tier=LocalTier(**{**tier, **more}), reducer=Reducer(min_agreement=0.6)
    )


def row(model: str, standing: str = "counted", tier: str = "local", reason: str = "") -> dict[str, Any]:
    return {
        "model": model, "standing": standing, "tier": tier, "lineage": lineage_of(model),
        "reasons": [reason] if reason else [],
    }  # fmt: skip


def test_the_full_policy_asks_everyone_it_names() -> None:
    plan = plan_voters(MOE, ChangeKind.CODE, [*LOCAL, *CLOUD])
    assert plan.refusals == ()
    assert set(plan.names) == {one.name for one in (*LOCAL, *CLOUD)}
    assert plan.names[-3:] == ["claude-code", "codex", "github-copilot"]


def test_four_local_models_are_refused_with_what_to_do() -> None:
    plan = plan_voters(MOE, ChangeKind.CODE, [*LOCAL[:4], *CLOUD])
    assert len(plan.refusals) == 1
    assert plan.refusals[0].startswith("ripple-moe needs 5 distinct local models and there are 4 (")
    assert "./ripple models add NAME" in plan.refusals[0]


def test_a_missing_cloud_tier_is_refused_and_never_done_without() -> None:
    plan = plan_voters(MOE, ChangeKind.CONFIG, LOCAL)
    assert plan.refusals == (
        "ripple-moe needs 2 distinct cloud models and there are none; add some "
        "(./ripple provider add NAME --tier cloud …) or choose another policy",
    )
    assert plan_voters(OFFLINE, ChangeKind.CONFIG, LOCAL).refusals == ()


def test_quantisations_of_one_model_are_one_voter() -> None:
    names = ["m-q4_k_m", "m-Q8_0", "m-q3_k_m", "m-q2_k", "m-bf16"]
    plan = plan_voters(OFFLINE, ChangeKind.CODE, [voter(name) for name in names])
    assert plan.refusals[0].startswith("ripple-moe-offline needs 5 distinct local models and there are 1 (m)")


def test_offline_asks_no_cloud_provider() -> None:
    assert set(plan_voters(OFFLINE, ChangeKind.CODE, [*LOCAL, *CLOUD]).names) == {one.name for one in LOCAL}


def test_embedded_asks_whoever_is_there_but_not_nobody() -> None:
    assert plan_voters(EMBEDDED, ChangeKind.CODE, [voter("smollm2-135m")]).refusals == ()
    assert plan_voters(EMBEDDED, ChangeKind.CODE, CLOUD[:1]).names == ["claude-code"]
    nobody = plan_voters(EMBEDDED, ChangeKind.CODE, [])
    assert nobody.refusals == (
        "ripple-moe-embedded has nobody to ask; add a model (./ripple models add default) "
        "or a provider (./ripple provider add NAME --tier …)",
    )


def test_nine_voters_for_eight_places_leave_a_reserve() -> None:
    plan = plan_voters(OFFLINE, ChangeKind.CODE, [*LOCAL, voter("eighth"), voter("ninth")])
    assert len(plan.voters) == 8
    assert [one.name for one in plan.reserves] == ["ninth"]


def test_lower_priority_numbers_are_asked_first() -> None:
    tier = CloudTier(min_parallel=1, max_parallel=2, timeout_ms=1000, providers=MOE.tiers[Tier.CLOUD].members)
    policy = InferencePolicy(name="two", cloud_tier=tier, reducer=Reducer(min_agreement=0.6))
    plan = plan_voters(policy, ChangeKind.CODE, [CLOUD[2], CLOUD[1], CLOUD[0]])
    assert plan.names == ["claude-code", "codex"]
    assert [one.name for one in plan.reserves] == ["github-copilot"]


def test_a_second_voice_of_a_lineage_waits_for_every_first_one() -> None:
    given_ = [voter("a", priority=1), voter("a2", lineage="a", priority=1), voter("b", priority=9)]
    assert plan_voters(small(), ChangeKind.CODE, given_).names == ["a", "b"]


def test_specialization_decides_between_equals_by_what_is_to_change() -> None:
    given_ = [voter("g"), voter("c", specialization="code"), voter("r", specialization="reasoning")]
    assert plan_voters(small(max_parallel=1), ChangeKind.CODE, given_).names == ["c"]
    assert plan_voters(small(max_parallel=1), ChangeKind.CONFIG, given_).names == ["g"]


def test_what_the_policy_says_of_a_voter_goes_first() -> None:
    policy = small(models=(Member(name="Phi-4-mini-reasoning", weight=1.2, aliases=("phi-4-mini",)),))
    for name in ("phi-4-mini", "PHI-4-mini-reasoning", "Phi-4-mini-reasoning-UD-Q4_K_XL.gguf"):
        seen = plan_voters(policy, ChangeKind.CODE, [voter(name, weight=9.0)]).voters[0]
        assert (seen.weight, seen.timeout_seconds) == (1.2, 1.0)
    own = plan_voters(policy, ChangeKind.CODE, [voter("other", weight=0.7)]).voters[0]
    assert own.weight == 0.7


def test_a_policy_can_ask_only_those_it_names() -> None:
    policy = small(models=(Member(name="a"),), takes_unlisted=False)
    assert plan_voters(policy, ChangeKind.CODE, [voter("a"), voter("b")]).names == ["a"]


def test_a_policy_is_refused_for_changes_it_is_not_for() -> None:
    policy = small().model_copy(update={"trigger": "code_change"})
    assert plan_voters(policy, ChangeKind.CONFIG, [voter("a")]).refusals == (
        "small is for code_change, not for config changes; choose another policy",
    )


def test_large_local_models_are_a_warning_and_no_refusal() -> None:
    plan = plan_voters(OFFLINE, ChangeKind.CODE, LOCAL)
    assert "Qwen3-4B has 4 billion active parameters, above the target of 3" in plan.warnings
    assert len(plan.warnings) == 3
    assert plan.refusals == ()


def test_known_answers_are_not_asked_for_again() -> None:
    plan = plan_voters(MOE, ChangeKind.CODE, [*LOCAL, *CLOUD])
    assert plan.without({"codex", "Qwen3-4B"}).names == [n for n in plan.names if n not in ("codex", "Qwen3-4B")]
    assert plan.without(plan.names).names == []


def test_a_reserve_stands_in_for_a_silent_voter_where_the_policy_lets_it() -> None:
    plan = plan_voters(small(), ChangeKind.CODE, [voter("a"), voter("b"), voter("c"), voter("d")])
    first, _ = plan.voters
    assert plan.replacement(first, {"a", "b"}) == plan.reserves[0]
    assert plan.replacement(first, {"a", "b", "c"}) == plan.reserves[1]
    assert plan.replacement(first, {"a", "b", "c", "d"}) is None
    assert plan.replacement(replace(first, tier=Tier.CLOUD), set()) is None
    strict = plan_voters(small(fallback_on_timeout=False), ChangeKind.CODE, [voter("a"), voter("b"), voter("c")])
    assert strict.replacement(strict.voters[0], set()) is None


def test_too_few_answers_are_told_with_who_was_silent_and_why() -> None:
    plan = plan_voters(MOE, ChangeKind.CODE, [*LOCAL, *CLOUD])
    enough = [row(one.name) for one in LOCAL[:5]] + [row("codex", "spoiled", "cloud"), row("x", tier="cloud")]
    assert plan.too_few(enough) == []
    silent = [*enough[:-1], row("claude-code", "absent", "cloud", "no answer within 60 s")]
    assert plan.too_few(silent) == [
        "1 distinct cloud models answered, ripple-moe needs 2 (claude-code: no answer within 60 s)"
    ]


def test_a_minimum_counts_lineages_and_not_answers() -> None:
    plan = plan_voters(small(min_parallel=2), ChangeKind.CODE, [voter("a"), voter("b")])
    assert plan.too_few([row("m-q4_0"), row("m-q8_0")]) == ["1 distinct local models answered, small needs 2"]


def test_without_fallback_everyone_asked_has_to_answer() -> None:
    plan = plan_voters(small(fallback_on_timeout=False), ChangeKind.CODE, [voter("a"), voter("b")])
    assert plan.too_few([row("a"), row("b")]) == []
    assert "everyone asked has to answer (b: no answer)" in plan.too_few([row("a"), row("b", "absent")])[0]


def test_silence_is_never_enough_even_without_minimums() -> None:
    plan = plan_voters(EMBEDDED, ChangeKind.CODE, [voter("a")])
    assert plan.too_few([])[0].startswith("nobody answered")
    assert plan.too_few([row("a", "absent", reason="refused the connection")])[0].startswith(
        "nobody answered (a: refused the connection)"
    )


def test_examiners_are_of_lineages_that_wrote_nothing() -> None:
    given_ = [voter("a"), voter("b", specialization="code"), voter("b2", lineage="b"), voter("c")]
    assert [one.name for one in plan_examiners(EMBEDDED, given_, {"a"}, 2)] == ["b", "c"]
    assert plan_examiners(EMBEDDED, given_, {"a", "b", "c"}, 2) == ()
    assert [one.name for one in plan_examiners(OFFLINE, [*given_, *CLOUD], {"b", "c"}, 2)] == ["a"]


@settings(max_examples=30, deadline=None)
@given(st.permutations([*LOCAL, *CLOUD, voter("x"), voter("y"), voter("z-q4_0"), voter("z-q8_0")]))
def test_the_plan_does_not_depend_on_the_order_of_the_voters(available: list[Voter]) -> None:
    expected = plan_voters(MOE, ChangeKind.CODE, sorted(available, key=lambda one: one.name))
    assert plan_voters(MOE, ChangeKind.CODE, available) == expected


@pytest.mark.parametrize(
    ("model", "lineage"),
    [
        ("gemma-3n-E2B-it-UD-Q4_K_XL.gguf", "gemma-3n-e2b-it"),
        ("DeepSeek-R1-Distill-Qwen-1.5B-Q8_0.gguf", "deepseek-r1-distill-qwen-1.5b"),
        ("/models/gemma-3-1b-it-BF16.gguf", "gemma-3-1b-it"),
        ("smollm2-135m-instruct.q3_k_m", "smollm2-135m-instruct"),
        ("Qwen2.5-Coder-1.5B-Instruct Q4_K_M", "qwen2.5-coder-1.5b-instruct"),
        ("Qwen3-4B", "qwen3-4b"),
        ("gpt-4.1", "gpt-4.1"),
        ("", ""),
    ],
)
def test_a_lineage_is_a_model_without_its_quantisation(model: str, lineage: str) -> None:
    assert lineage_of(model) == lineage
    assert lineage_of(lineage) == lineage
