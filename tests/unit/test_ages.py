"""Ages as commands take them."""

from argparse import ArgumentTypeError
from datetime import timedelta

import pytest

from derive.management.ages import age
from derive.management.commands.verify_audit import _head


def test_an_age_is_a_number_and_a_unit() -> None:
    assert [age(text) for text in ("0s", "90m", "12h", "30d", "2w")] == [
        timedelta(0),
        *(timedelta(minutes=90), timedelta(hours=12), timedelta(days=30), timedelta(weeks=2)),
    ]


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y", "30 d", "9999999d", "1d2h"])
def test_what_is_no_age_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="like 12h, 30d, 2w"):
        age(text)


@pytest.mark.parametrize("text", ["", "42", "42:abc", "x:" + "a" * 64, "42:" + "A" * 64])
def test_what_is_no_head_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="as seal_audit prints it"):
        _head(text)


def test_a_head_is_a_seals_number_and_its_sha256() -> None:
    assert _head("42:" + "a" * 64) == (42, "a" * 64)
