"""The load generator: at its rate, at most so many at once, here only, and never for longer than asked."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import pytest
from tests.unit.delivery.conftest import Caddy, Instance

from ripple.delivery.edge import Route, Upstream
from ripple.delivery.load import Generator
from ripple.model.application import Load
from ripple.model.errors import Refused

Make = Callable[[str], Instance]


def _url(caddy: Caddy, port: int, instance: Instance) -> str:
    anyio.run(caddy.edge.push, [Route("shop", "qa", port, (Upstream(instance.path, 100),))])
    return f"http://127.0.0.1:{port}"


def test_requests_come_at_the_rate_and_end_in_time(caddy: Caddy, instances: Make, port: int) -> None:
    one = instances("one")
    url = _url(caddy, port, one)
    for _ in range(5):  # what a busy machine had no time for is never made up for
        start = time.monotonic()
        count = anyio.run(Generator(url, Load(paths=("/a", "/b"), rate_per_second=50)).run, 1.0)
        assert time.monotonic() - start < 15
        assert count.answered <= 52
        assert count.failed == 0
        if count.answered >= 30:
            break
    assert count.answered >= 30
    assert one.load_header == "1"


def test_a_slow_application_is_not_buried(caddy: Caddy, instances: Make, port: int) -> None:
    one = instances("one")
    one.answer = lambda target: (200, 0.2)
    url = _url(caddy, port, one)
    count = anyio.run(Generator(url, Load(rate_per_second=500, concurrency=2)).run, 0.5)
    assert count.answered <= 6


def test_a_paused_generator_sends_nothing_until_it_goes_on(caddy: Caddy, instances: Make, port: int) -> None:
    one = instances("one")
    generator = Generator(_url(caddy, port, one), Load(rate_per_second=100))
    generator.rate_per_second = 0

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(generator.run, 60.0)
            await anyio.sleep(0.2)
            assert one.served == 0
            generator.rate_per_second = 100
            with anyio.fail_after(30):
                while one.served < 5:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    anyio.run(scenario)


def test_an_application_that_is_gone_counts_as_failed() -> None:
    count = anyio.run(Generator("http://127.0.0.1:1", Load(rate_per_second=50)).run, 1)
    assert count.failed > 0
    assert count.answered == 0


def test_load_on_another_machine_is_refused() -> None:
    with pytest.raises(Refused, match="this machine"):
        Generator("http://example.org", Load())
