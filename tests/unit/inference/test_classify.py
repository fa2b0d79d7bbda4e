"""What kind of change words ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.delivery.application import load_application
from ripple.inference.classify import classify, explain
from ripple.model.application import ApplicationManifest
from ripple.model.change import ChangeKind
from ripple.stack.root import project_root

CHECKOUT = load_application(project_root() / "examples" / "checkout")
CODE, CONFIG = ChangeKind.CODE, ChangeKind.CONFIG


def without_config() -> ApplicationManifest:
    return CHECKOUT.model_copy(update={"config": None})


@pytest.mark.parametrize(
    ("intent", "kind"),
    [
        ("Let customers order up to 50 pieces of one item.", CONFIG),
        ("Raise the price of a mug to 1300 cents.", CONFIG),
        ("Turn the stock check off.", CONFIG),
        ("Set free_from_cents in config/pricing.yaml to 4000", CONFIG),
        ("Disable coupons", CONFIG),
        ("A basket worth exactly the free-shipping threshold must ship free, as the README says.", CODE),
        ("Keep a record of every basket that was checked against the stock.", CODE),
        ("Ask the warehouse for the stock of every basket before pricing it.", CODE),
        ("Fix the crash in parse_items() when the quantity is empty", CODE),
        ("checkout/pricing.py rounds wrong; it should round half up", CODE),
        ("Make it nicer", CODE),
        ("", CODE),
    ],
)
def test_an_intent_is_told_apart_by_its_words(intent: str, kind: ChangeKind) -> None:
    assert classify(intent, CHECKOUT) is kind


def test_an_application_without_a_config_folder_has_only_code_changes() -> None:
    found = explain("Raise the limit to 50", without_config())
    assert (found.kind, found.reasons) == (CODE, ("the application declares no config folder",))


def test_the_kind_comes_with_what_spoke_for_each() -> None:
    found = explain("Raise the limit to 50", CHECKOUT)
    assert found.reasons == (
        "config 4 (gives a value: to 50; speaks of: limit, raise)",
        "code 0 (nothing points to it)",
    )


@given(st.text(max_size=400))
def test_any_words_have_one_kind_whatever_their_case_or_spaces(intent: str) -> None:
    assert explain(intent, CHECKOUT) == explain(intent, CHECKOUT)
    assert classify(intent, without_config()) is CODE


def test_an_endless_intent_is_told_quickly_from_its_beginning() -> None:
    assert classify("set the limit to 50 " * 200_000, CHECKOUT) is CONFIG
    assert classify("turn a b " * 100_000, CHECKOUT) is CODE
