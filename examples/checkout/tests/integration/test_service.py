"""The running service, spoken to over HTTP like any client would."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def port():
    chosen = free_port()
    environment = {**os.environ, "PORT": str(chosen)}
    service = subprocess.Popen([sys.executable, "-m", "checkout"], cwd=ROOT, env=environment)
    try:
        wait_until_ready(chosen, service)
        yield chosen
    finally:
        service.terminate()
        assert service.wait(timeout=10) in (0, -15)


def wait_until_ready(port: int, service: subprocess.Popen) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and service.poll() is None:
        try:
            if fetch(port, "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the service did not become ready")


def fetch(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, dict]:
    status, text = fetch(port, path, body)
    return status, json.loads(text)


def test_the_front_page_lists_the_items(port):
    status, page = ask(port, "/")
    assert status == 200
    assert page["items"]["mug"] > 0


def test_get_and_post_agree(port):
    order = json.dumps({"items": {"mug": 2, "poster": 1}, "country": "FR"}).encode()
    assert ask(port, "/quote?items=mug:2,poster:1&country=FR") == ask(port, "/quote", order)


def test_a_quote_adds_up(port):
    status, quote = ask(port, "/quote?items=mug:12")
    assert status == 200
    if "goods_cents" in quote:
        paid = quote["goods_cents"] - quote["discount_cents"] + quote["shipping_cents"] + quote["tax_cents"]
        assert quote["total_cents"] == paid


@pytest.mark.parametrize("query", ["", "items=unicorn", "items=mug:0", "items=mug:999999", "items=mug&country=XX"])
def test_bad_baskets_get_422_with_a_reason(port, query):
    status, answer = ask(port, f"/quote?{query}")
    assert status == 422
    assert answer["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": {"mug": "2"}}', b'{"items": {"mug": 1}, "coupon": 7}'])
def test_bad_orders_get_422_with_a_reason(port, body):
    status, answer = ask(port, "/quote", body)
    assert status == 422
    assert answer["error"]


def test_a_huge_order_is_refused(port):
    assert ask(port, "/quote", b" " * 40_000)[0] == 413


def test_requests_are_counted_for_prometheus(port):
    fetch(port, "/quote?items=mug:1")
    status, text = fetch(port, "/metrics")
    assert status == 200
    assert b'checkout_requests_total{path="/quote",status="200"}' in text
    assert b"checkout_request_seconds_bucket" in text
