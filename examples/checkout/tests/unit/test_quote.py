"""Baskets: what is priced and what is refused, whatever config/ holds today."""

import pytest

from checkout.inventory import Inventory
from checkout.quote import Refused, Till, parse_items
from checkout.settings import Features, Limits, Pricing, Settings

PRICING = Pricing(
    currency="EUR",
    items={"cup": 1000, "pen": 100},
    shipping={"flat_cents": 500, "free_from_cents": 4000},
    bulk={"from_quantity": 10, "percent": 10},
    coupons={"HALF": 50},
    tax_basis_points={"DE": 2000, "US": 0},
)


def till(*, coupons: bool = True, stock_check: bool = True) -> Till:
    features = Features(default_country="US", coupons=coupons, stock_check=stock_check, show_steps=True)
    return Till(Settings(PRICING, Limits(3, 12, 1024), features), Inventory({"cup": 5, "pen": 100}))


def test_a_basket_is_priced_step_by_step():
    quote = till().quote({"cup": 2, "pen": 10}, country="de", coupon="half")
    assert (quote.goods_cents, quote.discount_cents) == (3000, 1550)
    assert (quote.shipping_cents, quote.tax_cents, quote.total_cents) == (500, 390, 2340)


def test_a_large_basket_ships_free():
    assert till().quote({"cup": 5}).total_cents == 5000


@pytest.mark.parametrize(
    ("basket", "why"),
    [
        ({}, "empty"),
        ({"cup": 0}, "between 1 and 12"),
        ({"pen": 13}, "between 1 and 12"),
        ({"hat": 1}, "no item 'hat'"),
        ({"cup": 6}, "not in stock: 1 of 'cup'"),
    ],
)
def test_a_basket_that_cannot_be_sold_is_refused_with_the_reason(basket, why):
    with pytest.raises(Refused, match=why):
        till().quote(basket)


def test_without_the_stock_check_more_can_be_asked_for():
    assert till(stock_check=False).quote({"cup": 6}).goods_cents == 6000


def test_switched_off_coupons_are_refused():
    with pytest.raises(Refused, match="not accepted"):
        till(coupons=False).quote({"cup": 1}, coupon="HALF")


def test_unknown_coupons_and_countries_are_refused():
    with pytest.raises(Refused, match="no coupon"):
        till().quote({"cup": 1}, coupon="FREE")
    with pytest.raises(Refused, match="do not deliver"):
        till().quote({"cup": 1}, country="XX")


def test_items_are_read_from_text():
    assert parse_items("mug:2, poster,mug") == {"mug": 3, "poster": 1}
    with pytest.raises(Refused):
        parse_items("mug:two")
