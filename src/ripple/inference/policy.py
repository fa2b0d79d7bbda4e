"""``inference_policy.yaml``: who is asked, how many have to answer, and when their votes agree (Spec §10.4).

The file holds one policy or a list of them; a change names the one it runs under, and Rego decides whether it may.
No policy ever turns into another one: too few voters is a refusal, not a smaller policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ripple.inference.reduce import Rule
from ripple.model.candidate import Tier
from ripple.model.change import ChangeKind
from ripple.model.errors import NotFound
from ripple.stack.load import load_manifest, parse
from ripple.stack.root import project_root

POLICY_FILE = Path("manifests") / "distributed" / "inference_policy.yaml"

Specialization = Literal["general", "reasoning", "code"]

TRIGGERS: Mapping[str, frozenset[ChangeKind]] = {
    "change_making_task": frozenset(ChangeKind),
    "code_change": frozenset({ChangeKind.CODE}),
    "config_change": frozenset({ChangeKind.CONFIG}),
}
"""Which kinds of change a policy's ``trigger`` covers."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Section):
    """A model or provider by the name the policy gives it; ``aliases`` are its names elsewhere (gap X27).

    What stands here goes before what the voter says of itself; ``priority`` only where it is given.
    """

    name: str = Field(min_length=1, max_length=100)
    weight: float = Field(default=1.0, gt=0, le=10)
    specialization: Specialization = "general"
    priority: int | None = Field(default=None, ge=0, le=1000)
    aliases: tuple[str, ...] = ()
    active_billions: float | None = Field(default=None, gt=0)


class _TierSection(_Section):
    """How many voters of a tier are asked and how many distinct lineages have to answer in time."""

    min_parallel: int = Field(ge=0, le=64)
    max_parallel: int = Field(ge=1, le=64)
    timeout_ms: int = Field(ge=100, le=3_600_000)
    fallback_on_timeout: bool = True
    takes_unlisted: bool = True
    """Whether voters the policy does not name may vote, with their own weight and after those it names."""

    @model_validator(mode="after")
    def _ordered(self) -> _TierSection:
        if self.min_parallel > self.max_parallel:
            raise ValueError(f"min_parallel {self.min_parallel} is above max_parallel {self.max_parallel}")
        return self


class LocalTier(_TierSection):
    """Models on this machine or its network. Above ``target_active_billions`` is a warning, no more (gap X26)."""

    models: tuple[Member, ...] = ()
    target_active_billions: float = Field(default=3, gt=0)

    @property
    def members(self) -> tuple[Member, ...]:
        """The models the policy names."""
        return self.models


class CloudTier(_TierSection):
    """Providers elsewhere."""

    providers: tuple[Member, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        """The providers the policy names."""
        return self.providers


class Reducer(_Section):
    """When votes agree.

    More than half of the weight has to agree, so that only one result can win (gap X29). ``min_lineages`` is how
    many distinct lineages have to stand behind the winner: one model alone that slips through the tests is no
    agreement, whatever its share of the survivors.
    """

    strategy: Literal["weighted_consensus"] = "weighted_consensus"
    min_agreement: float = Field(gt=0.5, le=1)
    min_lineages: int = Field(default=2, ge=1, le=64)
    policy_gate: str = Field(
        default="opa://inference/merge", pattern=r"^opa://[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*$"
    )
    conflict_resolution: Literal["highest_weight_wins"] = "highest_weight_wins"


class Audit(_Section):
    """What is kept: every raw response, the clusters that lost, and one trace id in every call to a model."""

    log_all_responses: bool = True
    store_disagreements: bool = True
    trace_id_propagation: bool = True


class InferencePolicy(_Section):
    """One named way of asking several models and of reducing what they say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    description: str = ""
    trigger: Literal["change_making_task", "code_change", "config_change"] = "change_making_task"
    local_tier: LocalTier | None = None
    cloud_tier: CloudTier | None = None
    reducer: Reducer
    audit: Audit = Audit()

    @model_validator(mode="after")
    def _asks_someone(self) -> InferencePolicy:
        if not self.tiers:
            raise ValueError("a policy needs a local_tier or a cloud_tier")
        return self

    @property
    def tiers(self) -> Mapping[Tier, LocalTier | CloudTier]:
        """The tiers this policy asks; a tier it does not name is never asked."""
        named = {Tier.LOCAL: self.local_tier, Tier.CLOUD: self.cloud_tier}
        return {tier: section for tier, section in named.items() if section is not None}

    @property
    def gate_path(self) -> str:
        """The Rego package that has the last word: ``opa://inference/merge`` is ``inference/merge`` (gap X34)."""
        return self.reducer.policy_gate.removeprefix("opa://")

    def covers(self, kind: ChangeKind) -> bool:
        """Whether ``trigger`` includes changes of this kind."""
        return kind in TRIGGERS[self.trigger]

    def rule(self) -> Rule:
        """What the reducer needs of this policy."""
        return Rule(
            policy=self.name,
            strategy=self.reducer.strategy,
            min_agreement=Fraction(Decimal(str(self.reducer.min_agreement))),
            min_lineages=self.reducer.min_lineages,
            min_answered={tier: section.min_parallel for tier, section in self.tiers.items()},
            store_disagreements=self.audit.store_disagreements,
        )

    def as_input(self) -> dict[str, Any]:
        """What the merge policy is told about this policy."""
        minimums = {tier.value: section.min_parallel for tier, section in self.tiers.items()}
        return {
            "name": self.name,
            "min_agreement": self.reducer.min_agreement,
            "min_lineages": self.reducer.min_lineages,
            "min_parallel": minimums,
            "strategy": self.reducer.strategy,
        }


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class PolicyFile(_Section):
    """The whole file: one policy, or several with distinct names (gap X33)."""

    inference_policy: Annotated[
        tuple[InferencePolicy, ...],
        BeforeValidator(_listed, json_schema_input_type=InferencePolicy | tuple[InferencePolicy, ...]),
        Field(min_length=1),
    ]

    @model_validator(mode="after")
    def _named_once(self) -> PolicyFile:
        names = [policy.name for policy in self.inference_policy]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"policies named twice: {', '.join(twice)}")
        return self


def load_policies(path: Path | None = None) -> dict[str, InferencePolicy]:
    """The policies of ``inference_policy.yaml`` by name, in the file's order.

    Raises:
        NotFound: there is no such file.
        Invalid: it is malformed, names a policy twice, or has an unknown key (the nearest known one is named).
    """
    source = path or project_root() / POLICY_FILE
    found = parse(PolicyFile, load_manifest(source), str(source))
    return {policy.name: policy for policy in found.inference_policy}


def policy_named(policies: Mapping[str, InferencePolicy], name: str) -> InferencePolicy:
    """The policy of that name; NotFound names those there are."""
    if name not in policies:
        raise NotFound(f"no inference policy {name!r}; {POLICY_FILE} has {', '.join(sorted(policies))}")
    return policies[name]
