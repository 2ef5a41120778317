"""A list walked page by page shows every row that matches, once and in order, wherever its bounds fall."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derive.admin.lists import keyset
from derive.admin.lists.keyset import Condition, Key, Walk, equals, within
from derive.models import JobEvent

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS = ("claimed", "completed", "retried")
ACTORS = ("ada", "bob")
ROWS = 40


@pytest.fixture
def events(db: None) -> list[JobEvent]:
    """Forty events, newest first: three to a moment, kinds and actors in an uneven mix."""
    for number in range(ROWS):
        insert_event(BEGIN + timedelta(seconds=number // 3), EVENTS[number * 7 % 5 % 3], ACTORS[number % 7 % 2])
    return list(JobEvent.objects.order_by("-at_utc", "-event_seq"))


def insert_event(at_utc: datetime, event: str, actor: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, db_user) "
            "VALUES (%s, %s, %s, 'NEW', 'NEW', %s, 'test')",
            [str(uuid4()), keyset.bound(at_utc), event, actor],
        )


def walk_of(*, by_time: bool = False, kinds: tuple[str, ...] = (), actor: str = "", overlap: bool = False) -> Walk:
    arms = tuple((equals("event", kind),) for kind in kinds) or ((),)
    return Walk(
        model=JobEvent,
        sequence="event_seq",
        arms=arms * 2 if overlap else arms,
        rest=(Condition("t.actor = %s", (actor,)),) if actor else (),
        by_time="at_utc" if by_time else None,
        may_overlap=overlap,
    )


def wanted(events: list[JobEvent], *, kinds: tuple[str, ...] = (), actor: str = "") -> list[int]:
    return [one.event_seq for one in events if (not kinds or one.event in kinds) and (not actor or one.actor == actor)]


def downwards(walk: Walk, rows: int) -> Iterator[keyset.Page]:
    page = walk.page(rows=rows)
    yield page
    while page.older is not None:
        page = walk.page(older=page.older, rows=rows)
        yield page


def upwards(walk: Walk, page: keyset.Page, rows: int) -> Iterator[keyset.Page]:
    while page.newer is not None:
        page = walk.page(newer=page.newer, rows=rows)
        yield page


FILTERS = st.fixed_dictionaries(
    {
        "by_time": st.booleans(),
        "kinds": st.sampled_from([(), EVENTS[:1], EVENTS[:2], EVENTS]),
        "actor": st.sampled_from(["", "ada", "bob", "nobody"]),
    }
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=FILTERS, rows=st.integers(1, 12), look_at=st.integers(1, 12), first=st.integers(1, 12))
def test_every_matching_row_is_shown_once_downwards_and_once_upwards(
    events: list[JobEvent], asked: dict[str, object], rows: int, look_at: int, first: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyset, "LOOK_AT", look_at)
        patch.setattr(keyset, "LOOK_AT_FIRST", first)
        walk = walk_of(**asked)  # type: ignore[arg-type]
        matching = wanted(events, kinds=asked["kinds"], actor=asked["actor"])  # type: ignore[arg-type]
        down = list(downwards(walk, rows))
        assert [number for page in down for number in page.sequences] == matching
        up = [down[-1], *upwards(walk, down[-1], rows)]
        # The first page that leads up may begin inside the last one's rows; none is missing and none is shown twice.
        assert [number for page in reversed(up) for number in page.sequences] == matching


@pytest.mark.parametrize("by_time", [False, True])
def test_a_full_list_of_one_page_has_no_neighbours(events: list[JobEvent], by_time: bool) -> None:
    for rows, has_older in ((ROWS, False), (ROWS - 1, True), (ROWS + 1, False)):
        page = walk_of(by_time=by_time).page(rows=rows)
        assert (page.older is not None, page.newer, page.stopped) == (has_older, None, False)
        assert len(page.keys) == min(rows, ROWS)


def test_a_page_ends_where_it_looked_at_enough_rows_and_says_so(
    events: list[JobEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "LOOK_AT", 10)
    monkeypatch.setattr(keyset, "LOOK_AT_FIRST", 4)
    walk = walk_of(actor="nobody")
    page = walk.page(rows=5)
    assert (page.keys, page.stopped) == ((), True)
    # The next page begins below the tenth row.
    assert page.older == str(events[9].event_seq)
    pages = list(downwards(walk, 5))
    assert [one.stopped for one in pages] == [True, True, True, True, False]


@pytest.mark.parametrize("down", [True, False])
def test_a_page_that_is_full_did_not_stop_though_its_next_row_is_the_last_that_was_found(
    events: list[JobEvent], down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "LOOK_AT", 10)
    walked = events if down else events[::-1]
    found = sum(one.actor == "ada" for one in walked[:10])
    walk = walk_of(actor="ada")
    for rows, stopped in ((found - 1, False), (found, True)):
        page = walk.page(rows=rows) if down else walk.page(newer="0", rows=rows)
        assert (len(page.keys), page.stopped) == (rows, stopped)


def test_what_is_common_is_found_without_looking_further(
    events: list[JobEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    judged = Walk._judged

    def watch(self: Walk, cursor: Key | None, rows: int, look_at: int, *, down: bool) -> object:
        asked.append(look_at)
        return judged(self, cursor, rows, look_at, down=down)

    monkeypatch.setattr(Walk, "_judged", watch)
    walk_of(actor="ada").page(rows=2)
    assert asked == [1_000]
    asked.clear()
    monkeypatch.setattr(keyset, "LOOK_AT_FIRST", 3)
    walk_of(actor="nobody").page(rows=2)
    assert asked == [3, 10_000]


def test_a_row_that_lies_in_two_arms_is_shown_and_counted_once(events: list[JobEvent]) -> None:
    walk = walk_of(kinds=EVENTS[:2], overlap=True)
    matching = wanted(events, kinds=EVENTS[:2])
    assert [number for page in downwards(walk, 7) for number in page.sequences] == matching
    assert walk.count() == (len(matching), True)


@pytest.mark.parametrize("actor", ["", "ada"])
def test_a_count_is_exact_up_to_its_bound_and_says_when_it_is_not(
    events: list[JobEvent], actor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = len(wanted(events, actor=actor))
    walk = walk_of(actor=actor)
    for bound, counted in (
        (exact + 1, (exact, True)),
        (exact, (exact, True)),
        (exact - 1, (exact - 1, False)),
    ):
        monkeypatch.setattr(keyset, "COUNT_TO", bound)
        assert walk.count() == counted


def test_a_count_that_looked_at_enough_rows_is_a_lower_bound(
    events: list[JobEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    among_twenty = sum(one.actor == "ada" for one in events[:20])
    for look_at, counted in (
        (20, (among_twenty, False)),
        (ROWS, (len(wanted(events, actor="ada")), False)),
        (ROWS + 1, (len(wanted(events, actor="ada")), True)),
    ):
        monkeypatch.setattr(keyset, "COUNT_LOOK_AT", look_at)
        assert walk_of(actor="ada").count() == counted


def test_bounds_as_they_stand() -> None:
    bounds = (keyset.PAGE_ROWS, keyset.LOOK_AT, keyset.LOOK_AT_FIRST, keyset.COUNT_TO, keyset.COUNT_LOOK_AT)
    assert bounds == (50, 10_000, 1_000, 10_000, 100_000)


def test_nothing_is_asked_where_no_arm_can_match(events: list[JobEvent]) -> None:
    walk = Walk(model=JobEvent, sequence="event_seq", arms=())
    page = walk.page()
    assert (page.keys, page.older, page.newer, page.stopped, walk.count(), walk.start()) == (
        (),
        None,
        None,
        False,
        (0, True),
        "",
    )


@pytest.mark.parametrize("by_time", [False, True])
def test_batches_hold_every_row_that_was_there_at_the_start(events: list[JobEvent], by_time: bool) -> None:
    walk = walk_of(by_time=by_time)
    start = walk.start()
    insert_event(events[0].at_utc + timedelta(seconds=1), "claimed", "ada")
    late = JobEvent.objects.order_by("event_seq").last()
    assert late is not None
    batches = list(walk.batches(rows=9, start=start))
    assert [len(page.keys) for page in batches] == [9, 9, 9, 9, 4]
    shown = [number for page in batches for number in page.sequences]
    assert shown == [one.event_seq for one in events]
    assert late.event_seq not in shown
    assert walk.page(rows=1).sequences == [late.event_seq]


def test_a_range_of_time_holds_its_beginning_and_not_its_end(events: list[JobEvent]) -> None:
    since, until = BEGIN + timedelta(seconds=3), BEGIN + timedelta(seconds=6)
    walk = Walk(model=JobEvent, sequence="event_seq", arms=(within("at_utc", since=since, until=until),))
    matching = [one.event_seq for one in events if since <= one.at_utc < until]
    assert len(matching) == 9
    assert walk.page().sequences == matching
    assert within("at_utc") == ()
    assert len(within("at_utc", since=since)) == len(within("at_utc", until=until)) == 1


def test_a_range_may_be_of_numbers(events: list[JobEvent]) -> None:
    numbers = sorted(one.event_seq for one in events)
    arm = within("event_seq", since=numbers[2], until=numbers[4])
    assert Walk(model=JobEvent, sequence="event_seq", arms=(arm,)).page().sequences == [numbers[3], numbers[2]]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "-1", "1.5", "१२", "9" * 19, "20260301T120000.000000~5", "5~"],
)
def test_a_cursor_that_is_none_of_this_list_leads_to_the_first_page(events: list[JobEvent], cursor: str) -> None:
    walk = walk_of()
    first = walk.page(rows=3)
    assert walk.page(older=cursor, rows=3) == first
    assert walk.page(newer=cursor, rows=3) == first


@pytest.mark.parametrize("cursor", ["5", "yesterday~5", "20260399T120000.000000~5", "20260301T120000.000000~x"])
def test_a_cursor_by_time_needs_a_moment_and_a_number(events: list[JobEvent], cursor: str) -> None:
    walk = walk_of(by_time=True)
    assert walk.page(older=cursor, rows=3) == walk.page(rows=3)


def test_below_the_first_number_a_page_leads_back_to_it(events: list[JobEvent]) -> None:
    assert [walk_of().page(older=cursor, rows=3).newer for cursor in ("0", "1")] == ["0", "0"]


@pytest.mark.parametrize("moment", [BEGIN, BEGIN.replace(tzinfo=None), BEGIN.astimezone(timezone(timedelta(hours=2)))])
def test_a_cursor_tells_its_moment_in_utc_which_is_what_a_driver_without_zones_means(moment: datetime) -> None:
    assert walk_of(by_time=True)._write((moment, 5)) == "20260301T120000.000000~5"


def test_the_longest_number_is_a_cursor(events: list[JobEvent]) -> None:
    page = walk_of().page(older="9" * 18, rows=3)
    assert page.sequences == [one.event_seq for one in events[:3]]
    assert page.newer is not None


@pytest.mark.parametrize("by_time", [False, True])
def test_an_empty_page_leads_back_to_the_row_it_was_reached_from(events: list[JobEvent], by_time: bool) -> None:
    walk = walk_of(by_time=by_time)
    whole = walk.page()
    below = walk.page(older=walk._write(whole.keys[-1]), rows=3)
    assert (below.keys, below.older) == ((), None)
    assert walk.page(newer=below.newer, rows=3).sequences == [one.event_seq for one in events[-3:]]
    above = walk.page(newer=walk._write(whole.keys[0]), rows=3)
    assert (above.keys, above.newer) == ((), None)
    assert walk.page(older=above.older, rows=3).sequences == [one.event_seq for one in events[:3]]
