"""The edge against a real Caddy: weights, failures, draining, restarts, and what its log says."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.delivery.conftest import Caddy, Instance

from ripple.delivery.edge import Edge, Route, Upstream, render
from ripple.delivery.samples import AccessLog, Sample
from ripple.model.errors import Invalid, Unavailable

Make = Callable[[str], Instance]


def route(port: int, *upstreams: tuple[Instance, int]) -> Route:
    return Route("shop", "qa", port, tuple(Upstream(one.path, weight) for one, weight in upstreams))


def get(port: int, count: int = 1, path: str = "/") -> list[httpx.Response]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        return [client.get(path) for _ in range(count)]


def read_until(log: AccessLog, count: int) -> list[Sample]:
    """Read until ``count`` samples are there: Caddy writes a line just after it answered."""
    samples: list[Sample] = []
    deadline = time.monotonic() + 30
    while len(samples) < count:
        assert time.monotonic() < deadline, f"only {len(samples)} of {count} requests were logged"
        samples += log.read()
        time.sleep(0.01)
    return samples


def test_traffic_is_shared_by_weight_and_logged_by_instance(caddy: Caddy, instances: Make, port: int) -> None:
    stable, canary = instances("stable"), instances("canary")
    log = AccessLog.at_end(caddy.edge.log_path("shop", "qa"))
    anyio.run(caddy.edge.push, [route(port, (stable, 80), (canary, 20))])
    bodies = Counter(answer.text for answer in get(port, 100))
    assert bodies == {"stable": 80, "canary": 20}
    samples = read_until(log, 100)
    assert Counter(sample.upstream for sample in samples) == {str(stable.path): 80, str(canary.path): 20}
    assert all(0 < sample.seconds < 5 and sample.status == 200 and not sample.synthetic for sample in samples)


def test_an_environment_with_nothing_in_it_answers_503_with_json(caddy: Caddy, port: int) -> None:
    anyio.run(caddy.edge.push, [route(port)])
    answer = get(port)[0]
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "nothing is deployed in qa of shop"


def test_failures_count_for_the_instance_that_failed(caddy: Caddy, instances: Make, port: int) -> None:
    good, bad, dead = instances("good"), instances("bad"), instances("dead")
    bad.answer = lambda target: (500, 0.0)
    dead.stop()
    log = AccessLog.at_end(caddy.edge.log_path("shop", "qa"))
    anyio.run(caddy.edge.push, [route(port, (good, 34), (bad, 33), (dead, 33))])
    answers = Counter(answer.status_code for answer in get(port, 100))
    assert answers == {200: 34, 500: 33, 502: 33}
    failed = Counter(sample.upstream for sample in read_until(log, 100) if sample.failed)
    assert failed == {str(bad.path): 33, str(dead.path): 33}


def test_every_request_during_pushes_is_answered_by_an_instance(caddy: Caddy, instances: Make, port: int) -> None:
    one, two = instances("one"), instances("two")
    anyio.run(caddy.edge.push, [route(port, (one, 100))])
    statuses: list[int] = []
    closed: list[httpx.TransportError] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while not stop.is_set():
                try:
                    statuses.append(client.get("/").status_code)
                except httpx.TransportError as error:  # closed unanswered by a switch: asked again
                    closed.append(error)

    def answered(count: int) -> None:
        deadline = time.monotonic() + 30
        while len(statuses) < count:
            assert time.monotonic() < deadline, f"only {len(statuses)} requests were answered"
            time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for weight in (20, 20, 50, 100):
            answered(len(statuses) + 5)
            anyio.run(caddy.edge.push, [route(port, (one, 100 - weight), (two, weight))])
        answered(len(statuses) + 5)
    finally:
        stop.set()
        asking.join()
    assert set(statuses) == {200}
    assert len(closed) <= 2 * 4, "a switch costs one client the connection it has, and at most the next"


def test_a_request_in_flight_is_answered_and_waited_for(caddy: Caddy, instances: Make, port: int) -> None:
    old, new = instances("old"), instances("new")
    let = threading.Event()
    old.answer = lambda target: (200, 0.0) if let.wait(30) else (500, 0.0)
    anyio.run(caddy.edge.push, [route(port, (old, 100))])
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(get(port)[0].text))
    asking.start()
    deadline = time.monotonic() + 30
    while not anyio.run(caddy.edge.requests_in_flight, old.path):
        assert time.monotonic() < deadline
    anyio.run(caddy.edge.push, [route(port, (new, 100))])
    assert get(port)[0].text == "new"
    assert not anyio.run(caddy.edge.drain, old.path, 0.05)
    let.set()
    assert anyio.run(caddy.edge.drain, old.path, 30)
    asking.join()
    assert answers == ["old"]


def test_a_killed_edge_serves_the_same_routes_after_its_restart(caddy: Caddy, instances: Make, port: int) -> None:
    one = instances("one")
    anyio.run(caddy.edge.push, [route(port, (one, 100))])
    caddy.kill()
    with pytest.raises(Unavailable, match="edge"):
        anyio.run(caddy.edge.push, [route(port, (one, 100))])
    caddy.start()
    assert get(port)[0].text == "one"


def test_a_port_that_is_taken_leaves_the_edge_as_it_was(caddy: Caddy, instances: Make, port: int) -> None:
    one = instances("one")
    anyio.run(caddy.edge.push, [route(port, (one, 100))])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = Route("other", "qa", taken.getsockname()[1])
        with pytest.raises(Invalid, match="refused"):
            anyio.run(caddy.edge.push, [route(port, (one, 100)), other])
    assert get(port)[0].text == "one"


def test_a_load_takes_milliseconds(caddy: Caddy, instances: Make, port: int) -> None:
    one, two = instances("one"), instances("two")
    start = time.perf_counter()
    for weight in range(10, 60, 10):
        anyio.run(caddy.edge.push, [route(port, (one, weight), (two, 100 - weight))])
    assert (time.perf_counter() - start) / 5 < 5


@given(st.permutations(["dev", "qa", "staging", "prod"]))
def test_the_configuration_does_not_depend_on_the_order_of_routes(order: list[str]) -> None:
    ports = {"dev": 1, "qa": 2, "staging": 3, "prod": 4}
    routes = [Route("shop", name, ports[name], (Upstream(Path(f"/{name}"), 100),)) for name in order]
    expected = [Route("shop", name, ports[name], (Upstream(Path(f"/{name}"), 100),)) for name in ports]
    admin, logs = Path("/run/admin.sock"), Path("/logs")
    assert render(routes, admin, logs) == render(expected, admin, logs)


def test_only_loopback_is_listened_on() -> None:
    config = render([Route("shop", "qa", 8080)], Path("/run/admin.sock"), Path("/logs"))
    servers = config["apps"]["http"]["servers"]
    assert [server["listen"] for server in servers.values()] == [["127.0.0.1:8080"]]
    assert config["admin"]["listen"] == "unix//run/admin.sock"


def test_an_edge_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="caddy"):
        anyio.run(Edge(tmp_path / "none.sock", tmp_path).push, [])
