"""Plans that are due, as the tests of schedules make them."""

from datetime import timedelta
from typing import Any

from derive.models import RecurringInterrogation, RetryPolicy
from derive.sql.clock import database_now
from tests.faults.worker_world import KEY, input_json


def a_policy(name: str = "nightly", *, due_minutes_ago: float = 1, **values: Any) -> RetryPolicy:
    """A policy for everything that failed or was dead-lettered."""
    now = database_now()
    given = {"cron": "0 2 * * *", "statuses": "FAILED\nDEADLETTER", "changed_by": "ada", "changed_utc": now, **values}
    return RetryPolicy.objects.create(name=name, next_utc=now - timedelta(minutes=due_minutes_ago), **given)


def a_recurring(name: str = "daily-facts", *, due_minutes_ago: float = 1, **values: Any) -> RecurringInterrogation:
    """A template of one good job."""
    now = database_now()
    given: dict[str, Any] = {
        "cron": "0 2 * * *",
        "interrogation_key": KEY,
        "input_json": input_json(),
        "changed_by": "ada",
    }
    given |= {"changed_utc": now, "next_utc": now - timedelta(minutes=due_minutes_ago), **values}
    return RecurringInterrogation.objects.create(name=name, **given)
