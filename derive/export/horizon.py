"""How far an incremental export may go without missing a run: numbers are assigned at the claim, answers come later.

It continues by run number where the previous one ended. It may only pass a number whose run has ended, or that will
never be used.
"""

from datetime import datetime, timedelta

from derive.models import Job, Run
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import JobStatus

SETTLING = timedelta(seconds=60)
"""A missing number among runs claimed more recently may be a claim that is not yet committed."""
MAX_RECENT = 100_000


def settled_number(*, after: int) -> int:
    """Return the highest run number, at least ``after``, up to which every run has ended.

    The order of the reads matters: a run claimed after the first of them has a higher number than is returned.
    """
    numbers = _recent(database_now() - SETTLING)
    running = reading(
        lambda: list(
            Run.objects.filter(
                run_id__in=Job.objects.filter(status=JobStatus.RUNNING).values("current_run_id")
            ).values_list("run_seq", flat=True)
        )
    )
    last = numbers[0]
    for number in numbers:
        if number > last + 1:
            break
        last = number
    return max(after, min(last, min(running, default=last + 1) - 1))


def _recent(since: datetime) -> list[int]:
    """Return, in order, a number up to which none is missing any more, and the numbers of all later runs.

    It is that of the last run claimed before the given time; if there is none, all numbers from 1 are recent.
    """
    newest = Run.objects.order_by("-run_seq").values_list("run_seq", "started_utc")

    def query() -> list[int]:
        numbers: list[int] = []
        for number, started in newest[:MAX_RECENT].iterator(chunk_size=1_000):
            numbers.append(number)
            if started < since:
                return numbers[::-1]
        return numbers[::-1] if len(numbers) == MAX_RECENT else [0, *numbers[::-1]]

    return reading(query)
