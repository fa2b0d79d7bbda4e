"""The arithmetic, with numbers of its own: what the shop charges today is in config/."""

from checkout import pricing


def test_a_line_costs_its_pieces():
    assert pricing.line_cents(1250, 3) == 3750


def test_a_line_below_the_bulk_quantity_gets_nothing_off():
    assert pricing.bulk_discount_cents(9000, 9, 10, 5) == 0


def test_a_bulk_line_gets_its_percentage_off():
    assert pricing.bulk_discount_cents(10_000, 10, 10, 5) == 500


def test_a_coupon_rounds_down_to_a_cent():
    assert pricing.coupon_discount_cents(999, 10) == 99


def test_small_baskets_pay_the_flat_fee():
    assert pricing.shipping_cents(1000, 590, 5000) == 590


def test_large_baskets_ship_free():
    assert pricing.shipping_cents(9000, 590, 5000) == 0


def test_tax_is_rounded_half_up():
    assert pricing.tax_cents(1000, 1900) == 190
    assert pricing.tax_cents(50, 100) == 1
    assert pricing.tax_cents(49, 100) == 0


def test_the_total_adds_up():
    assert pricing.total_cents(5000, 590, 1062) == 6652
