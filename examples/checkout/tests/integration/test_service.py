"""The running service, spoken to over HTTP like any client would."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def url():
    port = free_port()
    service = subprocess.Popen([sys.executable, "-m", "checkout"], cwd=ROOT, env={**os.environ, "PORT": str(port)})
    try:
        yield wait_until_ready(f"http://127.0.0.1:{port}", service)
    finally:
        service.terminate()
        assert service.wait(timeout=10) in (0, -15)


def wait_until_ready(address: str, service: subprocess.Popen) -> str:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and service.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=1) as answer:
                if answer.status == 200:
                    return address
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the service did not become ready")


def ask(address: str, body: bytes | None = None) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(address, data=body, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_the_front_page_lists_the_items(url):
    status, page = ask(f"{url}/")
    assert status == 200
    assert page["items"]["mug"] > 0


def test_get_and_post_agree(url):
    order = json.dumps({"items": {"mug": 2, "poster": 1}, "country": "FR"}).encode()
    assert ask(f"{url}/quote?items=mug:2,poster:1&country=FR") == ask(f"{url}/quote", order)


def test_a_quote_adds_up(url):
    status, quote = ask(f"{url}/quote?items=mug:12")
    assert status == 200
    if "goods_cents" in quote:
        paid = quote["goods_cents"] - quote["discount_cents"] + quote["shipping_cents"] + quote["tax_cents"]
        assert quote["total_cents"] == paid


@pytest.mark.parametrize("query", ["", "items=unicorn", "items=mug:0", "items=mug:999999", "items=mug&country=XX"])
def test_bad_baskets_get_422_with_a_reason(url, query):
    status, answer = ask(f"{url}/quote?{query}")
    assert status == 422
    assert answer["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": {"mug": "2"}}', b'{"items": {"mug": 1}, "coupon": 7}'])
def test_bad_orders_get_422_with_a_reason(url, body):
    status, answer = ask(f"{url}/quote", body)
    assert status == 422
    assert answer["error"]


def test_a_huge_order_is_refused(url):
    assert ask(f"{url}/quote", b" " * 100_000)[0] == 413


def test_requests_are_counted_for_prometheus(url):
    ask(f"{url}/quote?items=mug:1")
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'checkout_requests_total{path="/quote",status="200"}' in text
    assert "checkout_request_seconds_bucket" in text
