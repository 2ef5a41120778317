"""Two values are the same whatever their notation, and no sooner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.proofs import Context, same_value

CHOICES = Context(key="status", choices={"open": ("opened",), "closed": ("shut", "resolved")})


@pytest.mark.parametrize(
    ("first", "second", "context"),
    [
        ("1,000", 1000, Context()),
        ("one thousand", "1000", Context()),
        ("1.72 m", "172 cm", Context()),
        ("1.72", "172 cm", Context(key="height_m")),
        ("$3.2bn", "3.2 billion dollars", Context()),
        ("4", 4.0, Context()),
        ("4 moons", "four moons", Context()),
        ("10–12 km", "10 to 12 km", Context()),
        ("3 May 1998", "1998-05-03", Context()),
        ("May 1998", "1998-05", Context()),
        ("19 BBY", "19 bby", Context()),
        ("Tatooine", " tatooine ", Context()),
        ("the Seller", "seller", Context()),
        ("grey ships", "gray ship", Context()),
        (True, "yes", Context()),
        ("shut", "resolved", CHOICES),
        ("“the Fox”", '"the Fox"', Context()),
    ],
)
def test_notation_makes_no_other_value(first: object, second: object, context: Context) -> None:
    assert same_value(first, second, context)
    assert same_value(second, first, context)


@pytest.mark.parametrize(
    ("first", "second", "context"),
    [
        ("1,000", "1,001", Context()),
        ("5 km", "5 kg", Context()),
        ("5 km", "5 miles", Context()),
        ("19 BBY", "19 ABY", Context()),
        ("1998", "May 1998", Context()),
        ("at least 5", "5", Context()),
        ("4 moons", "4 planets", Context()),
        ("T-65B", "T-65C", Context()),
        ("open", "shut", CHOICES),
        (True, False, Context()),
        ("Luke", "Leia", Context()),
        ("", "x", Context()),
        ("9" * 300, "9" * 299 + "8", Context()),
    ],
)
def test_other_values_are_distinguished(first: object, second: object, context: Context) -> None:
    assert not same_value(first, second, context)
    assert not same_value(second, first, context)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_order_of_two_values_does_not_matter(first: str, second: str) -> None:
    assert same_value(first, second) == same_value(second, first)
    assert same_value(first, first)


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_thousands_separators_do_not_change_a_number(number: int) -> None:
    assert same_value(number, f"{number:,}")
    assert not same_value(number, f"{number + 1:,}")
