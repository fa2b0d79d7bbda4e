"""Who votes: the voter noun, and the pure plan of whom a policy asks about one change.

Rules of the plan:

- Only tiers the policy names are asked, never more of a tier than ``max_parallel``.
- A minimum counts distinct lineages: five quantisations of one model are one voter with five voices.
- Order within a tier: one voter of each lineage before any second one; then priority (lower first), named by the
  policy before unnamed, specialization that suits the change, weight (heavier first), name.
- What the policy says of a voter (weight, specialization, priority, time limit) goes before what the voter says.
- Voters beyond ``max_parallel`` are reserves. ``fallback_on_timeout: true`` lets the next reserve of the tier take
  the place of a voter that gave no answer; ``false`` means that everyone asked has to answer. In neither case does
  ``min_parallel`` fall.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ripple.inference.policy import InferencePolicy, LocalTier, Member
from ripple.model.candidate import Standing, Tier
from ripple.model.change import ChangeKind

SUITABLE: Mapping[ChangeKind, tuple[str, ...]] = {
    ChangeKind.CODE: ("code", "reasoning", "general"),
    ChangeKind.CONFIG: ("general", "code", "reasoning"),
}
"""Specializations by how well they suit a kind of change (gap X35)."""
EXAMINING = ("code", "reasoning")
"""Reviewing and writing tests asks for code, then reasoning (gap X35)."""

_QUANTISATION = re.compile(r"[-_.](ud[-_])?(i?q\d(_[a-z0-9]+)*|bf16|f16|f32|fp16|int[48]|awq|gptq)$")


@dataclass(frozen=True)
class Voter:
    """One model that can be asked.

    ``lineage`` groups voters that are one model in several quantisations or decodings: they share one weight.
    ``key_name`` names a stored key, never the key itself. ``takes_schema`` tells that its server constrains the
    answer to a JSON schema; others are asked in words and their answers repaired or rejected.
    """

    name: str
    tier: Tier
    weight: float
    lineage: str
    context_tokens: int
    adapter: str
    model: str
    base_url: str | None
    key_name: str | None
    priority: int
    specialization: str
    timeout_seconds: float
    output_tokens: int
    takes_schema: bool = False


@dataclass(frozen=True)
class TierNeed:
    """How many distinct lineages of a tier have to answer, and whether reserves may stand in."""

    tier: Tier
    minimum: int
    fallback_on_timeout: bool


@dataclass(frozen=True)
class Plan:
    """Whom to ask about one change, or why nobody is asked (``refusals``). ``warnings`` stop nothing."""

    policy: str
    voters: tuple[Voter, ...]
    reserves: tuple[Voter, ...]
    needs: tuple[TierNeed, ...]
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of those who are asked, in order."""
        return [voter.name for voter in self.voters]

    def without(self, known: Collection[str]) -> Plan:
        """The same plan less the voters whose answers are already kept."""
        return replace(
            self,
            voters=tuple(voter for voter in self.voters if voter.name not in known),
            reserves=tuple(voter for voter in self.reserves if voter.name not in known),
        )

    def replacement(self, absent: Voter, used: Collection[str]) -> Voter | None:
        """The reserve that may take the place of a voter that gave no answer; None when none may or is left."""
        if not any(need.tier is absent.tier and need.fallback_on_timeout for need in self.needs):
            return None
        return next((one for one in self.reserves if one.tier is absent.tier and one.name not in used), None)

    def too_few(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Why the answers in ``rows`` (candidates as JSON) are too few to go on; empty when they are enough.

        An answer counts whatever it is worth: an unusable one was still given. Each tier needs its minimum of
        distinct lineages, and without ``fallback_on_timeout`` an answer from everyone who was asked.
        """
        answered = [row for row in rows if row["standing"] != Standing.ABSENT]
        absent = [row for row in rows if row["standing"] == Standing.ABSENT]
        reasons = [reason for need in self.needs for reason in self._lacking(need, answered, absent)]
        if not answered:
            reasons.append(f"nobody answered{_told(absent)}; see ./ripple provider test and ./ripple models list")
        return reasons

    def _lacking(
        self, need: TierNeed, answered: list[Mapping[str, Any]], absent: list[Mapping[str, Any]]
    ) -> Iterable[str]:
        lineages = {row["lineage"] for row in answered if row["tier"] == need.tier}
        missing = [row for row in absent if row["tier"] == need.tier]
        if len(lineages) < need.minimum:
            yield (
                f"{len(lineages)} distinct {need.tier.value} models answered, {self.policy} needs "
                f"{need.minimum}{_told(missing)}"
            )
        elif missing and not need.fallback_on_timeout:
            yield (
                f"{self.policy} takes no fallback in its {need.tier.value} tier, "
                f"so everyone asked has to answer{_told(missing)}"
            )


def plan_voters(policy: InferencePolicy, kind: ChangeKind, available: Sequence[Voter]) -> Plan:
    """Whom ``policy`` asks about a change of this kind, given the voters there are; pure and deterministic."""
    asked: list[Voter] = []
    reserves: list[Voter] = []
    outside = f"{policy.name} is for {policy.trigger}, not for {kind.value} changes; choose another policy"
    refusals = [] if policy.covers(kind) else [outside]
    for tier, section in policy.tiers.items():
        ordered = _ordered(policy, tier, available, SUITABLE[kind])
        asked += ordered[: section.max_parallel]
        reserves += ordered[section.max_parallel :]
        refusals += _shortage(policy.name, tier, section.min_parallel, ordered)
    if not asked and not refusals:
        refusals.append(
            f"{policy.name} has nobody to ask; add a model (./ripple models add default) "
            "or a provider (./ripple provider add NAME --tier …)"
        )
    needs = tuple(TierNeed(tier, one.min_parallel, one.fallback_on_timeout) for tier, one in policy.tiers.items())
    return Plan(policy.name, tuple(asked), tuple(reserves), needs, tuple(refusals), _warnings(policy, asked))


def plan_examiners(
    policy: InferencePolicy, available: Sequence[Voter], authors: Collection[str], most: int
) -> tuple[Voter, ...]:
    """At most ``most`` voters of the policy to write tests: one of each lineage, none of the authors' lineages."""
    found: list[Voter] = []
    for tier in policy.tiers:
        found += _ordered(policy, tier, available, EXAMINING)
    ranked = sorted(found, key=lambda one: _rank(one.specialization, EXAMINING))
    return tuple(one for one in _by_lineage(ranked)[0] if one.lineage not in authors)[:most]


def is_named(member: Member, voter: Voter) -> bool:
    """Whether a policy's member is this voter: by its name, model or adapter, in any case and quantisation."""
    own = {_plain(voter.name), _plain(voter.model), _plain(voter.adapter)}
    return not own.isdisjoint(_plain(name) for name in (member.name, *member.aliases))


def lineage_of(model: str) -> str:
    """A model's name without folder, file ending and quantisation: what its variants have in common."""
    name = re.sub(r"\s+", "-", re.split(r"[/\\]", model.strip().lower())[-1]).removesuffix(".gguf")
    while (shorter := _QUANTISATION.sub("", name)) != name and shorter:
        name = shorter
    return name


def _ordered(
    policy: InferencePolicy, tier: Tier, available: Sequence[Voter], suitable: Sequence[str]
) -> list[Voter]:
    section = policy.tiers[tier]
    found: list[tuple[tuple[Any, ...], Voter]] = []
    for voter in available:
        member = _member(section.members, voter)
        if voter.tier is not tier or (member is None and not section.takes_unlisted):
            continue
        seen = _as_named(replace(voter, timeout_seconds=section.timeout_ms / 1000), member)
        rank = _rank(seen.specialization, suitable)
        found.append(((seen.priority, member is None, rank, -seen.weight, seen.name), seen))
    first, further = _by_lineage([voter for _, voter in sorted(found, key=lambda pair: pair[0])])
    return [*first, *further]


def _as_named(voter: Voter, member: Member | None) -> Voter:
    if member is None:
        return voter
    priority = voter.priority if member.priority is None else member.priority
    return replace(voter, weight=member.weight, specialization=member.specialization, priority=priority)


def _member(members: Sequence[Member], voter: Voter) -> Member | None:
    return next((one for one in members if is_named(one, voter)), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", lineage_of(name))


def _rank(specialization: str, suitable: Sequence[str]) -> int:
    return suitable.index(specialization) if specialization in suitable else len(suitable)


def _by_lineage(voters: Sequence[Voter]) -> tuple[list[Voter], list[Voter]]:
    """The first voter of each lineage, and all further ones, both in the order given."""
    first: list[Voter] = []
    further: list[Voter] = []
    for voter in voters:
        repeated = any(voter.lineage == one.lineage for one in first)
        (further if repeated else first).append(voter)
    return first, further


def _shortage(policy: str, tier: Tier, minimum: int, voters: Sequence[Voter]) -> list[str]:
    lineages = sorted({voter.lineage for voter in voters})
    if len(lineages) >= minimum:
        return []
    has = f"there are {len(lineages)} ({', '.join(lineages)})" if lineages else "there are none"
    cure = {
        Tier.LOCAL: "./ripple models add NAME, or ./ripple provider add NAME --tier local …",
        Tier.CLOUD: "./ripple provider add NAME --tier cloud …",
    }[tier]
    needs = f"{policy} needs {minimum} distinct {tier.value} models and {has}"
    return [f"{needs}; add some ({cure}) or choose another policy"]


def _warnings(policy: InferencePolicy, asked: Sequence[Voter]) -> tuple[str, ...]:
    section = policy.tiers.get(Tier.LOCAL)
    if not isinstance(section, LocalTier):
        return ()
    target = section.target_active_billions
    return tuple(
        f"{voter.name} has {member.active_billions:g} billion active parameters, above the target of {target:g}"
        for voter in asked
        if voter.tier is Tier.LOCAL
        and (member := _member(section.members, voter))
        and (member.active_billions or 0) >= target
    )


def _told(absent: Sequence[Mapping[str, Any]]) -> str:
    if not absent:
        return ""
    told = [f"{row['model']}: {row['reasons'][0] if row['reasons'] else 'no answer'}" for row in absent]
    return f" ({'; '.join(sorted(told))})"
