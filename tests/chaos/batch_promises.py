"""Batches: each has one end and one continuation, and its counts are its jobs', whatever happened to them since."""

from collections import Counter
from uuid import UUID

from tests.chaos.history import History
from tests.chaos.promises import Broken


def every_batch_ended_exactly_once(history: History) -> Broken:
    for batch in history.batches.values():
        ends = history.batch_events_of[batch.batch_id].count("batch_finished")
        if ends != 1 or batch.finished_utc is None:
            yield None, f"batch {batch.name} has {ends} ends, its row says {batch.finished_utc}"


def what_follows_a_batch_was_queued_exactly_once(history: History) -> Broken:
    for batch in history.batches.values():
        times = history.batch_events_of[batch.batch_id].count("batch_continued")
        if times != (batch.on_finish_json is not None):
            yield None, f"what follows batch {batch.name} was queued {times} times"


def a_batchs_counts_are_its_jobs(history: History) -> Broken:
    jobs = Counter((job.batch_id, job.status) for job in history.jobs.values() if job.batch_id is not None)
    counted: Counter[tuple[UUID, str]] = Counter()
    for row in history.batch_counts:
        counted[row.batch_id, row.status] += row.jobs
    for batch in history.batches.values():
        own = sum(amount for (batch_id, _), amount in jobs.items() if batch_id == batch.batch_id)
        if own != batch.queued_jobs:
            yield None, f"batch {batch.name} says that it queued {batch.queued_jobs} jobs, and has {own}"
    for key in sorted(jobs.keys() | counted.keys(), key=str):
        if jobs[key] != counted[key]:
            yield None, f"batch {key[0]} counts {counted[key]} jobs as {key[1]}, and has {jobs[key]}"


BY_SQL = (every_batch_ended_exactly_once, what_follows_a_batch_was_queued_exactly_once, a_batchs_counts_are_its_jobs)
