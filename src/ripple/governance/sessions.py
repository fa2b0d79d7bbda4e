"""Signing in: a one-time link is traded for a session. Only digests of tokens are stored.

- A link works once, within 15 minutes; trading it and spending it is one transaction.
- A session lasts 12 hours. Unknown, spent and expired tokens get the same answer.
- Tokens are 256 random bits, so their SHA-256 is looked up directly; the comparison is constant-time all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ripple.governance.audit import Audit, AuditDraft
from ripple.model.errors import Refused
from ripple.model.governance import Principal, PrincipalKind
from ripple.planes.records import Records
from ripple.planes.records.tables import sessions as table

LINK_SECONDS = 15 * 60
SESSION_SECONDS = 12 * 60 * 60
NOBODY = Principal(PrincipalKind.SERVICE, "sign-in")
"""Who a refused sign-in is written down for: the caller proved nothing."""


@dataclass(frozen=True)
class Session:
    """A fresh session. ``token`` goes to the browser and nowhere else; its repr hides it."""

    token: str
    principal: Principal
    seconds: int

    def __repr__(self) -> str:
        return f"Session(token=<hidden>, principal={self.principal}, seconds={self.seconds})"


class Sessions:
    """Links and sessions of one database; with ``audit``, sign-ins and refused ones are written down."""

    def __init__(
        self, records: Records, audit: Audit | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._records = records
        self._audit = audit
        self._clock = clock

    async def issue_link(self, principal: Principal, seconds: int = LINK_SECONDS) -> str:
        """A token that :meth:`redeem` takes once within ``seconds``."""
        async with self._records.write() as connection:
            await connection.execute(delete(table).where(table.c.expires_at <= self._clock()))
            return await self._issue(connection, "link", principal, seconds)

    async def redeem(self, token: str, seconds: int = SESSION_SECONDS) -> Session:
        """Trade a link's token for a session.

        Raises:
            Refused: the token is unknown, spent or expired.
        """
        async with self._records.write() as connection:
            principal = await self._find(connection, "link", token)
            if principal is not None:
                await connection.execute(delete(table).where(table.c.token_digest == _digest(token)))
                session = Session(await self._issue(connection, "session", principal, seconds), principal, seconds)
        await self._note(principal)
        if principal is None:
            raise Refused("this sign-in link was used already, is too old or unknown; ./ripple up prints one")
        return session

    async def principal(self, token: str) -> Principal | None:
        """Who a session's token stands for; None when it is unknown or expired."""
        if not token:
            return None
        async with self._records.read() as connection:
            return await self._find(connection, "session", token)

    async def end(self, token: str) -> None:
        """Forget a session; an unknown token changes nothing."""
        async with self._records.write() as connection:
            await connection.execute(delete(table).where(table.c.token_digest == _digest(token)))

    async def _issue(self, connection: AsyncConnection, kind: str, principal: Principal, seconds: int) -> str:
        token = secrets.token_urlsafe(32)
        row = {
            "token_digest": _digest(token),
            "kind": kind,
            "principal": json.dumps(principal.as_input()),
            "expires_at": self._clock() + seconds,
        }
        await connection.execute(insert(table).values(**row))
        return token

    async def _find(self, connection: AsyncConnection, kind: str, token: str) -> Principal | None:
        wanted = _digest(token)
        query = select(table).where(table.c.token_digest == wanted, table.c.kind == kind)
        row = (await connection.execute(query)).mappings().first()
        if (
            row is None
            or not hmac.compare_digest(row["token_digest"], wanted)
            or row["expires_at"] <= self._clock()
        ):
            return None
        stored = json.loads(row["principal"])
        return Principal(PrincipalKind(stored["kind"]), stored["id"], tuple(stored["roles"]))

    async def _note(self, principal: Principal | None) -> None:
        if self._audit is None:
            return
        outcome = "denied" if principal is None else "done"
        await self._audit.append(AuditDraft(principal or NOBODY, "session.start", "session", outcome))


def _digest(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode(errors='surrogatepass')).hexdigest()}"
