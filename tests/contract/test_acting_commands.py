"""``requeue_jobs``, ``cancel_jobs``, ``set_priority``, ``hold_jobs``: the admin's actions and filters, by command."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from derive.admin.jobs.filters import JobFilter
from derive.errors import ErrorKind
from derive.management.job_options import FILTERS
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, a_job, claim_one, failure, in_state, queued, status_of

WHY = ("--reason", "the model is back", "--actor", "mira")


def run(command: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command; return its exit code and its JSON."""
    said = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command(command, *arguments, "--json", stdout=said, stderr=io.StringIO())
    return int(end.value.code or 0), json.loads(said.getvalue())


def test_the_options_are_the_lists_filters() -> None:
    assert {name for name, _metavar, _help in FILTERS.values()} == set(JobFilter.base_fields)


def test_a_dry_run_counts_what_the_command_changes_and_changes_nothing(queue: JobQueue) -> None:
    for status in JobStatus:
        in_state(queue, status)
    before = sorted(Job.objects.values_list("job_id", "status"))
    code, counted = run("requeue_jobs", "--all", "--dry-run")
    assert (code, sorted(Job.objects.values_list("job_id", "status"))) == (0, before)
    code, done = run("requeue_jobs", "--all", *WHY)
    assert code == 0
    assert {**counted, "dry_run": False} == done
    assert (done["matched"], done["changed"]) == (len(JobStatus), 3)
    assert sum(done["skipped"].values()) == 5
    events = JobEvent.objects.filter(event="requeued")
    assert {(event.actor, event.reason) for event in events} == {("mira", WHY[1])}


def test_filters_are_combined_and_may_be_the_lists_own_query(queue: JobQueue) -> None:
    for kind, entity in (
        (ErrorKind.MODEL_CRASHED, "a"),
        (ErrorKind.INVALID_INPUT, "a"),
        (ErrorKind.MODEL_CRASHED, "b"),
    ):
        queued(queue, entity_id=entity, max_attempts=1)
        queue.complete(failure(claim_one(queue), error_kind=kind, retry_after_seconds=0))
    for options in (
        ("--error-kind", "model_crashed", "--entity", "a", "--ended-since", "24h"),
        ("--filter", "error_kind=model_crashed&ended=24h", "--entity", "a"),
        ("--filter", "entity=a", "--error-kind", "model_crashed"),
    ):
        assert run("requeue_jobs", *options, "--dry-run")[1]["matched"] == 1
    named = str(Job.objects.get(entity_id="b").job_id)
    assert run("requeue_jobs", "--job", named, "--dry-run")[1]["matched"] == 1
    assert run("requeue_jobs", "--job", named, "--entity", "a", "--dry-run")[1]["matched"] == 0


def test_many_jobs_are_changed_in_batches(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derive.management.acting.CHANGE_BATCH", 2)
    queue.enqueue_many([a_job(priority=n) for n in range(7)], actor=ACTOR)
    assert run("set_priority", "300", "--status", "NEW", *WHY)[1]["changed"] == 7
    assert set(Job.objects.values_list("priority", flat=True)) == {300}


def test_each_command_performs_its_action(queue: JobQueue) -> None:
    job = queued(queue)
    one = ("--job", str(job.job_id))
    assert run("hold_jobs", *one, *WHY)[1]["changed"] == 1
    assert run("hold_jobs", *one, *WHY)[1]["skipped"] == {"NEW": 1}
    assert Job.objects.get().hold_utc is not None
    assert run("hold_jobs", *one, "--end", *WHY)[1]["changed"] == 1
    assert run("cancel_jobs", *one, *WHY)[1]["changed"] == 1
    assert status_of(job) is JobStatus.CANCELLED
    assert run("requeue_jobs", *one, "--at", "2199-01-31T02:00", *WHY)[1]["changed"] == 1
    assert status_of(job) is JobStatus.SCHEDULED


def test_what_the_database_refuses_is_reported_and_is_exit_code_one(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = in_state(queue, JobStatus.FAILED)
    requeue = JobQueue.requeue

    def late(own: JobQueue, refs: Any, **values: Any) -> Any:
        requeue(own, refs, actor="somebody", reason="first")
        return requeue(own, refs, **values)

    monkeypatch.setattr(JobQueue, "requeue", late)
    code, report = run("requeue_jobs", "--job", str(job.job_id), *WHY)
    assert (code, report["changed"], sum(report["refused"].values())) == (1, 0, 1)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("cancel_jobs", *WHY), "say which jobs, or --all"),
        (("cancel_jobs", "--all"), "Give a reason"),
        (("cancel_jobs", "--status", "BOGUS", *WHY), "State is not one of"),
        (("cancel_jobs", "--queued-since", "soon", *WHY), "is not a time"),
        (("cancel_jobs", "--filter", "stauts=NEW", *WHY), "there is no filter 'stauts'"),
        (("set_priority", "high", "--all", *WHY), "Write a priority"),
        (("requeue_jobs", "--all", "--at", "soon", *WHY), "Write a time"),
        (("cancel_jobs", "--job", "x", *WHY), "is not a job id"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(queue: JobQueue, command: tuple[str, ...], says: str) -> None:
    job = queued(queue)
    with pytest.raises(CommandError, match=says) as error:
        call_command(*command)
    assert error.value.returncode in {1, 2}
    assert status_of(job) is JobStatus.NEW


def test_the_report_is_a_line_for_people(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    in_state(queue, JobStatus.SUCCEEDED)
    in_state(queue, JobStatus.FAILED)
    with pytest.raises(SystemExit):
        call_command("requeue_jobs", "--all", *WHY)
    assert capsys.readouterr().out == "requeue: changed 1 of 2 matching jobs; 1 SUCCEEDED skipped\n"
