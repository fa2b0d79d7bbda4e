"""Say in words what a basket costs: ``python -m checkout.explain "mug:2,poster"``. No network, no model."""

from __future__ import annotations

import sys

from checkout.inventory import Inventory
from checkout.quote import Refused, Till, parse_items
from checkout.settings import ROOT, load_settings


def explain(items: str) -> str:
    """Two sentences about the basket, or why it cannot be priced."""
    till = Till(load_settings(), Inventory.read(ROOT / "data" / "stock.csv"))
    try:
        quote = till.quote(parse_items(items))
    except Refused as reason:
        return f"We cannot price this basket: {reason}."
    shipping = "ships free" if quote.shipping_cents == 0 else f"ships for {_money(quote.shipping_cents)}"
    return f"Your basket costs {_money(quote.total_cents)} {quote.currency} with tax. It {shipping}."


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


if __name__ == "__main__":
    sys.stdout.write(explain(sys.argv[1] if len(sys.argv) > 1 else "") + "\n")
