"""The arithmetic of a basket. Pure: whole cents in, whole cents out, no clock, no files.

The rules, in the order in which they apply:

- a line of at least ``from_quantity`` pieces is a bulk line and gets its discount;
- a coupon takes its percentage off the discounted goods;
- shipping is free for goods worth ``free_from_cents`` or more, after discounts;
- tax is charged on goods and shipping, rounded half up to a cent.
"""

from __future__ import annotations


def line_cents(unit_cents: int, quantity: int) -> int:
    """What ``quantity`` pieces cost before any discount."""
    return unit_cents * quantity


def bulk_discount_cents(line_total_cents: int, quantity: int, from_quantity: int, percent: int) -> int:
    """What a line gets off for its quantity, rounded down."""
    if quantity < from_quantity:
        return 0
    return line_total_cents * percent // 100


def coupon_discount_cents(goods_cents: int, percent: int) -> int:
    """What a coupon takes off the discounted goods, rounded down."""
    return goods_cents * percent // 100


def shipping_cents(goods_cents: int, flat_cents: int, free_from_cents: int) -> int:
    """The shipping fee: nothing at or above ``free_from_cents``, else the flat fee."""
    if goods_cents > free_from_cents:
        return 0
    return flat_cents


def tax_cents(net_cents: int, basis_points: int) -> int:
    """Tax on a net amount, rounded half up; 1900 basis points are 19 %."""
    return (net_cents * basis_points + 5_000) // 10_000


def total_cents(goods_cents: int, shipping: int, tax: int) -> int:
    """What the customer pays."""
    return goods_cents + shipping + tax
