"""Ages, moments and heads as commands take them."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from derive.management.acting import _chosen
from derive.management.commands.verify_audit import _head
from derive.management.job_options import FILTERS
from derive.management.times import age, moment


def test_an_age_is_a_number_and_a_unit() -> None:
    assert [age(text) for text in ("0s", "90m", "12h", "30d", "2w")] == [
        timedelta(0),
        *(timedelta(minutes=90), timedelta(hours=12), timedelta(days=30), timedelta(weeks=2)),
    ]


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y", "30 d", "9999999d", "1d2h"])
def test_what_is_no_age_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="like 12h, 30d, 2w"):
        age(text)


def test_a_moment_is_in_utc_where_it_names_no_zone() -> None:
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)


def test_an_age_is_a_moment_so_long_ago() -> None:
    before = datetime.now(UTC)
    assert before <= moment("7d") + timedelta(days=7) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "-1d", "999999w", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_moment_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="or an age like 24h or 7d"):
        moment(text)


def test_filters_of_commands_are_in_utc_where_they_name_no_zone() -> None:
    nothing = dict.fromkeys((option.replace("-", "_") for option in FILTERS), None)
    given: dict[str, object] = {**nothing, "job": [], "all": False, "filter": "ended=2026-01-31T12:00&view=7"}
    given["queued_since"] = "2026-01-31T12:00"
    given["queued_before"] = "2026-01-31T12:00+02:00"
    with timezone.override("Asia/Tokyo"):
        chosen = _chosen(given)
    assert chosen.values["created"] == chosen.values["ended"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert chosen.values["created_until"] == datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "42", "42:abc", "x:" + "a" * 64, "42:" + "A" * 64])
def test_what_is_no_head_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="as seal_audit prints it"):
        _head(text)


def test_a_head_is_a_seals_number_and_its_sha256() -> None:
    assert _head("42:" + "a" * 64) == (42, "a" * 64)
