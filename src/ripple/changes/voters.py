"""Who can be asked about a change, and the asking: providers the operator added and models this machine serves."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from ripple.governance.governor import Governor
from ripple.inference.adapters import Reply, adapters_of
from ripple.inference.answer import parse_tests
from ripple.inference.catalogue import load_catalogue
from ripple.inference.fanout import Asking, Fanout, Request
from ripple.inference.keys import Keyring
from ripple.inference.local import SERVICE, LocalModels
from ripple.inference.policy import POLICY_FILE, InferencePolicy, load_policies, policy_named
from ripple.inference.providers import Providers
from ripple.inference.voters import Plan, Voter, is_named, lineage_of, plan_examiners, plan_voters
from ripple.model.candidate import Candidate, Tier
from ripple.model.change import ChangeKind
from ripple.model.digest import digest_bytes
from ripple.model.errors import Invalid, Refused, RippleError
from ripple.model.governance import Decision
from ripple.model.paths import Home
from ripple.planes.objects import Objects
from ripple.planes.records import Records
from ripple.supervisor.client import SupervisorClient

log = structlog.get_logger(__name__)
DECODINGS = 3
"""How often one model of this machine is asked where a single lineage may decide: greedily, then with seeds."""
DECODING_TEMPERATURE = 0.7
MAX_SHOWN = 500
_SEEDED = re.compile(r"\.seed-(\d+)$")
_PROBE = Request(
    messages=({"role": "user", "content": 'Answer with the JSON object {"ok": true} and nothing else.'},),
    schema={
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    },
    schema_name="probe",
    max_tokens=64,
)


@dataclass(frozen=True)
class Written:
    """What one voter gave when it was asked for tests: (path, content) each, or the reason there are none.

    ``response`` is the digest of its answer, None when it gave none.
    """

    tests: list[tuple[str, str]]
    seconds: float
    reason: str
    response: str | None
    tokens_in: int | None
    tokens_out: int | None


class Voters:
    """Plans and runs fan-outs, and keeps the providers and models that take part in them."""

    def __init__(
        self,
        home: Home,
        records: Records,
        governor: Governor,
        supervisor: SupervisorClient,
        manifests: Path,
        objects: Objects | None = None,
    ) -> None:
        catalogue, keyring = load_catalogue(manifests), Keyring(home.secrets)
        self._adapters = adapters_of(catalogue)
        self._policies = load_policies(manifests / POLICY_FILE.relative_to("manifests"))
        self._providers = Providers(records, governor, catalogue, keyring)
        self._local = LocalModels(catalogue, home, governor, supervisor)
        self._fanout = Fanout(self._adapters, keyring)
        self._objects = objects or Objects.local(home.objects)
        self._governor = governor
        self._decisions: dict[str, Decision] = {}

    def policy(self, name: str) -> InferencePolicy:
        """The inference policy of that name; NotFound names those there are."""
        return policy_named(self._policies, name)

    async def plan(self, policy_name: str, kind: ChangeKind) -> Plan:
        """Whom the policy asks about a change of this kind now; its ``refusals`` say why nobody is."""
        policy = self.policy(policy_name)
        return plan_voters(policy, kind, await self._available(policy))

    async def fan_out(
        self,
        plan: Plan,
        request_for: Callable[[Voter], Request],
        keep: Callable[[Candidate], Awaitable[None]],
        trace_id: str,
    ) -> None:
        """Ask everyone planned; ``keep`` gets each candidate the moment it is there, absent ones too."""
        audit = self.policy(plan.policy).audit

        def decoded(voter: Voter) -> Request:
            return _decoded(voter, request_for(voter))

        asking = Asking(
            plan=plan,
            request_for=decoded,
            keep=keep,
            trace_id=trace_id if audit.trace_id_propagation else None,
            archive=self._objects.put if audit.log_all_responses else None,
            may=lambda voter: self._may(voter, trace_id),
        )
        await self._fanout.run(asking)

    async def examiners(self, policy_name: str, authors: Collection[str], most: int) -> tuple[Voter, ...]:
        """At most ``most`` voters of the policy whose lineages are none of the authors'."""
        policy = self.policy(policy_name)
        return plan_examiners(policy, await self._available(policy), authors, most)

    async def written_tests(self, voter: Voter, request: Request, trace_id: str) -> Written:
        """The tests one voter writes; none, with the reason, when it gives no usable answer."""
        began = time.monotonic()
        reply: Reply | None = None
        tests: list[tuple[str, str]] = []
        reason = ""
        try:
            await self._may(voter, trace_id)
            reply = await self._fanout.reply(self._fanout.call(voter, request, trace_id), self._objects.put)
            if reply.problem:
                raise Invalid(reply.problem)
            tests = list(parse_tests(reply.text))
        except RippleError as error:
            reason = str(error)
            log.info("no_tests_written", voter=voter.name, reason=reason, trace_id=trace_id)
        return Written(
            tests=tests,
            seconds=round(time.monotonic() - began, 3),
            reason=reason,
            response=digest_bytes(reply.raw) if reply else None,
            tokens_in=reply.tokens_in if reply else None,
            tokens_out=reply.tokens_out if reply else None,
        )

    async def policies(self) -> list[dict[str, Any]]:
        """Every inference policy: may it be used, what stands against it now, who votes and who is missing."""
        return [await self._policy_row(policy) for policy in self._policies.values()]

    async def providers(self) -> list[dict[str, Any]]:
        """Every provider, without its key."""
        return await self._providers.rows()

    async def add_provider(self, given: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """Add or replace a provider.

        Raises:
            Refused: policy does not allow the adapter or the address.
            Invalid: a field cannot be used, or a local model has that name.
        """
        if self._local.has(_SEEDED.sub("", str(given["name"]))):
            raise Invalid(f"{given['name']} is the name of a model of this machine; choose another")
        return await self._providers.add(given, key)

    async def remove_provider(self, name: str) -> None:
        """Forget a provider and its key; NotFound when there is none."""
        await self._providers.remove(name)

    async def test_provider(self, name: str) -> dict[str, Any]:
        """One short question: ``{ok, latency_seconds, reply, reason}``; NotFound when it is not there."""
        voter = self._providers.voter(await self._providers.row(name))
        began = time.monotonic()
        text, reason = "", "its adapter is not known here"
        try:
            if voter:
                await self._may(voter, None)
                reply = await self._fanout.reply(self._fanout.call(voter, _PROBE, None))
                text, reason = reply.text, reply.problem or ("" if reply.text.strip() else "the answer is empty")
        except RippleError as error:
            reason = str(error)
        seconds = round(time.monotonic() - began, 3)
        return {"ok": not reason, "latency_seconds": seconds, "reply": text[:MAX_SHOWN], "reason": reason}

    async def models(self) -> list[dict[str, Any]]:
        """Local models: installed ones, ones that are being fetched, and ones that can be added."""
        return [dict(row) for row in self._local.rows()]

    async def add_models(self, chosen: str) -> None:
        """Start to fetch, check and serve a set or one model; NotFound when there is none of that name."""
        self._local.add(chosen)

    async def restore(self) -> None:
        """Serve every installed model; what cannot be served is logged."""
        await self._local.restore()

    async def _available(self, policy: InferencePolicy) -> list[Voter]:
        local = await self._local.voters()
        if policy.reducer.min_lineages == 1:
            local = [decoding for voter in local for decoding in _decodings(voter)]
        added = [voter for voter in await self._providers.voters() if not self._lacking(voter)]
        return [*local, *added]

    def _lacking(self, voter: Voter) -> str:
        return self._adapters[voter.adapter].lacking()

    async def _may(self, voter: Voter, trace_id: str | None) -> None:
        """Policy's word on asking a provider; a model of this machine was judged when it was served."""
        if self._local.has(_SEEDED.sub("", voter.name)):
            return
        decision = await self._providers.allowed(await self._providers.row(voter.name), trace_id)
        if not decision.allowed:
            raise Refused("; ".join(decision.reasons))

    async def _policy_row(self, policy: InferencePolicy) -> dict[str, Any]:
        available = await self._available(policy)
        plan = plan_voters(policy, ChangeKind.CODE, available)
        decision = await self._decision(policy)
        return {
            "name": policy.name,
            "local_min": policy.local_tier.min_parallel if policy.local_tier else 0,
            "cloud_min": policy.cloud_tier.min_parallel if policy.cloud_tier else 0,
            "allowed": decision.allowed,
            "reasons": [*decision.reasons, *plan.refusals],
            "voters": [
                *(_shown(voter, "") for voter in plan.voters),
                *(_shown(voter, "in reserve") for voter in plan.reserves),
                *await self._missing(policy, available),
            ],
        }

    async def _decision(self, policy: InferencePolicy) -> Decision:
        """Whether changes may name this policy; asked and written down once, as a process has one bundle."""
        if policy.name not in self._decisions:
            given = {
                "application": "any",
                "kind": ChangeKind.CODE.value,
                "policy": policy.name,
                "dirty": False,
                "principal": str(SERVICE),
            }
            self._decisions[policy.name] = await self._governor.decide(
                SERVICE, "ripple/changes/admit", given, action="policy.check", resource=f"policy/{policy.name}"
            )
        return self._decisions[policy.name]

    async def _missing(self, policy: InferencePolicy, available: Sequence[Voter]) -> list[dict[str, Any]]:
        """Who could vote under the policy but cannot now, each with the reason."""
        unready = {name: reason for name, reason in (await self._local.states()).items() if reason}
        lacking = {one.name: why for one in await self._providers.voters() if (why := self._lacking(one))}
        found: list[dict[str, Any]] = []
        for tier, section in policy.tiers.items():
            reasons = unready if tier is Tier.LOCAL else lacking
            here = [voter for voter in available if voter.tier is tier]
            named = {
                one.name: one.weight for one in section.members if not any(is_named(one, voter) for voter in here)
            }
            unlisted = {name: 1.0 for name in reasons if section.takes_unlisted}
            found += [_absent(name, weight, tier, reasons) for name, weight in {**unlisted, **named}.items()]
        return found


def _decodings(voter: Voter) -> list[Voter]:
    """The voter asked greedily, and again with seeds: one lineage all the same, which shares one weight."""
    return [voter, *(replace(voter, name=f"{voter.name}.seed-{seed}") for seed in range(1, DECODINGS))]


def _decoded(voter: Voter, request: Request) -> Request:
    seeded = _SEEDED.search(voter.name)
    if seeded is None:
        return request
    return replace(request, temperature=DECODING_TEMPERATURE, seed=int(seeded[1]))


def _shown(voter: Voter, reason: str) -> dict[str, Any]:
    return {
        "name": voter.name,
        "tier": voter.tier.value,
        "weight": voter.weight,
        "lineage": voter.lineage,
        "present": True,
        "reason": reason,
    }


def _absent(name: str, weight: float, tier: Tier, reasons: Mapping[str, str]) -> dict[str, Any]:
    cure = f"./ripple models add {name}" if tier is Tier.LOCAL else f"./ripple provider add {name} --tier cloud …"
    reason = reasons.get(name, f"not here; {cure}")
    return {
        "name": name,
        "tier": tier.value,
        "weight": weight,
        "lineage": lineage_of(name),
        "present": False,
        "reason": reason,
    }
