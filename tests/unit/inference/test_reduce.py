"""The vote: what counts, what wins, and that nothing but the votes decides."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.inference.reduce import Rule, reduce_votes
from ripple.model.candidate import Candidate, Consensus, Standing, Tier
from ripple.model.change import ChangeKind
from ripple.model.digest import canonical_json
from ripple.model.errors import Broken, Invalid

LAX = Rule("lax")
TWO = Rule("two", min_lineages=2)
WEIGHTS = st.sampled_from([0.1, 0.2, 0.3, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5])


def ballot(model: str, tree: str = "aa", weight: float = 1.0, **more: Any) -> Candidate:
    standing = more.pop("standing", Standing.COUNTED)
    lineage = more.pop("lineage", model)
    tier = more.pop("tier", Tier.LOCAL)
    return Candidate(model, tier, lineage, weight, 0.1, standing, tree=tree, **more)


def code(candidates: list[Candidate], rule: Rule = LAX) -> Consensus:
    return reduce_votes(candidates, rule, ChangeKind.CODE)


@st.composite
def votes(draw: st.DrawFn, lineages: int = 4) -> list[Candidate]:
    names = [f"m{number}" for number in range(draw(st.integers(0, 8)))]
    weights = [draw(WEIGHTS) for _ in range(lineages)]
    found = []
    for name in names:
        lineage = draw(st.integers(0, lineages - 1))
        tree = draw(st.sampled_from(["aa", "bb", "cc"]))
        behaviour = {"aa": "x", "bb": "x", "cc": None}[tree]
        standing = draw(st.sampled_from([Standing.COUNTED, Standing.COUNTED, *Standing]))
        tier = draw(st.sampled_from(Tier))
        more = {"lineage": f"l{lineage}", "standing": standing, "tier": tier, "behaviour": behaviour}
        found.append(ballot(name, tree, weights[lineage], **more))
    return found


@given(st.data())
def test_the_order_of_votes_never_matters(data: st.DataObject) -> None:
    found = data.draw(votes())
    rule = Rule("any", min_lineages=data.draw(st.integers(1, 3)), min_answered={Tier.LOCAL: 2})
    shuffled = data.draw(st.permutations(found))
    for kind in ChangeKind:
        assert reduce_votes(found, rule, kind) == reduce_votes(shuffled, rule, kind)


def test_exactly_six_tenths_passes_and_a_hair_less_does_not() -> None:
    # 0.1 + 0.2 is 0.30000000000000004 in binary floats: only exact sums make this 0.6 of 1.
    split = [ballot("a", "aa", 0.1), ballot("b", "aa", 0.2), ballot("c", "aa", 0.3), ballot("d", "bb", 0.4)]
    assert code(split).reached
    assert code(split).score == 0.6
    less = code([*split[:3], ballot("d", "bb", 0.4000000000000001)])
    assert not less.reached
    assert less.winner is None
    assert "agreement 0.600 (0.6 of 1) is below 0.6" in less.reasons[0]


@given(st.integers(1, 60), st.integers(0, 60))
def test_agreement_is_the_exact_share_of_the_weight(agree: int, differ: int) -> None:
    found = [ballot("a", "aa", agree / 10), *([ballot("b", "bb", differ / 10)] if differ else [])]
    consensus = code(found)
    assert consensus.reached == (max(agree, differ) * 5 >= 3 * (agree + differ))


@given(votes())
def test_no_ballot_means_no_consensus_and_no_winner(found: list[Candidate]) -> None:
    without = [one for one in found if one.standing is not Standing.COUNTED]
    consensus = code(without)
    assert (consensus.reached, consensus.winner, consensus.score) == (False, None, 0.0)
    assert consensus.reasons


@given(votes(), st.integers(0, 7))
def test_a_lineage_gains_nothing_by_multiplying(found: list[Candidate], chosen: int) -> None:
    if not found:
        return
    copied = replace(found[chosen % len(found)], model="copy")
    before, after = code(found), code([*found, copied])
    assert [(one.key, one.weight) for one in before.clusters] == [(one.key, one.weight) for one in after.clusters]
    assert (before.reached, before.winner, before.score) == (after.reached, after.winner, after.score)


@given(votes())
def test_a_lineage_never_weighs_more_than_its_heaviest_voter(found: list[Candidate]) -> None:
    consensus = code(found)
    heaviest: dict[str, float] = {}
    for one in found:
        if one.standing is Standing.COUNTED:
            heaviest[one.lineage] = max(heaviest.get(one.lineage, 0), one.weight)
    assert sum(one.weight for one in consensus.clusters) == pytest.approx(sum(heaviest.values()))


@given(votes(), WEIGHTS)
def test_one_more_agreeing_voter_never_lowers_the_score(found: list[Candidate], weight: float) -> None:
    before = code(found)
    if not before.clusters:
        return
    leader = next(one for one in found if one.model == before.clusters[0].representative)
    after = code([*found, replace(leader, model="new", lineage="new", weight=weight)])
    assert after.score >= before.score
    assert after.clusters[0].key == before.clusters[0].key


@given(votes())
def test_a_winner_always_satisfies_the_rule(found: list[Candidate]) -> None:
    consensus = code(found, TWO)
    if not consensus.reached:
        assert consensus.reasons
        return
    members = next(one for one in consensus.clusters if one.key == consensus.winner).models
    assert len({one.lineage for one in found if one.model in members}) >= 2
    assert consensus.score >= 0.6
    assert consensus.details["tree"] in {one.tree for one in found if one.model == consensus.representative}


@given(votes())
def test_the_outcome_is_plain_json_that_names_every_model(found: list[Candidate]) -> None:
    details = code(found).details
    canonical_json(details)
    assert [row["model"] for row in details["models"]] == sorted(one.model for one in found)
    assert all(row["reason"] for row in details["models"])


def test_ties_go_to_the_lowest_hash_and_a_tie_is_no_consensus() -> None:
    consensus = code([ballot("a", "bb"), ballot("b", "aa")])
    assert [one.key for one in consensus.clusters] == ["aa", "bb"]
    assert not consensus.reached
    assert consensus.contested


def test_the_heaviest_ballot_represents_the_winner() -> None:
    alike = [
        ballot("a", "bb", behaviour="x"),
        ballot("b", "aa", 1.5, behaviour="x"),
        ballot("c", "cc", behaviour="x"),
    ]
    consensus = code(alike)
    assert (consensus.representative, consensus.details["tree"]) == ("b", "aa")
    even = code([replace(one, weight=1.0) for one in alike])
    assert (even.representative, even.details["tree"]) == ("b", "aa")


def test_trees_that_behave_alike_are_one_cluster() -> None:
    consensus = code([ballot("a", "aa", behaviour="x"), ballot("b", "bb", behaviour="x")], TWO)
    assert consensus.reached
    assert not consensus.contested
    assert consensus.method == "weighted_consensus/behaviour"


def test_trees_nothing_is_known_of_stay_apart() -> None:
    consensus = code([ballot("a", "aa"), ballot("b", "bb")])
    assert consensus.contested
    assert not consensus.reached
    assert consensus.method == "weighted_consensus/tree"
    partly = code([ballot("a", "aa", behaviour="x"), ballot("b", "bb")])
    assert len(partly.clusters) == 2


def test_behaviours_that_differ_are_contested_and_need_the_minimum() -> None:
    found = [ballot("a", "aa", behaviour="x"), ballot("b", "bb", behaviour="x"), ballot("c", "cc", behaviour="y")]
    consensus = code(found, TWO)
    assert (consensus.reached, consensus.contested, consensus.winner) == (True, True, "x")
    contested = code([*found, ballot("d", "cc", behaviour="y")], TWO)
    assert (contested.reached, contested.contested) == (False, True)
    assert "2 results survived the tests" in contested.reasons[0]


def test_one_tree_seen_to_behave_in_two_ways_is_like_no_other() -> None:
    torn = [ballot("a", "aa", behaviour="x"), ballot("b", "aa", behaviour="y")]
    consensus = code([*torn, ballot("c", "bb", behaviour="x"), ballot("d", "cc", behaviour="y")])
    assert [one.models for one in consensus.clusters] == [("a", "b"), ("c",), ("d",)]


def test_configuration_is_compared_by_its_canonical_patch() -> None:
    found = [ballot("a", "aa", canonical="p"), ballot("b", "bb", canonical="p"), ballot("c", "cc", canonical="q")]
    consensus = reduce_votes(found, TWO, ChangeKind.CONFIG)
    assert (consensus.winner, consensus.method) == ("p", "weighted_consensus/canonical_patch")
    assert consensus.details["tree"] == "aa"


def test_a_refuted_answer_is_no_ballot_but_the_share_of_all_answers_is_told() -> None:
    wrong = [
        ballot(f"w{number}", "bb", standing=Standing.REFUTED, reasons=("its tests fail",)) for number in range(4)
    ]
    consensus = code([ballot("a"), ballot("b"), *wrong], TWO)
    assert (consensus.reached, consensus.score) == (True, 1.0)
    assert consensus.details["share_of_answered"] == pytest.approx(2 / 6)
    assert consensus.details["denominators"] == {"counted": 2.0, "answered": 6.0, "asked": 6.0}
    assert consensus.details["models"][-1]["reason"] == "its tests fail"


def test_a_lone_survivor_is_no_agreement_unless_the_rule_says_so() -> None:
    alone = [ballot("a", lineage="l"), ballot("a-q4", lineage="l"), ballot("b", standing=Standing.REFUTED)]
    consensus = code(alone, TWO)
    assert (consensus.reached, consensus.score, consensus.winner) == (False, 1.0, None)
    assert "1 distinct models stand behind the result (l), two needs 2" in consensus.reasons[0]
    assert code(alone).reached


def test_too_few_answers_are_no_consensus_however_they_agree() -> None:
    rule = Rule("ripple-moe", min_lineages=2, min_answered={Tier.LOCAL: 3, Tier.CLOUD: 1})
    local = [ballot("a"), ballot("b"), ballot("c", lineage="b"), ballot("d", standing=Standing.ABSENT)]
    consensus = code(local, rule)
    assert not consensus.reached
    assert consensus.reasons == (
        "0 distinct cloud models answered, ripple-moe needs 1",
        "2 distinct local models answered, ripple-moe needs 3",
    )
    answered = [*local, ballot("e", tier=Tier.CLOUD), ballot("f", standing=Standing.SPOILED)]
    assert code(answered, rule).reached


def test_disagreements_are_kept_where_the_rule_says_so() -> None:
    found = [ballot("a"), ballot("b"), ballot("c", "bb")]
    kept = code(found).details["disagreements"]
    assert [(one["cluster"], one["models"]) for one in kept] == [("bb", ["c"])]
    assert "disagreements" not in code(found, Rule("quiet", store_disagreements=False)).details


def test_each_model_is_told_why_it_won_or_lost() -> None:
    found = [ballot("a", weight=1.2), ballot("b"), ballot("c", "bb"), ballot("d", standing=Standing.ABSENT)]
    reasons = {row["model"]: row["reason"] for row in code(found).details["models"]}
    assert reasons == {
        "a": "represents the winner",
        "b": "agrees with the winner",
        "c": "survived the tests, but its result differs from the winner's and has 1 of 3.2 of the weight",
        "d": "absent",
    }


def test_weights_that_are_no_weights_are_refused() -> None:
    for weight in (float("nan"), float("inf"), -1.0):
        with pytest.raises(Invalid, match="a weight is a number from 0 up"):
            code([ballot("a", weight=weight)])
    assert not code([ballot("a", weight=0.0)]).reached


def test_a_counted_candidate_without_a_tree_is_a_contradiction() -> None:
    with pytest.raises(Broken, match="a is counted but has no tree"):
        code([ballot("a", "")])


def test_the_minimum_of_the_rule_is_exact() -> None:
    third = Rule("third", min_agreement=Fraction(2, 3))
    assert code([ballot("a", weight=0.2), ballot("b", "bb", 0.1)], third).reached
