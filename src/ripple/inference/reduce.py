"""The vote: candidates in, one consensus out. Pure, and the same for the same candidates in any order.

Rules:

- A ballot is a candidate that survived the application's own build and tests. An absent voter said nothing, a
  spoiled answer says nothing usable, a refuted one was shown wrong by evidence; none of them is a ballot, so a
  weak model can neither carry a change nor veto it. The score is the leader's weight over the weight of the
  ballots; its share of everyone who answered (gap X30) is recorded beside it.
- Before anything is counted, each tier needs its minimum of distinct lineages that answered, whatever they said.
- Ballots are compared by what they are (gap X28): a configuration change by its canonical patch, code by its tree.
  Trees that differ share a cluster when they were compared and behaved alike; one nothing is known of stays apart.
- Ballots of one lineage share one weight, the largest among them, split evenly over the clusters they are in.
- The heaviest cluster leads; ties go to the lowest hash. It wins with at least ``min_agreement`` of the weight,
  exactly that included, and at least ``min_lineages`` distinct lineages in it. Weights are added as the decimals
  they are written as, never as binary floats.
- Within the winner the heaviest ballot is the representative; ties go to the lowest tree, then the lowest name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ripple.model.candidate import Candidate, Cluster, Consensus, Standing, Tier
from ripple.model.change import ChangeKind
from ripple.model.errors import Broken, Invalid


@dataclass(frozen=True)
class Rule:
    """What has to hold for a consensus; ``min_answered`` counts distinct lineages per tier."""

    policy: str
    strategy: str = "weighted_consensus"
    min_agreement: Fraction = Fraction(3, 5)
    min_lineages: int = 1
    min_answered: Mapping[Tier, int] = field(default_factory=dict)
    store_disagreements: bool = True


def reduce_votes(candidates: Sequence[Candidate], rule: Rule, kind: ChangeKind) -> Consensus:
    """The consensus of ``candidates`` under ``rule``; when there is none, ``reasons`` say everything that lacks.

    ``details["tree"]`` is the winner's tree, None without a winner. ``details`` also holds the denominators, the
    lineages' weights, what became of each model, and, where the rule stores them, the clusters that lost.

    Raises:
        Broken: a counted candidate has no tree.
        Invalid: a weight is negative or no number.
    """
    ordered = sorted(candidates, key=lambda one: (one.model, one.tree or "", one.lineage, one.weight))
    vote = _Vote(ordered, rule, kind)
    reasons = tuple(vote.lacking())
    leader = vote.clusters[0] if vote.clusters else None
    winner = None if reasons else leader
    return Consensus(
        reached=winner is not None,
        score=float(vote.score),
        winner=winner.key if winner else None,
        representative=winner.representative.model if winner else None,
        method=f"{rule.strategy}/{vote.basis}",
        clusters=tuple(cluster.public() for cluster in vote.clusters),
        reasons=reasons,
        contested=len(vote.clusters) > 1,
        details=_details(vote, leader, winner),
    )


@dataclass(frozen=True)
class _Pile:
    """Ballots that mean the same thing, with exact weight."""

    key: str
    weight: Fraction
    ballots: tuple[Candidate, ...]

    @property
    def lineages(self) -> list[str]:
        return sorted({one.lineage for one in self.ballots})

    @property
    def representative(self) -> Candidate:
        return min(self.ballots, key=lambda one: (-_exact(one), one.tree or "", one.model))

    def public(self) -> Cluster:
        models = tuple(sorted(one.model for one in self.ballots))
        return Cluster(self.key, float(self.weight), models, self.representative.model)


class _Vote:
    """The count: what each ballot says, what each lineage weighs, and the clusters, heaviest first."""

    def __init__(self, candidates: Sequence[Candidate], rule: Rule, kind: ChangeKind) -> None:
        self.candidates = candidates
        self.rule = rule
        self.ballots = [one for one in candidates if one.standing is Standing.COUNTED]
        self.answered = [one for one in candidates if one.standing is not Standing.ABSENT]
        self.basis, self.keys = _meanings(self.ballots, kind)
        self.weights = _lineage_weights(self.ballots)
        self.total = sum(self.weights.values(), Fraction(0))
        self.clusters = self._piled()
        self.score = self.clusters[0].weight / self.total if self.total else Fraction(0)

    def key(self, ballot: Candidate) -> str:
        return self.keys[_tree(ballot)]

    def lineage_keys(self, lineage: str) -> list[str]:
        """The clusters that the ballots of a lineage are in."""
        return sorted({self.key(one) for one in self.ballots if one.lineage == lineage})

    def lacking(self) -> Iterable[str]:
        """Every reason why this vote is no consensus."""
        yield from self._too_few()
        if not self.clusters:
            yield "no candidate survived the application's own build and tests, so there is nothing to vote on"
            return
        leader = self.clusters[0]
        if not self.total or self.score < self.rule.min_agreement:
            yield self._disagreement(leader)
        if len(leader.lineages) < self.rule.min_lineages:
            yield (
                f"{len(leader.lineages)} distinct models stand behind the result ({', '.join(leader.lineages)}), "
                f"{self.rule.policy} needs {self.rule.min_lineages}: one that slips through the tests alone is no "
                "agreement"
            )

    def _piled(self) -> list[_Pile]:
        members: dict[str, list[Candidate]] = {}
        for one in self.ballots:
            members.setdefault(self.key(one), []).append(one)
        shares = {name: weight / len(self.lineage_keys(name)) for name, weight in self.weights.items()}
        piles = [
            _Pile(key, sum((shares[name] for name in {one.lineage for one in found}), Fraction(0)), tuple(found))
            for key, found in members.items()
        ]
        return sorted(piles, key=lambda pile: (-pile.weight, pile.key))

    def _too_few(self) -> Iterable[str]:
        for tier, minimum in sorted(self.rule.min_answered.items()):
            count = len({one.lineage for one in self.answered if one.tier is tier})
            if count < minimum:
                yield f"{count} distinct {tier.value} models answered, {self.rule.policy} needs {minimum}"

    def _disagreement(self, leader: _Pile) -> str:
        shares = ", ".join(f"{', '.join(pile.public().models)}: {float(pile.weight):g}" for pile in self.clusters)
        return (
            f"agreement {float(self.score):.3f} ({float(leader.weight):g} of {float(self.total):g}) is below "
            f"{float(self.rule.min_agreement):g}; {len(self.clusters)} results survived the tests ({shares})"
        )


def _meanings(ballots: Sequence[Candidate], kind: ChangeKind) -> tuple[str, dict[str, str]]:
    """By what ballots are compared, and the cluster of each tree."""
    if kind is ChangeKind.CONFIG and all(one.canonical for one in ballots):
        return "canonical_patch", {_tree(one): one.canonical or "" for one in ballots}
    behaviours: dict[str, set[str]] = {}
    for one in ballots:
        behaviours.setdefault(_tree(one), set()).update({one.behaviour} if one.behaviour else ())
    # One tree that was seen to behave in two ways is not known to behave like any other.
    known = {tree: next(iter(seen)) for tree, seen in behaviours.items() if len(seen) == 1}
    if len(behaviours) > 1 and known:
        return "behaviour", {tree: known.get(tree, tree) for tree in behaviours}
    return "tree", {tree: tree for tree in behaviours}


def _lineage_weights(candidates: Iterable[Candidate]) -> dict[str, Fraction]:
    weights: dict[str, Fraction] = {}
    for one in candidates:
        weights[one.lineage] = max(weights.get(one.lineage, Fraction(0)), _exact(one))
    return weights


def _exact(candidate: Candidate) -> Fraction:
    if not math.isfinite(candidate.weight) or candidate.weight < 0:
        raise Invalid(f"{candidate.model} has the weight {candidate.weight}; a weight is a number from 0 up")
    return Fraction(str(candidate.weight))


def _tree(candidate: Candidate) -> str:
    if not candidate.tree:
        raise Broken(f"{candidate.model} is counted but has no tree; the change's records contradict themselves")
    return candidate.tree


def _details(vote: _Vote, leader: _Pile | None, winner: _Pile | None) -> dict[str, Any]:
    denominators = {
        "counted": vote.total,
        "answered": sum(_lineage_weights(vote.answered).values(), Fraction(0)),
        "asked": sum(_lineage_weights(vote.candidates).values(), Fraction(0)),
    }
    answered = denominators["answered"]
    details: dict[str, Any] = {
        "tree": winner.representative.tree if winner else None,
        "leader": leader.key if leader else None,
        "min_agreement": float(vote.rule.min_agreement),
        "min_lineages": vote.rule.min_lineages,
        "denominators": {name: float(weight) for name, weight in denominators.items()},
        "share_of_answered": float(leader.weight / answered) if leader and answered else 0.0,
        "lineages": {
            name: {"weight": float(weight), "clusters": vote.lineage_keys(name)}
            for name, weight in sorted(vote.weights.items())
        },
        "models": [_outcome(vote, one, winner) for one in vote.candidates],
    }
    if vote.rule.store_disagreements:
        lost = [pile for pile in vote.clusters if pile is not winner]
        details["disagreements"] = [_disagreeing(vote, pile) for pile in lost]
    return details


def _outcome(vote: _Vote, one: Candidate, winner: _Pile | None) -> dict[str, Any]:
    counted = one.standing is Standing.COUNTED
    return {
        "model": one.model,
        "tier": one.tier.value,
        "lineage": one.lineage,
        "weight": one.weight,
        "standing": one.standing.value,
        "cluster": vote.key(one) if counted else None,
        "reason": _placed(vote, one, winner) if counted else "; ".join(one.reasons) or one.standing.value,
    }


def _placed(vote: _Vote, one: Candidate, winner: _Pile | None) -> str:
    pile = next(pile for pile in vote.clusters if pile.key == vote.key(one))
    share = f"{float(pile.weight):g} of {float(vote.total):g}"
    if winner is None:
        return f"survived the tests with {share} of the weight behind its result; there was no consensus"
    if pile is not winner:
        return f"survived the tests, but its result differs from the winner's and has {share} of the weight"
    return "represents the winner" if one is winner.representative else "agrees with the winner"


def _disagreeing(vote: _Vote, pile: _Pile) -> dict[str, Any]:
    return {
        "cluster": pile.key,
        "score": float(pile.weight / vote.total) if vote.total else 0.0,
        "models": list(pile.public().models),
        "lineages": pile.lineages,
        "tree": pile.representative.tree,
    }
