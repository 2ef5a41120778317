"""Percentiles, axes and paths of the dashboard's charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.admin.dashboard.charts import TIME_MARKS
from derive.admin.display.charts import HEIGHT, LogScale, dots_of, nice_maximum, path_of, stack
from derive.admin.display.percentiles import LONGEST_MS, percentile
from derive.admin.display.units import rate
from derive.sql.totals import BOUNDS_MS, ENDLESS_MS

BUCKETS_MS = (0, *BOUNDS_MS, ENDLESS_MS)


@given(st.floats(0, 1e12))
def test_an_axis_ends_at_a_round_number_that_is_not_less_and_not_far(value: float) -> None:
    assert value <= nice_maximum(value) <= max(1.0, 2.5 * value)


@given(st.dictionaries(st.sampled_from(BUCKETS_MS[1:]), st.integers(1, 1000), min_size=1), st.floats(0.01, 0.99))
def test_a_percentile_is_in_the_bucket_of_its_share(buckets: dict[int, int], share: float) -> None:
    found = percentile(buckets, share)
    assert found is not None
    total = sum(buckets.values())
    below = sum(amount for upper, amount in buckets.items() if upper < found)
    up_to = sum(amount for upper, amount in buckets.items() if BUCKETS_MS[BUCKETS_MS.index(upper) - 1] < found)
    assert found <= LONGEST_MS
    assert below <= share * total + 1e-6 or found == LONGEST_MS
    assert up_to >= share * total - 1e-6 or found == LONGEST_MS


def test_percentiles_are_evenly_spread_within_a_bucket() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({200: 10}, 0.5) == 150
    assert percentile({100: 50, 200: 50}, 0.95) == 190
    assert percentile({1_000_000_000: 3}, 0.5) == LONGEST_MS


def test_the_buckets_are_those_that_the_procedure_writes() -> None:
    from derive.sql.scripts import PROCEDURES, read_script
    from derive.sql.tables import Engine

    for engine in Engine:
        text = read_script(engine, f"{PROCEDURES}/usp_roll_up_hours.sql").text
        assert all(str(bound) in text for bound in BUCKETS_MS[1:]), engine


def test_a_line_breaks_where_nothing_is_known_and_lone_points_are_dots() -> None:
    values = [10.0, 20.0, None, 30.0, None]
    assert path_of(values) == "M0.5 90.00L1.5 80.00M3.5 70.00"
    assert dots_of(values) == "M3.5 70.00h0"
    assert path_of([]) == dots_of([]) == ""


def test_the_segments_of_a_bar_are_stacked() -> None:
    lower, upper = stack((("a", 1), ("none", 0), ("b", 3)), maximum=8)
    assert (lower.name, lower.y + lower.height) == ("a", HEIGHT)
    assert (upper.name, upper.y + upper.height) == ("b", lower.y)


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=5))
def test_a_log_axis_holds_every_value(values: list[float]) -> None:
    scale = LogScale.around(values, TIME_MARKS)
    assert len(scale.marks) >= 2
    assert all(0 <= scale.percent(value) <= 100 for value in values)
    assert (scale.ticks()[0].percent, scale.ticks()[-1].percent) == (0, 100)


@pytest.mark.parametrize(("values", "ends"), [([15_000.0], ("10 s", "1 min")), ([50.0, 2_000.0], ("10 ms", "10 s"))])
def test_a_log_axis_is_no_longer_than_it_must_be(values: list[float], ends: tuple[str, str]) -> None:
    ticks = LogScale.around(values, TIME_MARKS).ticks()
    assert (ticks[0].label, ticks[-1].label) == ends


@pytest.mark.parametrize(
    ("speed", "text"), [(0, "0"), (0.256, "0.26"), (9.96, "10"), (87.4, "87"), (2094.7, "2\u202f095")]
)
def test_a_speed_is_written_out_whatever_its_size(speed: float, text: str) -> None:
    assert rate(speed) == text
