"""The events plane: small hints for whoever watches now. Nothing may depend on one arriving.

- A publish is acknowledged by the stream or raises within a second; while the bus is away it raises at once.
- A subscription outlives restarts of the bus; what was published meanwhile it never sees.
- A watcher that is slower than its hints loses the oldest; it never slows a publisher or the bus.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from ripple.model.errors import DeadlineExceeded, Invalid

MAX_PAYLOAD_BYTES = 64 << 10
PUBLISH_SECONDS = 1.0
_TOKEN = r"[A-Za-z0-9_-]{1,64}"  # noqa: S105 (a part of a subject)
_SUBJECT = re.compile(rf"ripple(\.{_TOKEN}){{1,8}}")
_PATTERN = re.compile(rf"ripple(\.({_TOKEN}|\*)){{0,8}}(\.>)?")
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,128}")


class EventsDriver(Protocol):
    """A message bus with acknowledged publishing below ``ripple.>``."""

    async def open(self) -> None:
        """Begin to connect, in the background; returns at once."""
        ...

    async def close(self) -> None:
        """End every subscription and the connection."""
        ...

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        """Have the payload acknowledged, or raise Unavailable; a ``message_id`` seen lately is kept once."""
        ...

    def subscribe(self, subject: str) -> AsyncGenerator[bytes]:
        """Payloads published from now on, until closed."""
        ...


class Events:
    """The one event bus the rest of Ripple sees: JSON objects on subjects below ``ripple``."""

    def __init__(self, driver: EventsDriver) -> None:
        self._driver = driver

    async def open(self) -> None:
        """Begin to connect in the background; never fails and never waits."""
        await self._driver.open()

    async def close(self) -> None:
        """End every subscription and the connection. Repeatable."""
        await self._driver.close()

    async def publish(self, subject: str, data: Mapping[str, Any], *, message_id: str | None = None) -> None:
        """Publish ``data``; returning means the bus has kept it.

        Args:
            subject: ``ripple.`` and one to eight names.
            data: A JSON object of at most ``MAX_PAYLOAD_BYTES``.
            message_id: Two publishes with one id within two minutes are one event; None is an id of its own.

        Raises:
            Invalid: the subject, the id or the data cannot be sent, ever.
            Unavailable: the bus is away (at once) or did not acknowledge within ``PUBLISH_SECONDS``.
        """
        if not _SUBJECT.fullmatch(subject):
            raise Invalid(f"cannot publish on {subject[:80]!r}: a subject is ripple.NAME with up to eight names")
        if message_id is not None and not _MESSAGE_ID.fullmatch(message_id):
            raise Invalid(
                f"cannot publish on {subject}: message id {message_id[:80]!r} is not 1-128 visible characters"
            )
        payload = _encode(subject, data)
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._driver.publish(subject, payload, message_id or secrets.token_hex(16))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"the event bus did not acknowledge {subject} within {PUBLISH_SECONDS:g} s; watchers poll"
            ) from error

    async def subscribe(self, subject: str) -> AsyncIterator[dict[str, Any]]:
        """Events on ``subject`` from now on (``*`` is one name, a last ``>`` all that follow), until closed.

        Waits through outages. What is not a JSON object of the allowed size is left out.

        Raises:
            Invalid: the subject is none of ours.
        """
        if not _PATTERN.fullmatch(subject):
            raise Invalid(f"cannot subscribe to {subject[:80]!r}: it has to begin with ripple.")
        async with aclosing(self._driver.subscribe(subject)) as payloads:
            async for payload in payloads:
                event = _decode(payload)
                if event is not None:
                    yield event


def _encode(subject: str, data: Mapping[str, Any]) -> bytes:
    try:
        payload = json.dumps(dict(data), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"cannot publish on {subject}: the data is not JSON: {error}") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Invalid(
            f"cannot publish on {subject}: {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken; "
            "publish a reference to a record"
        )
    return payload


def _decode(payload: bytes) -> dict[str, Any] | None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
