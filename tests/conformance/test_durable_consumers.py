"""A durable JetStream consumer goes on where it was: after its reader left, and after the server's kill -9."""

from __future__ import annotations

from pathlib import Path

import nats
import pytest
from nats.js.api import ConsumerConfig
from tests.conformance.test_events import SUBJECT, NatsServer, opened, patient, published, run

from ripple.planes.events.nats import STREAM

__all__ = ["patient"]
NAME = "reader"
EVENTS = str(STREAM.name)


async def read(server: NatsServer, count: int) -> list[bytes]:
    """The next messages of the durable consumer, acknowledged."""
    client = await nats.connect(server.url)
    try:
        reader = await client.jetstream().pull_subscribe_bind(NAME, EVENTS)
        found = await reader.fetch(count, timeout=10)
        for message in found:
            await message.ack_sync(timeout=10)
        return [message.data for message in found]
    finally:
        await client.close()


async def begin(server: NatsServer) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().add_consumer(EVENTS, ConsumerConfig(durable_name=NAME, filter_subject=SUBJECT))
    await client.close()


@pytest.mark.usefixtures("patient")
def test_a_durable_consumer_survives_a_restart_and_reads_each_event_once(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "store")
    server.start()
    seen: list[bytes] = []

    async def before() -> None:
        async with opened(server.url) as events:
            await published(events, {"n": 1})
            await begin(server)
            await published(events, {"n": 2})
            seen.extend(await read(server, 1))

    async def after() -> None:
        async with opened(server.url) as events:
            await published(events, {"n": 3})
            seen.extend([*await read(server, 1), *await read(server, 1)])

    try:
        run(before())
        server.kill()
        server.start()
        run(after())
    finally:
        server.kill()
    assert [data.replace(b" ", b"") for data in seen] == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
