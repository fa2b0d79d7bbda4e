"""NATS with JetStream as the event bus.

- Ready means: connected, and the stream RIPPLE is there as it should be. Only then anything is published.
- Whatever goes wrong with a publish ends being ready, so the next one fails at once instead of waiting too.
- One task keeps the connection: it makes it, makes sure of the stream after every restart, and starts anew when
  the client library has given up for good (it does after a protocol error).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from ripple.model.errors import Unavailable
from ripple.planes.events import MAX_PAYLOAD_BYTES, PUBLISH_SECONDS, EventsDriver

log = structlog.get_logger(__name__)
STREAM = StreamConfig(
    name="RIPPLE",
    subjects=["ripple.>"],
    storage=StorageType.FILE,
    discard=DiscardPolicy.OLD,
    max_age=24 * 3600,
    max_bytes=64 << 20,
    max_msg_size=MAX_PAYLOAD_BYTES + 1024,
    duplicate_window=120,
)
"""Bounded in age and size; the message size counts the headers too."""
MAX_WAITING = 256
"""Payloads that wait for one slow watcher; the oldest makes room."""
ACK_SECONDS = 0.9 * PUBLISH_SECONDS
RETRY_SECONDS = 0.25
LOOK_SECONDS = 5.0
CLOSE_SECONDS = 2.0
_FAILURES = (NatsError, OSError, TimeoutError, ValueError)


class NatsEvents:
    """Events on the NATS server at ``url`` (``nats://host:port``). Belongs to the event loop that opened it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._where = url.rpartition("@")[2]
        self._client = Client()
        self._keeper: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._reason = "it is not opened"
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._mailboxes: set[_Mailbox] = set()

    async def open(self) -> None:
        """Begin to connect, in the background; returns at once. Repeatable."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="nats-events")

    async def close(self) -> None:
        """End every subscription and the connection; a bus that hangs is left after two seconds."""
        keeper, self._keeper = self._keeper, None
        for mailbox in self._mailboxes:
            mailbox.end()
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper], timeout=CLOSE_SECONDS + 1)

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        """Have the stream acknowledge the payload; Unavailable at once while the bus is away."""
        if not self._ready.is_set() or not self._client.is_connected:
            self._changed.set()
            raise Unavailable(
                f"the event bus at {self._where} is away ({self._reason}); watchers poll until it is back"
            )
        try:
            await self._client.jetstream().publish(
                subject,
                payload,
                timeout=ACK_SECONDS,
                stream=STREAM.name,
                headers={"Nats-Msg-Id": message_id},
            )
        except asyncio.CancelledError:
            self._lost("it did not acknowledge in time")
            raise
        except _FAILURES as error:
            self._lost(repr(error))
            raise Unavailable(f"the event bus at {self._where} did not keep {subject}: {error!r}") from error

    async def subscribe(self, subject: str) -> AsyncGenerator[bytes]:
        """Payloads from now on; the client library subscribes again after each reconnection."""
        mailbox = _Mailbox(self._keeper is None)
        self._mailboxes.add(mailbox)
        feeder = asyncio.create_task(self._feed(subject, mailbox), name=f"nats-watch-{subject}")
        try:
            while (payload := await mailbox.next()) is not None:
                yield payload
        finally:
            self._mailboxes.discard(mailbox)
            feeder.cancel()
            await asyncio.wait([feeder])

    async def _keep(self) -> None:
        while True:
            self._client, self._over = Client(), asyncio.Event()
            try:
                await self._client.connect(
                    self._url,
                    name="ripple",
                    error_cb=self._on_error,
                    disconnected_cb=self._on_lost,
                    reconnected_cb=self._on_change,
                    closed_cb=self._on_lost,
                    connect_timeout=1,
                    reconnect_time_wait=RETRY_SECONDS,  # type: ignore[arg-type]  # only slept
                    max_reconnect_attempts=-1,
                    ping_interval=5,
                    pending_size=0,
                )
                await self._tend()
            except _FAILURES as error:
                self._lost(repr(error))
            finally:
                self._ready.clear()
                self._over.set()
                with contextlib.suppress(*_FAILURES):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await self._client.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _tend(self) -> None:
        """Until the client gives up: be ready whenever it is connected and the stream is there."""
        while not self._client.is_closed:
            self._changed.clear()
            if self._client.is_connected and not self._ready.is_set():
                await self._make_ready()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self._ready.is_set() else RETRY_SECONDS):
                    await self._changed.wait()

    async def _make_ready(self) -> None:
        stream = self._client.jetstream(timeout=PUBLISH_SECONDS)
        try:
            try:
                await stream.update_stream(STREAM)
            except NotFoundError:
                await stream.add_stream(STREAM)
        except _FAILURES as error:
            self._reason = f"its stream {STREAM.name} cannot be made ready: {error!r}"
            return
        self._ready.set()
        log.info("events_ready", url=self._where)

    async def _feed(self, subject: str, mailbox: _Mailbox) -> None:
        async def take(message: Msg) -> None:
            mailbox.put(message.data)

        while True:
            await self._ready.wait()
            over = self._over
            with contextlib.suppress(*_FAILURES):
                subscription = await self._client.subscribe(subject, cb=take)
                try:
                    await over.wait()
                finally:
                    with contextlib.suppress(*_FAILURES):
                        await subscription.unsubscribe()
            await asyncio.sleep(RETRY_SECONDS)

    def _lost(self, reason: str) -> None:
        if self._ready.is_set():
            log.warning("events_lost", url=self._where, reason=reason)
        self._reason = reason
        self._ready.clear()
        self._changed.set()

    async def _on_lost(self) -> None:
        self._lost("the connection was lost")

    async def _on_change(self) -> None:
        self._changed.set()

    async def _on_error(self, error: Exception) -> None:
        self._reason = repr(error)


class _Mailbox:
    """What waits for one watcher: bounded, the oldest goes first."""

    def __init__(self, ended: bool) -> None:
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self._ended = ended

    def put(self, payload: bytes) -> None:
        if len(payload) <= MAX_PAYLOAD_BYTES:
            self._waiting.append(payload)
            self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def next(self) -> bytes | None:
        """The oldest payload, waited for; None once ended."""
        while not self._ended:
            if self._waiting:
                return self._waiting.popleft()
            self._news.clear()
            await self._news.wait()
        return None


_: type[EventsDriver] = NatsEvents
