"""From a basket to a price with all its steps, or to a reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checkout import pricing
from checkout.inventory import Inventory
from checkout.settings import Settings


class Refused(Exception):
    """The basket cannot be priced; the message says why, in words for the customer."""


@dataclass(frozen=True)
class Quote:
    """What a basket costs, in cents."""

    currency: str
    goods_cents: int
    discount_cents: int
    shipping_cents: int
    tax_cents: int
    total_cents: int


def parse_items(text: str) -> dict[str, int]:
    """``mug:2,poster`` as ``{"mug": 2, "poster": 1}``; an item named twice is added up."""
    basket: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        item, _, count = part.partition(":")
        if count and not (count.isascii() and count.isdigit() and len(count) < 10):
            raise Refused(f"{part!r} is not an item and a quantity")
        basket[item] = basket.get(item, 0) + (int(count) if count else 1)
    return basket


class Till:
    """Prices baskets by the shop's settings and stock."""

    def __init__(self, settings: Settings, inventory: Inventory) -> None:
        self._settings = settings
        self._inventory = inventory

    def quote(self, basket: Mapping[str, int], country: str = "", coupon: str = "") -> Quote:
        """The price of ``basket``; Refused when it is empty, too large, unknown or not in stock."""
        self._check(basket)
        prices = self._settings.pricing
        lines = {item: pricing.line_cents(prices.items[item], quantity) for item, quantity in basket.items()}
        discount = sum(
            pricing.bulk_discount_cents(cents, basket[item], prices.bulk["from_quantity"], prices.bulk["percent"])
            for item, cents in lines.items()
        )
        before = sum(lines.values())
        discount += pricing.coupon_discount_cents(before - discount, self._coupon_percent(coupon))
        goods = before - discount
        shipping = pricing.shipping_cents(goods, prices.shipping["flat_cents"], prices.shipping["free_from_cents"])
        tax = pricing.tax_cents(goods + shipping, self._tax_rate(country))
        total = pricing.total_cents(goods, shipping, tax)
        return Quote(prices.currency, before, discount, shipping, tax, total)

    def _check(self, basket: Mapping[str, int]) -> None:
        limits = self._settings.limits
        if not basket:
            raise Refused("the basket is empty")
        if len(basket) > limits.max_lines:
            raise Refused(f"a basket holds at most {limits.max_lines} different items")
        for item, quantity in basket.items():
            if item not in self._settings.pricing.items:
                raise Refused(f"there is no item {item!r}")
            if not 1 <= quantity <= limits.max_quantity_per_line:
                raise Refused(
                    f"{quantity} of {item!r}: order between 1 and {limits.max_quantity_per_line} of an item"
                )
        if self._settings.features.stock_check and (missing := self._inventory.missing(basket)):
            raise Refused(f"not in stock: {', '.join(f'{count} of {item!r}' for item, count in missing.items())}")

    def _coupon_percent(self, coupon: str) -> int:
        if not coupon:
            return 0
        if not self._settings.features.coupons:
            raise Refused("coupons are not accepted at the moment")
        try:
            return self._settings.pricing.coupons[coupon.upper()]
        except KeyError:
            raise Refused(f"there is no coupon {coupon!r}") from None

    def _tax_rate(self, country: str) -> int:
        code = (country or self._settings.features.default_country).upper()
        try:
            return self._settings.pricing.tax_basis_points[code]
        except KeyError:
            raise Refused(f"we do not deliver to {code!r}") from None
