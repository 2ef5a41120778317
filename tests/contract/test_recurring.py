"""Recurring interrogations: queued at their times, never twice, never over each other, never lost."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from derive.contracts import JobRef
from derive.deadline import Deadline
from derive.errors import DatabaseUnavailable
from derive.lake import Lake
from derive.models import Batch, Job, JobEvent, RecurringInterrogation, ScheduleRun, TaskState
from derive.queue import JobQueue
from derive.schedules import recurring
from derive.schedules.due import run_due, run_plan
from derive.schedules.recurring import NotQueued, PlanPreview, check_plan, queue_again
from derive.schedules.single_flight import TaskResult
from derive.sql.clock import database_now
from tests.contract.plans import a_recurring
from tests.contract.scenes import at_once
from tests.faults.worker_world import KEY, input_json

ACTOR = "schedule:daily-facts"


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Path:
    settings.LAKE_URL = str(tmp_path)
    (tmp_path / "asks").mkdir()
    return tmp_path


def run_recurring() -> TaskResult:
    return run_due(RecurringInterrogation, queue_again, Deadline(60))


def again(plan: RecurringInterrogation) -> None:
    """Let the next time come, without the pause after a failure."""
    RecurringInterrogation.objects.filter(pk=plan.pk).update(next_utc=database_now() - timedelta(seconds=30))
    TaskState.objects.update(failures=0)


def told() -> str:
    return TaskState.objects.get(name="recurring:daily-facts").told


def end_all(queue: JobQueue) -> None:
    queue.cancel([JobRef(job_id=one) for one in Job.objects.values_list("job_id", flat=True)], actor="ada")


def a_line(**values: object) -> str:
    return json.dumps({"interrogation_key": KEY, "input": json.loads(input_json()), **values})


def test_a_template_is_queued_when_it_is_due_under_the_plans_name(queue: JobQueue) -> None:
    plan = a_recurring(priority=7, model_hint="m", max_attempts=2, entity_id="luke", entity_type="character")
    run_recurring()
    job = Job.objects.get()
    assert (job.interrogation_key, job.created_by, job.priority, job.model_hint) == (KEY, ACTOR, 7, "m")
    assert (job.max_attempts, job.entity_id) == (2, "luke")
    assert job.dedupe_key == f"{ACTOR}:{plan.next_utc:%Y-%m-%dT%H:%MZ}:1"
    assert JobEvent.objects.get(event="enqueued").reason == "recurring interrogation daily-facts"
    plan.refresh_from_db()
    assert plan.next_utc is not None
    assert plan.next_utc > database_now()


def test_each_run_can_be_a_batch_that_has_all_its_jobs(queue: JobQueue, lake: Path) -> None:
    (lake / "asks" / "two.jsonl").write_text(a_line(entity_id="a") + "\n" + a_line(entity_id="b") + "\n")
    template: dict[str, Any] = {"interrogation_key": "", "input_json": "", "as_batch": True}
    plan = a_recurring(lake_path="asks/two.jsonl", due_minutes_ago=90, **template)
    run_recurring()
    batch = Batch.objects.get()
    assert (batch.name, batch.created_by) == (f"daily-facts {plan.next_utc:%Y-%m-%d %H:%M}", ACTOR)
    assert batch.filled_utc is not None
    assert set(Job.objects.values_list("batch_id", flat=True)) == {batch.batch_id}
    end_all(queue)
    again(plan)
    run_recurring()
    assert Batch.objects.count() == 2
    assert Job.objects.filter(batch_id__isnull=True).count() == 0


def test_a_time_is_skipped_and_said_to_be_while_jobs_of_an_earlier_one_have_not_ended(queue: JobQueue) -> None:
    plan = a_recurring()
    run_recurring()
    again(plan)
    run_recurring()
    assert Job.objects.count() == 1
    assert told() == "skipped: 1 of the jobs queued earlier are still live"
    assert ScheduleRun.objects.filter(outcome="skipped").count() == 1
    end_all(queue)
    again(plan)
    run_recurring()
    assert Job.objects.count() == 2


def test_two_schedulers_at_once_queue_a_time_once(queue: JobQueue) -> None:
    a_recurring()
    at_once(*[lambda: run_plan(RecurringInterrogation, "daily-facts", queue_again)] * 4)
    assert Job.objects.count() == 1


def test_the_same_time_retried_after_a_crash_queues_nothing_twice(queue: JobQueue, lake: Path) -> None:
    (lake / "asks" / "two.jsonl").write_text(a_line() + "\n" + a_line(dedupe_key="own") + "\n")
    plan = a_recurring(lake_path="asks/two.jsonl")
    due_utc = plan.next_utc
    assert due_utc is not None
    for _time in range(2):
        plan.refresh_from_db()
        queue_again(plan, due_utc, Deadline(60))
    assert Job.objects.count() == 2
    assert set(Job.objects.values_list("dedupe_key", flat=True)) == {"own", f"{ACTOR}:{due_utc:%Y-%m-%dT%H:%MZ}:1"}


def test_what_a_crash_left_out_is_queued_with_the_next_look(
    queue: JobQueue, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lake / "asks" / "two.jsonl").write_text(a_line() + "\n" + a_line() + "\n")
    plan = a_recurring(lake_path="asks/two.jsonl")

    def half(self: JobQueue, jobs: list[object], **said: str | None) -> object:
        original(self, jobs[:1], **said)  # type: ignore[arg-type]
        raise DatabaseUnavailable("the connection broke")

    original = JobQueue.enqueue_many
    monkeypatch.setattr(JobQueue, "enqueue_many", half)
    run_recurring()
    assert "the connection broke" in told()
    assert Job.objects.count() == 1
    monkeypatch.setattr(JobQueue, "enqueue_many", original)
    TaskState.objects.update(failures=0)
    run_recurring()
    assert Job.objects.count() == 2
    plan.refresh_from_db()
    assert plan.next_utc is not None
    assert plan.next_utc > database_now()


def test_an_interrogation_that_is_gone_is_reported_and_its_time_stays_due(queue: JobQueue) -> None:
    plan = a_recurring(interrogation_key="gone_v1")
    run_recurring()
    assert "there is no interrogation 'gone_v1'" in told()
    before = plan.next_utc
    plan.refresh_from_db()
    assert plan.next_utc == before
    assert TaskState.objects.get(name="recurring:daily-facts").failures == 1
    RecurringInterrogation.objects.filter(pk=plan.pk).update(interrogation_key=KEY)
    TaskState.objects.update(failures=0)
    run_recurring()
    assert Job.objects.count() == 1


def test_one_bad_line_keeps_the_whole_file_out_and_is_named(queue: JobQueue, lake: Path) -> None:
    (lake / "asks" / "bad.jsonl").write_text(a_line() + "\n{\n" + a_line(job_id=str(KEY)) + "\n")
    a_recurring(lake_path="asks/bad.jsonl")
    run_recurring()
    assert not Job.objects.exists()
    assert "line 2: " in told()
    assert "line 3: job_id: leave it out" in told()


def test_a_line_cannot_say_who_queues_it(queue: JobQueue, lake: Path) -> None:
    (lake / "asks" / "one.jsonl").write_text(a_line(actor="somebody else") + "\n")
    a_recurring(lake_path="asks/one.jsonl")
    run_recurring()
    assert Job.objects.get().created_by == ACTOR


@pytest.mark.parametrize(
    "path", ["../outside.jsonl", "/etc/passwd", "asks/../../x.jsonl", "asks\\..\\x", "no/such.jsonl"]
)
def test_a_file_outside_the_lake_or_none_is_reported(queue: JobQueue, lake: Path, path: str) -> None:
    (lake.parent / "outside.jsonl").write_text(a_line())
    a_recurring(lake_path=path)
    run_recurring()
    assert not Job.objects.exists()
    assert TaskState.objects.get(name="recurring:daily-facts").outcome == "failed"


def test_an_empty_file_is_reported(queue: JobQueue, lake: Path) -> None:
    (lake / "asks" / "none.csv").write_text("interrogation_key,input_json\n")
    a_recurring(lake_path="asks/none.csv")
    run_recurring()
    assert "holds no jobs" in told()


@pytest.mark.parametrize("name", ["long.jsonl", "long.csv"])
def test_before_it_runs_no_more_of_a_file_is_read_than_its_head(
    queue: JobQueue, lake: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cut may fall anywhere: within a line, a quoted cell, a letter."""
    monkeypatch.setattr(Lake, "read", None)
    told = '"' + input_json(text="Tala Venn,\nein Fräulein.").replace('"', '""') + '"'
    head, line = (
        ("interrogation_key,input_json\n", f"{KEY},{told}\n") if name.endswith("csv") else ("", a_line() + "\n")
    )
    (lake / "asks" / name).write_text(head + line * 100 + "rubbish\n")
    plan = a_recurring(lake_path=f"asks/{name}")
    size = len(line.encode())
    for cut in (1, size // 2, size - 1):
        monkeypatch.setattr(recurring, "HEAD_BYTES", len(head) + 5 * size + cut)
        assert check_plan(plan) == PlanPreview(5, is_whole=False)
    monkeypatch.setattr(recurring, "HEAD_BYTES", 10)
    assert check_plan(plan) == PlanPreview(0, is_whole=False)


def test_the_whole_file_is_checked_when_it_runs(queue: JobQueue, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = a_line() + "\n"
    (lake / "asks" / "late.jsonl").write_text(line * 9 + "{\n")
    plan = a_recurring(lake_path="asks/late.jsonl")
    monkeypatch.setattr(recurring, "HEAD_BYTES", 3 * len(line))
    assert check_plan(plan) == PlanPreview(2, is_whole=False)
    run_recurring()
    assert not Job.objects.exists()
    assert "line 10: " in told()


def test_a_file_that_is_too_large_to_run_is_refused_by_its_size(
    queue: JobQueue, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "MAX_FILE_BYTES", 10)
    (lake / "asks" / "large.jsonl").write_text(a_line())
    with pytest.raises(NotQueued, match="is larger than 10 bytes"):
        check_plan(a_recurring(lake_path="asks/large.jsonl"))
