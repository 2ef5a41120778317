"""Worlds that pages are seldom tried in: with nothing, with one thing, and with what has come to an end."""

from collections.abc import Callable
from datetime import UTC, datetime

from django_q.models import Schedule

from derive.admin.lists.suggestions import registry
from derive.contracts import WorkerFacts
from derive.errors import ErrorKind
from derive.models import EscalationPolicy, RecurringInterrogation, RetentionPolicy, RetryPolicy, ScheduleRun
from derive.queue import JobQueue
from derive.schedules.installing import install_schedules
from derive.sql.clock import database_now
from tests.contract.plans import a_policy, a_recurring
from tests.contract.scenes import claim_one, failure, queued

LONG_ERROR = "the answer is no JSON object: " + "unexpected-" * 40


def nothing() -> None:
    """Make nothing: what is there the day after the installation."""
    Schedule.objects.all().delete()


def one_thing() -> None:
    """Make one job, which failed with much to say."""
    queue = JobQueue()
    queued(queue, entity_id="the-longest-name-" * 8, entity_type="character", max_attempts=1)
    queue.complete(failure(claim_one(queue), error=LONG_ERROR, error_kind=ErrorKind.INVALID_OUTPUT))


def a_definition_without_runs() -> None:
    """Register what no worker was asked yet."""
    own = registry().get("sw_entity_facts_v1").definition
    JobQueue().register(
        definition_sha256=own.definition_sha256,
        interrogation_key=own.interrogation_key,
        version=own.version,
        prompt_template=own.prompt_template,
        output_schema_json=own.canonical_schema_json,
        rubric=own.rubric,
    )


def a_stopped_worker() -> None:
    """Leave the last heartbeat of a worker that was stopped."""
    facts = WorkerFacts(host="h", pid=7, version="1", started_utc=datetime.now(UTC), concurrency=2, stopping=True)
    JobQueue().heartbeat("worker-1", [], facts=facts)


def an_ended_schedule() -> None:
    """Let no plan and no schedule have a next time."""
    now = database_now()
    a_policy()
    a_recurring()
    EscalationPolicy.objects.create(name="aged", cron="* * * * *", changed_by="ada", changed_utc=now)
    RetentionPolicy.objects.create(name="never", cron="0 3 * * *", changed_by="ada", changed_utc=now)
    for plans in (RetryPolicy, RecurringInterrogation, EscalationPolicy, RetentionPolicy):
        plans.objects.update(enabled=False, next_utc=None)
    install_schedules()
    Schedule.objects.update(repeats=0, next_run=None)
    ScheduleRun.objects.create(task="retry:gone", run_by="q", started_utc=now, ended_utc=now, outcome="done", told="")


WORLDS: dict[str, Callable[[], None]] = {
    "nothing": nothing,
    "one thing": one_thing,
    "a definition without runs": a_definition_without_runs,
    "a stopped worker": a_stopped_worker,
    "an ended schedule": an_ended_schedule,
}
