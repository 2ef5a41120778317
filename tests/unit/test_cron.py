"""Cron expressions: read strictly, said in words, and their next times."""

from datetime import UTC, datetime
from typing import Any

import pytest

from derive.cron import BadCron, Cron
from derive.schedules.system_tasks import SYSTEM_TASKS

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 2 * * *", "At 02:00"),
        ("* * * * *", "Every minute"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("*/15 8-17 * * mon-fri", "Every 15 minutes, between 08:00 and 17:59, Monday through Friday"),
    ],
)
def test_an_expression_is_described_in_words(text: str, words: str) -> None:
    assert Cron.read(text).words == words


def test_blanks_between_the_fields_are_of_no_account() -> None:
    assert Cron.read("  0   2 * * * ") == Cron.read("0 2 * * *")


def test_the_next_times_follow_each_other_in_utc() -> None:
    times = Cron.read("0 2 * * *").next_times(NOON, 3)
    assert times == [datetime(2026, 2, day, 2, 0, tzinfo=UTC) for day in (1, 2, 3)]


def test_a_time_itself_is_not_after_itself() -> None:
    assert Cron.read("0 12 * * *").after(NOON) == datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 0 30 2 *", "never runs"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("* * * * * *", "seconds"),
        ("0 0 2 * * * 2030", "seconds"),
        ("@daily", "0 0 \\* \\* \\*"),
        ("0 2 * *", "five fields"),
        ("", "five fields"),
        ("61 * * * *", "not a cron expression"),
        ("5/0 * * * *", "not a cron expression"),
        ("0 2 * * someday", "numbers, names"),
        ("0 2 * * abc", "not a cron expression"),
        ("H H * * *", "numbers, names"),
        ("0 0 * * L5", "numbers, names"),
        ("0 2 * * ;", "numbers, names"),
        ("0 2 * * \u0661", "numbers, names"),
        ("0 " + "1," * 60 + "2 * * *", "five fields"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(BadCron, match=why):
        Cron.read(text)


def test_every_system_task_has_a_time_that_fires_and_a_function() -> None:
    from derive.schedules import tasks

    for task in SYSTEM_TASKS.values():
        assert Cron.read(task.cron).words
        assert callable(getattr(tasks, task.name))
        assert task.func == f"{tasks.__name__}.{task.name}"


def test_no_system_task_may_run_for_longer_than_the_cluster_lets_it() -> None:
    from django.conf import settings

    cluster: dict[str, Any] = settings.Q_CLUSTER
    assert max(task.seconds for task in SYSTEM_TASKS.values()) < cluster["timeout"] < cluster["retry"]
    assert cluster["max_attempts"] >= 1
    assert not cluster["catch_up"]
