"""The events plane on a real nats-server: acknowledged, bounded, at once or not at all, through kills."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.errors import Invalid, Unavailable
from ripple.planes.events import MAX_PAYLOAD_BYTES, Events
from ripple.planes.events.nats import MAX_WAITING, STREAM, NatsEvents

T = TypeVar("T")
AT_ONCE_SECONDS = 0.05
SUBJECT = "ripple.changes.chg-1"


class NatsServer:
    """A nats-server of our own on one port; killed and started again it is the same server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self, *, jetstream: bool = True) -> None:
        binary = Path(sys.executable).parent / "nats-server"
        store = ["--js", "-sd", str(self.folder)] if jetstream else []
        self.process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(self.port), *store],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("nats-server did not start")

    def hang(self) -> None:
        """Returns when every thread stands still: until then one of them may still answer."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    found = NatsServer(tmp_path / "store")
    found.start()
    yield found
    found.kill()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stalls is no bus that is away: a publish then fails, or is repeated and kept twice."""
    monkeypatch.setattr("ripple.planes.events.nats.ACK_SECONDS", 20)
    monkeypatch.setattr("ripple.planes.events.PUBLISH_SECONDS", 25)


def run(main: Coroutine[Any, Any, T]) -> T:
    """One event loop with a deadline."""
    return asyncio.run(asyncio.wait_for(main, 40))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Events]:
    events = Events(NatsEvents(url))
    await events.open()
    try:
        yield events
    finally:
        await events.close()


async def published(events: Events, data: dict[str, Any], **more: Any) -> None:
    """Publish as soon as the bus is there."""
    while True:
        try:
            return await events.publish(SUBJECT, data, **more)
        except Unavailable:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(events: Events, subject: str = SUBJECT) -> AsyncIterator[list[dict[str, Any]]]:
    """What a subscription has seen so far; entered once it is in effect."""
    seen: list[dict[str, Any]] = []

    async def watch() -> None:
        nonlocal seen
        async for event in events.subscribe(subject):
            seen += [event]

    task = asyncio.create_task(watch())
    try:
        await heard(events, seen, {"hello": subject})
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


async def heard(events: Events, seen: list[dict[str, Any]], data: dict[str, Any]) -> None:
    """Publish ``data`` until the watcher has seen it: a subscription begins to count a little later."""
    while data not in seen:
        await published(events, data)
        await asyncio.sleep(0.02)


async def fails_at_once(events: Events) -> str:
    """Each publish fails; the quickest of three tells, for the machine may be busy elsewhere."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(Unavailable) as caught:
            await events.publish(SUBJECT, {"n": 1})
        took.append(time.perf_counter() - began)
    assert min(took) < AT_ONCE_SECONDS
    return str(caught.value)


async def stored(server: NatsServer) -> Any:
    client = await nats.connect(server.url)
    try:
        return await client.jetstream().stream_info(str(STREAM.name))
    finally:
        await client.close()


@pytest.mark.usefixtures("patient")
def test_what_is_published_reaches_every_watcher_in_order(server: NatsServer) -> None:
    async def main() -> None:
        async with opened(server.url) as events, opened(server.url) as other:
            async with watching(events) as near, watching(other) as far, watching(other, "ripple.*.chg-1") as wild:
                for number in range(20):
                    await events.publish(SUBJECT, {"number": number})
                await heard(events, near, {"end": 1})
                await heard(events, far, {"end": 2})
                await heard(events, wild, {"end": 3})
            for seen in (near, far, wild):
                assert [event["number"] for event in seen if "number" in event] == list(range(20))

    run(main())


@pytest.mark.usefixtures("patient")
def test_another_subject_is_not_heard(server: NatsServer) -> None:
    async def main() -> None:
        async with opened(server.url) as events, watching(events) as seen:
            await events.publish("ripple.changes.chg-2", {"foreign": True})
            await heard(events, seen, {"end": True})
            assert {"foreign": True} not in seen

    run(main())


@pytest.mark.usefixtures("patient")
def test_an_acknowledged_event_is_in_the_bounded_stream_even_after_kill_nine(server: NatsServer) -> None:
    async def main() -> Any:
        async with opened(server.url) as events:
            await published(events, {"n": 1})
            for _ in range(9):
                await events.publish(SUBJECT, {"n": 1})
        server.kill()
        server.start()
        return await stored(server)

    info = run(main())
    assert info.state.messages == 10
    assert info.config.max_age == 24 * 3600
    assert info.config.max_bytes == 64 << 20
    assert info.config.discard == "old"


def test_one_message_id_is_kept_once(server: NatsServer) -> None:
    async def main() -> Any:
        async with opened(server.url) as events:
            for _ in range(3):
                await published(events, {"n": 1}, message_id="commit-abc")
            await published(events, {"n": 1}, message_id="commit-def")
        return await stored(server)

    assert run(main()).state.messages == 2


def test_without_a_server_publishing_fails_at_once_and_closing_is_quick(tmp_path: Path) -> None:
    async def main() -> float:
        async with opened(NatsServer(tmp_path).url) as events:
            await fails_at_once(events)
            await asyncio.sleep(0.3)
            assert "away" in await fails_at_once(events)
            began = time.perf_counter()
        return time.perf_counter() - began

    assert min(run(main()) for _ in range(3)) < 1


def test_a_server_that_comes_late_is_found(tmp_path: Path) -> None:
    late = NatsServer(tmp_path)

    async def main() -> None:
        async with opened(late.url) as events:
            await fails_at_once(events)
            await asyncio.to_thread(late.start)
            async with watching(events) as seen:
                await heard(events, seen, {"n": 1})

    try:
        run(main())
    finally:
        late.kill()


def test_after_kill_nine_publishing_fails_at_once_and_watchers_go_on_when_it_is_back(server: NatsServer) -> None:
    async def main() -> None:
        async with opened(server.url) as events, watching(events) as seen:
            server.kill()
            with pytest.raises(Unavailable):
                while True:
                    await events.publish(SUBJECT, {"n": 1})
            await fails_at_once(events)
            await asyncio.sleep(0.4)
            await fails_at_once(events)
            await asyncio.to_thread(server.start)
            began = time.perf_counter()
            await heard(events, seen, {"back": True})
            assert time.perf_counter() - began < 20

    run(main())


def test_a_server_that_lost_its_store_gets_its_stream_again(server: NatsServer, tmp_path: Path) -> None:
    async def main() -> Any:
        async with opened(server.url) as events, watching(events) as seen:
            server.kill()
            server.folder = tmp_path / "empty"
            await asyncio.to_thread(server.start)
            await heard(events, seen, {"back": True})
        return await stored(server)

    assert run(main()).config.max_bytes == STREAM.max_bytes


def test_a_server_that_hangs_costs_one_second_once(server: NatsServer) -> None:
    async def main() -> None:
        async with opened(server.url) as events, watching(events) as seen:
            took = []
            for number in range(3):
                server.hang()
                began = time.perf_counter()
                with pytest.raises(Unavailable):
                    await events.publish(SUBJECT, {"n": 1})
                took.append(time.perf_counter() - began)
                for _ in range(10):
                    await fails_at_once(events)
                server.go_on()
                await heard(events, seen, {"back": number})
            assert min(took) < 1.8

    run(main())


def test_closing_is_quick_while_the_server_hangs(server: NatsServer) -> None:
    async def main() -> float:
        async with opened(server.url) as events:
            await published(events, {"n": 1})
            server.hang()
            began = time.perf_counter()
        return time.perf_counter() - began

    assert run(main()) < 10


def test_a_server_without_jetstream_is_refused_with_the_reason(tmp_path: Path) -> None:
    plain = NatsServer(tmp_path)
    plain.start(jetstream=False)

    async def main() -> str:
        async with opened(plain.url) as events:
            while "RIPPLE" not in (message := await fails_at_once(events)):
                await asyncio.sleep(0.02)
            return message

    try:
        assert "cannot be made ready" in run(main())
    finally:
        plain.kill()


@pytest.mark.usefixtures("patient")
def test_a_slow_watcher_loses_its_oldest_hints_and_slows_nobody(server: NatsServer) -> None:
    count = MAX_WAITING + 100

    async def main() -> list[int]:
        async with opened(server.url) as events, watching(events) as quick:
            slow = events.subscribe(SUBJECT)
            first = asyncio.ensure_future(anext(slow))
            while not first.done():
                await published(events, {"hello": "slow"})
                await asyncio.sleep(0.02)
            for number in range(count):
                await events.publish(SUBJECT, {"number": number})
            await heard(events, quick, {"end": True})
            assert [event["number"] for event in quick if "number" in event] == list(range(count))
            numbers: list[int] = []
            while not numbers or numbers[-1] < count - 1:
                event = await anext(slow)
                numbers += [event["number"]] if "number" in event else []
            await slow.aclose()  # type: ignore[attr-defined]
            return numbers

    numbers = run(main())
    assert numbers == list(range(numbers[0], count))
    assert MAX_WAITING - 20 <= len(numbers) <= MAX_WAITING


def test_what_is_no_json_object_is_left_out(server: NatsServer) -> None:
    async def main() -> list[dict[str, Any]]:
        client = await nats.connect(server.url)
        async with opened(server.url) as events, watching(events) as seen:
            for payload in (b"\xff", b"[1]", b"nul", b"[" * 50_000, b'{"a":"' + b"x" * MAX_PAYLOAD_BYTES + b'"}'):
                await client.publish(SUBJECT, payload)
            await client.publish(SUBJECT, b'{"good": 1}')
            await client.flush()
            await heard(events, seen, {"end": True})
            await client.close()
            return [event for event in seen if not {"hello", "end"} & set(event)]

    assert run(main()) == [{"good": 1}]


def test_cancelling_a_watcher_ends_it_and_its_subscription(server: NatsServer) -> None:
    async def main() -> None:
        async with opened(server.url) as events:
            async with watching(events):
                pass
            await published(events, {"n": 1})
            assert {task.get_name() for task in asyncio.all_tasks()} & {f"nats-watch-{SUBJECT}"} == set()

    run(main())


def test_a_watcher_can_be_cancelled_while_there_is_no_server(tmp_path: Path) -> None:
    async def main() -> float:
        async with opened(NatsServer(tmp_path).url) as events:
            waiting = asyncio.ensure_future(anext(events.subscribe(SUBJECT)))
            await asyncio.sleep(0.1)
            began = time.perf_counter()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return time.perf_counter() - began

    assert run(main()) < 5


def test_closing_ends_the_watchers(server: NatsServer) -> None:
    async def main() -> list[dict[str, Any]]:
        events = Events(NatsEvents(server.url))
        await events.open()

        async def watch() -> list[dict[str, Any]]:
            return [event async for event in events.subscribe(SUBJECT)]

        task = asyncio.create_task(watch())
        await published(events, {"n": 1})
        await events.close()
        await events.close()
        return await asyncio.wait_for(task, 20)

    run(main())


class Silent:
    """No bus may be reached: what is refused is refused before."""

    async def open(self) -> None:
        raise AssertionError

    async def close(self) -> None:
        raise AssertionError

    async def publish(self, subject: str, payload: bytes, message_id: str) -> None:
        raise AssertionError

    async def subscribe(self, subject: str) -> Any:
        raise AssertionError
        yield b""


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        ("other.changes", {}),
        ("ripple", {}),
        ("ripple.", {}),
        ("ripple.a b", {}),
        ("ripple.a\r\nPUB x 1", {}),
        ("ripple.*", {}),
        ("ripple.>", {}),
        ("ripple.a", {"n": float("nan")}),
        ("ripple.a", {"n": object()}),
        ("ripple.a", {"n": "x" * MAX_PAYLOAD_BYTES}),
    ],
)
def test_what_can_never_be_sent_is_refused_before_the_bus(subject: str, data: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        run(Events(Silent()).publish(subject, data))


@pytest.mark.parametrize("subject", [">", "*", "other.>", "ripple.>.a", "ripple.a\n", "$JS.API.>", ""])
def test_only_our_own_subjects_can_be_watched(subject: str) -> None:
    async def main() -> None:
        async for _ in Events(Silent()).subscribe(subject):
            pass

    with pytest.raises(Invalid):
        run(main())


@given(st.text(max_size=40))
def test_no_message_id_smuggles_a_header(message_id: str) -> None:
    plain = message_id != "" and len(message_id) <= 128 and all("!" <= one <= "~" for one in message_id)
    with pytest.raises(AssertionError if plain else Invalid):
        run(Events(Silent()).publish("ripple.a", {}, message_id=message_id))
