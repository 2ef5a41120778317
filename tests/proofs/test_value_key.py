"""Equal values share a key, other values never do, and the key fits its column whatever the value."""

from collections import defaultdict
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.proofs import Context, same_value, value_key
from tests.proofs.planted import Pair, read_pairs
from tests.proofs.test_planted import SETS

HEIGHT = Context(key="height_m")
MOST_OF_A_KEY = 60


def planted_values() -> list[tuple[Any, Any, Context]]:
    """Return the pairs of planted values that stand under one key."""
    groups: dict[tuple[str, ...], dict[str, Pair]] = defaultdict(dict)
    for pair in (pair for name in SETS for pair in read_pairs(name)):
        context = pair.context
        group = groups[context.key, context.unit, context.proof, str(context.choices)]
        group.setdefault(repr(pair.value), pair)
    return [
        (one.value, other.value, one.context)
        for group in groups.values()
        for one, other in combinations(list(group.values())[:MOST_OF_A_KEY], 2)
    ]


def test_planted_values_that_differ_never_share_a_key_and_equal_ones_mostly_do() -> None:
    equal, apart = 0, []
    for one, other, context in planted_values():
        is_same = same_value(one, other, context)
        has_same_key = value_key(one, context) == value_key(other, context)
        assert is_same or not has_same_key, (one, other, context.key)
        equal += is_same
        if is_same and not has_same_key:
            apart.append((one, other))
    assert equal > 100
    # What same_value rounds over a conversion, and readings that a bound alone makes equal.
    assert len(apart) <= 0.07 * equal, apart


@pytest.mark.parametrize(
    ("one", "other", "context"),
    [
        ("1.72 m", "172 cm", HEIGHT),
        ("1.72", "172 cm", HEIGHT),
        (4, "4.0", Context()),
        (True, "yes", Context()),
        ("98.6 °F", "37 °C", Context(key="temperature")),
        ("38 months", "3 years 2 months", Context(key="duration")),
        (["b", "a"], ["a", "b"], Context()),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, Context()),
        ("shut", "resolved", Context(choices={"open": (), "closed": ("shut", "resolved")})),
    ],
)
def test_notation_makes_no_other_key(one: object, other: object, context: Context) -> None:
    assert value_key(one, context) == value_key(other, context)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("9" * 300, "9" * 299 + "8"),
        ("x" * 3_000, "x" * 2_999 + "y"),
        ("T-65B", "T-65C"),
        ("Q3 2021", "Q2 2021"),
        ("", "x"),
        ("03/05/1998", "3 May 1998"),
    ],
)
def test_other_values_have_other_keys(one: object, other: object) -> None:
    assert value_key(one) != value_key(other)
    assert not same_value(one, other) or one == other


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_key_fits_its_column_whatever_the_value(value: Any) -> None:
    key = value_key(value)
    assert len(key.encode("utf-16-le", errors="replace")) <= 800
    assert key == key.strip()
    assert key == value_key(value)


@given(st.text(max_size=50), st.text(max_size=50))
def test_texts_that_differ_never_share_a_key(one: str, other: str) -> None:
    if value_key(one) == value_key(other):
        assert same_value(one, other)
