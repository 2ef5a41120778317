"""The system tasks' schedules, the broker that keeps to the database's clock, and what is told of it all."""

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage

from derive.deadline import Deadline
from derive.models import Run, SchedulerProcess, ScheduleRun, TaskState
from derive.queue import JobQueue
from derive.schedules import maintenance
from derive.schedules.broker import SystemTaskBroker, beat
from derive.schedules.health import scheduler_health
from derive.schedules.heartbeats import heartbeat_age_on
from derive.schedules.installing import install_schedules
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.contract.plans import a_policy, a_recurring
from tests.contract.scenes import claimed, in_state, job_of, pass_time, status_of


@pytest.fixture
def schedules(empty_queue: None) -> Iterator[None]:
    """The system tasks' schedules as they are installed, and an empty broker."""
    Schedule.objects.all().delete()
    OrmQ.objects.all().delete()
    install_schedules()
    yield
    Schedule.objects.all().delete()
    OrmQ.objects.all().delete()
    install_schedules()


def test_the_schedules_are_installed_once_and_keep_what_was_changed(schedules: None) -> None:
    assert Schedule.objects.count() == len(SYSTEM_TASKS)
    Schedule.objects.filter(func=SYSTEM_TASKS["tidy"].func).update(cron="0 5 * * *", repeats=0)
    assert install_schedules() == []
    tidy = Schedule.objects.get(func=SYSTEM_TASKS["tidy"].func)
    assert (tidy.cron, tidy.repeats) == ("0 5 * * *", 0)
    tidy.delete()
    assert install_schedules() == ["tidy"]


def test_a_row_that_a_jumping_clock_left_in_the_far_future_is_repaired(schedules: None) -> None:
    Schedule.objects.update(next_run=timezone.now() + timedelta(days=1400))
    beat(cluster_id="c")
    for schedule in Schedule.objects.filter(cron="* * * * *"):
        assert schedule.next_run <= database_now() + timedelta(minutes=1)
    assert Schedule.objects.get(func=SYSTEM_TASKS["tidy"].func).next_run <= database_now() + timedelta(days=1)


def test_what_is_due_by_the_databases_clock_is_due_for_a_scheduler_whose_clock_is_behind(
    schedules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Schedule.objects.update(next_run=database_now() - timedelta(hours=1))
    behind = timezone.now() - timedelta(days=1)
    monkeypatch.setattr(timezone, "now", lambda: behind)
    beat(cluster_id="c")
    assert all(schedule.next_run < behind for schedule in Schedule.objects.all())


def test_a_heartbeat_leaves_rows_alone_that_are_right(schedules: None) -> None:
    before = list(Schedule.objects.order_by("id").values_list("next_run", flat=True))
    beat(cluster_id="c")
    assert list(Schedule.objects.order_by("id").values_list("next_run", flat=True)) == before


def test_a_row_that_was_written_past_the_admin_is_switched_off_and_stops_no_other(
    schedules: None, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"func": SYSTEM_TASKS["tidy"].func, "schedule_type": "C", "cron": "0 5 * * *"}
    bad: list[dict[str, str]] = [
        {"func": "os.abort"},
        {"args": "not (literal"},
        {"hook": "os.abort"},
        {"cron": "0 0 30 2 *"},
        {"cron": "* * * * * *"},
        {"schedule_type": "I"},
    ]
    # As SQL would: saving one looks at its cron.
    Schedule.objects.bulk_create(Schedule(name=f"bad {n}", **{**good, **values}) for n, values in enumerate(bad))
    beat(cluster_id="c")
    assert set(Schedule.objects.filter(name__startswith="bad").values_list("repeats", flat=True)) == {0}
    assert Schedule.objects.exclude(repeats=0).count() == len(SYSTEM_TASKS)
    assert [one.message for one in caplog.records] == ["schedule.switched_off"] * len(bad)


def test_the_broker_hands_on_system_tasks_and_drops_any_other(schedules: None) -> None:
    broker = SystemTaskBroker(list_key="holocron")
    broker.enqueue(SignedPackage.dumps({"func": "os.system", "args": ("true",)}))
    broker.enqueue("not signed at all")
    broker.enqueue(SignedPackage.dumps({"func": SYSTEM_TASKS["reap"].func, "args": ()}))
    handed_on = [task for _look in range(3) for task in broker.dequeue() or ()]
    assert [SignedPackage.loads(payload)["func"] for _pk, payload in handed_on] == [SYSTEM_TASKS["reap"].func]
    assert OrmQ.objects.count() == 1


def test_all_is_well_when_a_scheduler_lives_and_nothing_is_overdue(schedules: None) -> None:
    beat(cluster_id="c")
    health = scheduler_health()
    assert (health.is_alive, health.problems) == (True, ())


def test_a_scheduler_that_was_never_there_or_is_gone_is_reported(schedules: None) -> None:
    assert scheduler_health().problems == ("no scheduler has ever run: start manage.py qcluster",)
    beat(cluster_id="c")
    SchedulerProcess.objects.update(seen_utc=database_now() - timedelta(days=1))
    Schedule.objects.update(next_run=database_now() - timedelta(days=1))
    health = scheduler_health()
    assert not health.is_alive
    assert health.lag_seconds == pytest.approx(86_400, abs=60)
    assert health.problems[0] == "no scheduler is running: start manage.py qcluster"
    assert health.problems[1].endswith("is overdue by 24 h")


def test_an_overdue_plan_and_a_task_that_failed_are_reported_unless_they_are_off(schedules: None) -> None:
    beat(cluster_id="c")
    a_policy(due_minutes_ago=10)
    plan = a_recurring(due_minutes_ago=-10)
    TaskState.objects.create(name="recurring:daily-facts", failures=1, outcome="failed")
    health = scheduler_health()
    assert health.waits_longest == "retry:nightly"
    assert health.problems == ("retry:nightly is overdue by 10 min", "recurring:daily-facts failed in its last run")
    plan.enabled = False
    plan.save()
    assert scheduler_health().failing == ()


def test_a_schedulers_clock_that_is_wrong_is_reported(schedules: None) -> None:
    beat(cluster_id="c")
    SchedulerProcess.objects.update(skew_seconds=-300)
    assert "-300 s from the database's" in scheduler_health().problems[0]


def test_a_heartbeat_by_a_clock_that_was_put_back_is_no_sign_of_life(schedules: None) -> None:
    beat(cluster_id="c")
    SchedulerProcess.objects.update(seen_utc=database_now() + timedelta(days=900))
    assert not scheduler_health().is_alive
    assert heartbeat_age_on(socket.gethostname()) is None
    maintenance.tidy(Deadline(60))
    assert not SchedulerProcess.objects.exists()
    beat(cluster_id="c")
    assert scheduler_health().is_alive
    assert heartbeat_age_on(socket.gethostname()) == pytest.approx(0, abs=5)


def test_maintenance_reaps_and_promotes(queue: JobQueue) -> None:
    claim = claimed(queue)
    waiting = in_state(queue, JobStatus.SCHEDULED)
    pass_time(2 * 86_400)
    assert SYSTEM_TASKS["reap"].run() == "1 lease had expired"
    assert SYSTEM_TASKS["promote"].run() == "1 job was due"
    assert status_of(claim) == status_of(waiting) == JobStatus.NEW
    assert job_of(claim).error_kind == "lease_expired"


@pytest.mark.parametrize("act", [maintenance.reap, maintenance.promote, maintenance.roll_up, maintenance.verify_sample])
def test_a_system_task_whose_time_is_over_begins_nothing_more(
    queue: JobQueue, act: Callable[[Deadline], TaskResult]
) -> None:
    claimed(queue)
    waiting = in_state(queue, JobStatus.SCHEDULED)
    pass_time(2 * 86_400)
    assert act(Deadline(0)).outcome is TaskOutcome.IDLE
    assert (Run.objects.get().status, status_of(waiting)) == ("RUNNING", JobStatus.SCHEDULED)


def test_maintenance_counts_what_happened_once(queue: JobQueue) -> None:
    in_state(queue, JobStatus.SUCCEEDED)
    assert maintenance.roll_up(Deadline(60)).text == "3 events counted"
    assert maintenance.roll_up(Deadline(60)).outcome is TaskOutcome.IDLE


def test_maintenance_verifies_a_sample(queue: JobQueue) -> None:
    in_state(queue, JobStatus.SUCCEEDED)
    told = maintenance.verify_sample(Deadline(60))
    # The scene's run left no files, which is a fault.
    assert told.outcome is TaskOutcome.FAILED
    assert "in 1 run:" in told.text


def test_a_sample_is_drawn_from_the_runs_there_are_however_high_their_numbers(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SAMPLE_RUNS", 2)
    for _ in range(3):
        in_state(queue, JobStatus.FAILED)
    in_state(queue, JobStatus.RUNNING)
    ended = {run.run_id for run in Run.objects.exclude(status="RUNNING")}
    assert len(set(maintenance._sample())) == 2
    assert set(maintenance._sample()) <= ended


def test_maintenance_forgets_what_is_old(schedules: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "KEPT_RUNS", 2)
    now = database_now()
    TaskState.objects.create(name="t")
    for number in range(5):
        ScheduleRun.objects.create(
            task="t", run_by="h:1", started_utc=now, ended_utc=now, outcome="done", told=str(number)
        )
    for task, age in (("retry:deleted", 31), ("retry:just-deleted", 29)):
        ended = now - timedelta(days=age)
        ScheduleRun.objects.create(
            task=task, run_by="h:1", started_utc=ended, ended_utc=ended, outcome="done", told=task
        )
    SchedulerProcess.objects.create(cluster_id="old", host="h", pid=1, seen_utc=now - timedelta(days=2))
    assert maintenance.tidy(Deadline(60)).text == "5 old rows removed"
    told = ScheduleRun.objects.order_by("id").values_list("told", flat=True)
    assert list(told) == ["3", "4", "retry:just-deleted"]
