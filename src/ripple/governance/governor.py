"""The one choke point: who asks, may they, and what happened. Every surface and every step goes through it.

- Nothing happens unless policy allows it, and unless the decision could be written down first.
- ``act`` writes two entries: ``allowed`` before, ``done`` or ``failed`` after. A refusal is one entry, ``denied``.
- An allowed ``*.read`` changes nothing and leaves no entry: pages that refresh would bury what was done. A refused
  one is written down like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ripple.governance.audit import Audit, AuditDraft
from ripple.model.digest import digest_json
from ripple.model.errors import Refused, RippleError, Unavailable
from ripple.model.governance import Decision, Principal
from ripple.planes import telemetry
from ripple.planes.policy import Policy

AUTHZ = "ripple/authz"


class Governor:
    """Asks ``policy`` and writes to ``audit``."""

    def __init__(self, policy: Policy, audit: Audit) -> None:
        self._policy = policy
        self._audit = audit

    async def decide(
        self,
        principal: Principal,
        path: str,
        given: Mapping[str, Any],
        *,
        action: str,
        resource: str,
        trace_id: str | None = None,
    ) -> Decision:
        """Policy's decision about ``given``, written down before it is returned.

        Raises:
            Unavailable: the decision could not be written down; treat it as a no.
        """
        decision = self._asked(path, given)
        data = {"path": path, "input": _digest(given), "reasons": list(decision.reasons)}
        outcome = "allowed" if decision.allowed else "denied"
        await self._audit.append(AuditDraft(principal, action, resource, outcome, decision, trace_id, data))
        return decision

    async def require(
        self,
        principal: Principal,
        path: str,
        given: Mapping[str, Any],
        *,
        action: str,
        resource: str,
        trace_id: str | None = None,
    ) -> Decision:
        """As :meth:`decide`, but a no is raised.

        Raises:
            Refused: with policy's reasons.
        """
        decision = await self.decide(principal, path, given, action=action, resource=resource, trace_id=trace_id)
        if not decision.allowed:
            raise Refused("; ".join(decision.reasons))
        return decision

    @asynccontextmanager
    async def act(
        self,
        principal: Principal,
        action: str,
        resource: str,
        *,
        data: Mapping[str, Any],
        trace_id: str | None = None,
        ends: bool = True,
    ) -> AsyncIterator[Decision]:
        """Run the body if ``ripple/authz`` allows ``action`` on ``resource``, and write down how it ended.

        Without ``ends`` the body only begins what somebody else goes on with, and writes down by :meth:`ended`.

        Raises:
            Refused: policy says no; the body does not run.
            Unavailable: the decision could not be written down, and the body does not run; or its end could not
                be, and the body has run.
        """
        given = {"principal": principal.as_input(), "action": action, "resource": resource, "data": dict(data)}
        decision = self._asked(AUTHZ, given)
        outcome = "allowed" if decision.allowed else "denied"
        noted = {**data, "reasons": list(decision.reasons)} if decision.reasons else data
        draft = AuditDraft(principal, action, resource, outcome, decision, trace_id, noted)
        if decision.allowed and action.endswith(".read"):
            yield decision
            return
        await self._audit.append(draft)
        if not decision.allowed:
            raise Refused("; ".join(decision.reasons))
        try:
            yield decision
        except BaseException as error:
            await self._end(draft, "failed", {"error": _said(error)}, error)
            raise
        if ends:
            await self._end(draft, "done", {}, None)

    async def ended(
        self,
        principal: Principal,
        action: str,
        resource: str,
        *,
        data: Mapping[str, Any],
        trace_id: str | None = None,
    ) -> None:
        """Write down the end of what :meth:`act` only began; it failed when ``data`` has an ``error``."""
        outcome = "failed" if data.get("error") else "done"
        await self._audit.append(AuditDraft(principal, action, resource, outcome, trace_id=trace_id, data=data))

    def _asked(self, path: str, given: Mapping[str, Any]) -> Decision:
        decision = self._policy.decide(path, given)
        telemetry.DECISIONS.labels(path, str(decision.allowed).lower()).inc()
        return decision

    async def _end(
        self, start: AuditDraft, outcome: str, data: Mapping[str, Any], failure: BaseException | None
    ) -> None:
        """Write the end even while the caller is being cancelled; the body's own failure comes first."""
        draft = AuditDraft(
            start.principal, start.action, start.resource, outcome, start.decision, start.trace_id, data
        )
        writing = asyncio.ensure_future(self._audit.append(draft))
        try:
            await asyncio.shield(writing)
        except RippleError as error:
            what = f"{start.action} on {start.resource} has {outcome}, but that could not be written down: {error}"
            if failure is None:
                raise Unavailable(what) from error
            failure.add_note(what)


def _said(error: BaseException) -> str:
    """Our own messages hold no secret; of a foreign error only the kind is kept."""
    return str(error) if isinstance(error, RippleError) else type(error).__name__


def _digest(given: Mapping[str, Any]) -> str | None:
    try:
        return digest_json(dict(given))
    except (TypeError, ValueError, RecursionError):
        return None
