"""The routes: ``/``, ``/healthz``, ``/metrics``, ``/quote`` by GET and POST."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from checkout.inventory import Inventory
from checkout.metrics import Metrics
from checkout.quote import Quote, Refused, Till, parse_items
from checkout.settings import ROOT, Settings, load_settings


def create_app() -> ASGIApp:
    """The whole service, ready to serve."""
    settings = load_settings()
    till = Till(settings, Inventory.read(ROOT / "data" / "stock.csv"))
    routes = [
        Route("/", _front_page(settings)),
        Route("/healthz", _healthz),
        Route("/quote", _get_quote(settings, till), methods=["GET"]),
        Route("/quote", _post_quote(settings, till), methods=["POST"]),
    ]
    return Metrics(Starlette(routes=routes), frozenset({"/", "/healthz", "/quote"}))


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _front_page(settings: Settings) -> Callable[[Request], Response]:
    environment = os.environ.get("CHECKOUT_ENVIRONMENT", "local")

    def front_page(_: Request) -> Response:
        return JSONResponse(
            {
                "service": "checkout",
                "environment": environment,
                "currency": settings.pricing.currency,
                "items": dict(settings.pricing.items),
                "try": "/quote?items=mug:2,poster:1",
            }
        )

    return front_page


def _get_quote(settings: Settings, till: Till) -> Callable[[Request], Response]:
    def get_quote(request: Request) -> Response:
        query = request.query_params
        try:
            basket = parse_items(query.get("items", ""))
            return _priced(settings, till.quote(basket, query.get("country", ""), query.get("coupon", "")))
        except Refused as reason:
            return _refused(reason)

    return get_quote


def _post_quote(settings: Settings, till: Till) -> Callable[[Request], Any]:
    async def post_quote(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > settings.limits.max_body_bytes:
                return _refused(Refused("the request is too large"), status=413)
        try:
            basket, country, coupon = _read_order(body)
            return _priced(settings, await run_in_threadpool(till.quote, basket, country, coupon))
        except Refused as reason:
            return _refused(reason)

    return post_quote


def _read_order(body: bytes) -> tuple[dict[str, int], str, str]:
    """The basket, country and coupon of ``{"items": {"mug": 2}, "country": "DE", "coupon": "X"}``."""
    try:
        order = json.loads(body)
    except ValueError:
        raise Refused("the request is not JSON") from None
    items = order.get("items") if isinstance(order, dict) else None
    if not isinstance(items, dict) or not all(type(count) is int for count in items.values()):
        raise Refused('send {"items": {"mug": 2}}')
    country, coupon = order.get("country", ""), order.get("coupon", "")
    if not isinstance(country, str) or not isinstance(coupon, str):
        raise Refused("country and coupon are texts")
    return items, country, coupon


def _priced(settings: Settings, quote: Quote) -> Response:
    shown = asdict(quote)
    if not settings.features.show_steps:
        shown = {"currency": quote.currency, "total_cents": quote.total_cents}
    return JSONResponse(shown)


def _refused(reason: Refused, status: int = 422) -> Response:
    return JSONResponse({"error": str(reason)}, status_code=status)
