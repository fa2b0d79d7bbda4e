"""What the driver writes about values: whole, the same in every process, without addresses."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.changes import driver
from ripple.changes.shown import shown_value

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats()
KEYS = st.integers() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.sets(KEYS, max_size=3)
        | st.frozensets(KEYS, max_size=3)
    ),
    max_leaves=12,
)


class Size(enum.Enum):
    SMALL = 1


@dataclasses.dataclass
class Item:
    name: str
    parts: list[Any]


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held


@given(VALUES)
def test_a_value_that_travels_as_json_arrives_as_it_was(value: Any) -> None:
    sent = json.loads(json.dumps(driver.encode(value)))
    arrived = driver.decode(sent)
    assert driver.describe(arrived) == driver.describe(value)
    assert type(arrived) is type(value)
    assert isinstance(shown_value(sent), str)


@given(st.lists(st.text(), max_size=6))
def test_sets_read_the_same_in_any_order(texts: list[str]) -> None:
    forwards, backwards = set(texts), set[str]()
    for text in reversed(texts):
        backwards.add(text)
    assert driver.describe(forwards) == driver.describe(backwards)


def test_objects_are_described_by_what_they_hold_and_never_by_their_address() -> None:
    loop = Item("loop", [])
    loop.parts.append(loop)
    described = {
        "Item(name='loop', parts=[…])": loop,
        "Slotted(held=1)": Slotted(1),
        "Size.SMALL": Size.SMALL,
        "ValueError('at 0x…')": ValueError("at 0x7f3a5c0012f0"),
        "Decimal('1.10')": decimal.Decimal("1.10"),
        "OrderedDict{'a': 1}": collections.OrderedDict(a=1),
        "<Size>": Size,
        "object()": object(),
    }
    assert [driver.describe(value) for value in described.values()] == list(described)


def test_long_values_are_cut_but_two_of_another_length_stay_different() -> None:
    assert driver.describe("x" * 10_000) != driver.describe("x" * 10_001)
    assert len(driver.describe(list(range(100_000)))) < 2_000
    assert driver.describe([0] * 1000) != driver.describe([0] * 1001)


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        ({"target": "math:sqrt", "given": [{"t": "float", "repr": "4.0"}], "named": {}}, "returns 2.0"),
        ({"target": "math:sqrt", "given": [-1], "named": {}}, "raises ValueError('math domain error')"),
        ({"target": "math:nothing", "given": [], "named": {}}, "cannot be called: AttributeError("),
        ({"target": "sys:exit", "given": [3], "named": {}}, "raises SystemExit('3')"),
        (
            {"target": "bisect:insort", "given": [{"t": "list", "of": [1, 3]}, 2], "named": {}},
            "returns None; its arguments became",
        ),
        ({"target": "string:Formatter.format", "self": {"t": "call", "of": "string:Formatter", "given": [],
          "named": {}}, "given": ["{}", 1], "named": {}}, "returns '1'"),
    ],
)  # fmt: skip
def test_a_call_is_described_by_its_result_its_error_and_its_arguments(call: dict[str, Any], outcome: str) -> None:
    assert driver.perform(call).startswith(outcome)
