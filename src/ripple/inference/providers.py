"""Providers the operator added: rows in the records, keys in the keyring, policy's word before each use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import delete, select

from ripple.governance.governor import Governor
from ripple.inference.catalogue import AdapterRow, Catalogue
from ripple.inference.keys import Keyring
from ripple.inference.voters import Voter, lineage_of
from ripple.model.candidate import Tier
from ripple.model.errors import Invalid, NotFound
from ripple.model.governance import Decision, Principal, PrincipalKind
from ripple.planes.records import Records
from ripple.planes.records.tables import providers
from ripple.planes.records.upsert import put

SERVICE = Principal(PrincipalKind.SERVICE, "providers", ("service",))
POLICY = "ripple/providers"
ANSWER_SECONDS = 60.0
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,200}")


class Providers:
    """The table of providers with their keys."""

    def __init__(self, records: Records, governor: Governor, catalogue: Catalogue, keyring: Keyring) -> None:
        self._records = records
        self._governor = governor
        self._catalogue = catalogue
        self._keyring = keyring

    async def add(self, given: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        """Add or replace a provider; the row as the API shows it.

        A new key replaces the kept one. Without a key the kept one stays only while the provider stays where it
        was: a key never goes to another address.

        Raises:
            Refused: policy does not allow the adapter or the address.
            Invalid: a field is missing or cannot be used.
        """
        row = self._row(given)
        await self._governor.require(
            SERVICE, POLICY, _asked(row), action="provider.check", resource=f"provider/{row['name']}"
        )
        known = await self._found(row["name"])
        if key is not None:
            self._keyring.put(row["name"], SecretStr(key))
        elif known is not None and (known["adapter"], known["base_url"]) != (row["adapter"], row["base_url"]):
            self._keyring.remove(row["name"])
        async with self._records.write() as connection:
            await put(connection, providers, ["name"], row)
        return self._shown(row)

    async def remove(self, name: str) -> None:
        """Forget a provider and its key; NotFound when there is none."""
        await self.row(name)
        self._keyring.remove(name)
        async with self._records.write() as connection:
            await connection.execute(delete(providers).where(providers.c.name == name))

    async def rows(self) -> list[dict[str, Any]]:
        """Every provider as the API shows it, by name."""
        return [self._shown(row) for row in await self._all()]

    async def row(self, name: str) -> dict[str, Any]:
        """One provider's row; NotFound when there is none."""
        found = await self._found(name)
        if found is None:
            raise NotFound(f"no provider {name!r}; ./ripple provider list shows those there are")
        return found

    async def allowed(self, row: Mapping[str, Any], trace_id: str | None = None) -> Decision:
        """Policy's decision about asking this provider now, written down."""
        return await self._governor.decide(
            SERVICE,
            POLICY,
            _asked(row),
            action="provider.ask",
            resource=f"provider/{row['name']}",
            trace_id=trace_id,
        )

    async def voters(self) -> list[Voter]:
        """The voter of every provider whose adapter is known here."""
        return [voter for row in await self._all() if (voter := self.voter(row))]

    def voter(self, row: Mapping[str, Any]) -> Voter | None:
        """A provider as a voter; None when a later Ripple's adapter is not known here."""
        try:
            adapter = self._catalogue.adapter(row["adapter"])
        except NotFound:
            return None
        return _voter(row, adapter, self._keyring.has(row["name"]))

    def _row(self, given: Mapping[str, Any]) -> dict[str, Any]:
        model, tier = str(given["model"]), Tier(given["tier"])
        adapter = self._catalogue.adapter(str(given.get("adapter") or "openai"))
        base_url = given.get("base_url") or adapter.base_url
        if not _MODEL.fullmatch(model):
            raise Invalid(f"{model[:80]!r} is no model's name: letters, digits and . _ : / @ + - are")
        if adapter.kind == "http" and not base_url:
            raise Invalid(f"provider {given['name']} needs --base-url: the endpoint that ends in /v1")
        return {
            "name": given["name"],
            "tier": tier.value,
            "adapter": adapter.name,
            "base_url": base_url,
            "model": model,
            "weight": float(given.get("weight", 1.0)),
            "lineage": given.get("lineage") or lineage_of(model),
            "priority": int(given.get("priority", 100)),
            "key_env": given.get("key_env"),
            "added_at": datetime.now(UTC).isoformat(),
        }

    def _shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "has_key": self._keyring.has(row["name"])}

    async def _all(self) -> list[dict[str, Any]]:
        async with self._records.read() as connection:
            rows = (await connection.execute(select(providers).order_by(providers.c.name))).mappings()
            return [dict(row) for row in rows]

    async def _found(self, name: str) -> dict[str, Any] | None:
        async with self._records.read() as connection:
            row = (await connection.execute(select(providers).where(providers.c.name == name))).mappings().first()
        return dict(row) if row else None


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"adapter": row["adapter"], "base_url": row["base_url"]}


def _voter(row: Mapping[str, Any], adapter: AdapterRow, has_key: bool) -> Voter:
    tier = Tier(row["tier"])
    capacity = adapter.capacity(tier)
    return Voter(
        name=row["name"],
        tier=tier,
        weight=row["weight"],
        lineage=row["lineage"],
        context_tokens=capacity.context_tokens,
        adapter=row["adapter"],
        model=row["model"],
        base_url=row["base_url"],
        key_name=row["name"] if has_key else None,
        priority=row["priority"],
        specialization="general",
        timeout_seconds=ANSWER_SECONDS,
        output_tokens=capacity.output_tokens,
        takes_schema=adapter.takes_schema,
    )
