"""Alert rules: an alert fires once when its condition begins, repeats if asked to, and says when it is over."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from derive.alerts import evaluation, measuring
from derive.alerts.checking import KEPT_DAYS, check_alerts, forget_old_alerts
from derive.alerts.delivering import write_test
from derive.alerts.evaluation import MAX_OPEN, end_alert, evaluate_rules
from derive.alerts.measuring import AlertFinding, RuleFindings, measure
from derive.alerts.verifications import HISTORY, RUNS, record_verification
from derive.contracts import WorkerFacts
from derive.deadline import NO_DEADLINE
from derive.models import Alert, AlertMessage, AlertRule, TaskState, VerificationResult
from derive.models.alerts import AlertKind, AlertState
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome
from derive.sql.alert_counts import count_dead_letters, oldest_ready_utc
from derive.sql.clock import database_now
from derive.states import EndpointState, JobStatus
from tests.contract.scenes import WORKER, in_state, pass_time, queued
from tests.contract.test_endpoints import beat, endpoint

MINUTE = timedelta(minutes=1)
HOSTILE = 'x\r\nBcc: y\u202e"{}\u2028'


@pytest.fixture(autouse=True)
def no_rules(queue: JobQueue) -> None:
    """Begin without the rules that migrate makes."""
    AlertRule.objects.all().delete()


def a_rule(kind: AlertKind, **values: Any) -> AlertRule:
    known = {"name": kind.value.replace("_", "-"), "kind": kind, "changed_by": "ada", "changed_utc": database_now()}
    return AlertRule.objects.create(**{**known, **values})


def evaluate(now: datetime | None = None) -> list[str]:
    """Check all rules once; return the messages that this wrote, as ``event: summary``."""
    known = set(AlertMessage.objects.values_list("pk", flat=True))
    evaluate_rules(now or database_now())
    written = AlertMessage.objects.exclude(pk__in=known).order_by("at_utc", "summary")
    return [f"{one.event}: {one.summary}" for one in written]


def states() -> list[tuple[str, str]]:
    return list(Alert.objects.order_by("id").values_list("subject", "state"))


def age_alerts(by: timedelta) -> None:
    for alert in Alert.objects.all():
        alert.began_utc -= by
        alert.said_utc = alert.said_utc and alert.said_utc - by
        alert.save()


def test_dead_letters_fire_once_and_are_over_when_there_are_fewer(queue: JobQueue) -> None:
    a_rule(AlertKind.DEAD_LETTERS, count=1, minutes=15)
    in_state(queue, JobStatus.DEADLETTER)
    assert evaluate() == []
    in_state(queue, JobStatus.DEADLETTER)
    assert evaluate() == ["fired: 2 jobs became dead letters within 15 minutes"]
    in_state(queue, JobStatus.DEADLETTER)
    assert evaluate() == []
    assert Alert.objects.get().summary == "3 jobs became dead letters within 15 minutes"
    pass_time(15 * 60 + 1)
    (said,) = evaluate()
    assert said.startswith("resolved: 3 jobs became dead letters within 15 minutes (there ")
    assert states() == [("", AlertState.RESOLVED)]
    assert evaluate() == []


def test_dead_letters_of_one_interrogation_are_counted_alone(queue: JobQueue) -> None:
    a_rule(AlertKind.DEAD_LETTERS, count=0, minutes=15, interrogation_key="other")
    in_state(queue, JobStatus.DEADLETTER)
    assert evaluate() == []
    in_state(queue, JobStatus.DEADLETTER, interrogation_key="other")
    assert evaluate() == ["fired: 1 job of other became dead letters within 15 minutes"]


def test_the_oldest_wait_fires_for_ready_jobs_alone(queue: JobQueue) -> None:
    a_rule(AlertKind.OLDEST_WAIT, minutes=60)
    in_state(queue, JobStatus.SCHEDULED)
    in_state(queue, JobStatus.FAILED)
    pass_time(2 * 86_400)
    # The delayed job is not ready yet: nobody promoted it.
    assert evaluate() == []
    queued(queue, priority=5)
    pass_time(3_500)
    queued(queue, priority=900)
    assert evaluate() == []
    pass_time(101)
    (said,) = evaluate()
    assert said.startswith("fired: a job is ready since ")
    queue.claim(WORKER, max_jobs=9)
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_the_wait_of_one_interrogation_is_its_own(queue: JobQueue) -> None:
    a_rule(AlertKind.OLDEST_WAIT, minutes=60, interrogation_key="other")
    queued(queue)
    pass_time(3_601)
    assert evaluate() == []
    queued(queue, interrogation_key="other")
    pass_time(3_601)
    assert len(evaluate()) == 1


def test_a_worker_that_died_fires_and_one_that_stopped_does_not(queue: JobQueue) -> None:
    a_rule(AlertKind.WORKER_GONE, minutes=5)
    started = database_now()
    dead = WorkerFacts(host="h", pid=1, version="1", started_utc=started, concurrency=1)
    queue.heartbeat("dead", [], facts=dead)
    queue.heartbeat("stopped", [], facts=dead.model_copy(update={"stopping": True}))
    assert evaluate() == []
    assert evaluate(database_now() + 4 * MINUTE) == []
    (said,) = evaluate(database_now() + 6 * MINUTE)
    assert said.startswith("fired: worker dead was last seen at ")
    queue.heartbeat("dead", [], facts=dead)
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_a_worker_that_was_replaced_on_its_host_is_not_missed(queue: JobQueue) -> None:
    a_rule(AlertKind.WORKER_GONE, minutes=5)
    started = database_now()
    queue.heartbeat("h:1", [], facts=WorkerFacts(host="h", pid=1, version="1", started_utc=started, concurrency=1))
    pass_time(360)
    elsewhere = WorkerFacts(host="i", pid=2, version="1", started_utc=database_now(), concurrency=1)
    queue.heartbeat("i:2", [], facts=elsewhere)
    assert len(evaluate()) == 1
    queue.heartbeat("h:2", [], facts=elsewhere.model_copy(update={"host": "h"}))
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_a_worker_that_is_gone_for_a_day_is_history(queue: JobQueue) -> None:
    a_rule(AlertKind.WORKER_GONE, minutes=5)
    queue.heartbeat("dead", [])
    assert evaluate(database_now() + timedelta(days=1, minutes=1)) == []


def test_a_model_server_fires_only_after_it_was_down_for_so_long(queue: JobQueue) -> None:
    a_rule(AlertKind.ENDPOINT_DOWN, minutes=10)
    beat(queue, endpoint("gpu-1", state=EndpointState.DOWN), endpoint("gpu-2"))
    assert evaluate() == []
    assert states() == [("gpu-1", AlertState.PENDING)]
    age_alerts(9 * MINUTE)
    assert evaluate() == []
    age_alerts(MINUTE)
    assert evaluate() == ["fired: no worker reaches the model server gpu-1"]
    assert evaluate() == []
    beat(queue, endpoint("gpu-1"), endpoint("gpu-2"))
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_a_model_server_that_came_back_in_time_was_never_an_alert(queue: JobQueue) -> None:
    a_rule(AlertKind.ENDPOINT_DOWN, minutes=10)
    beat(queue, endpoint(state=EndpointState.PAUSED))
    evaluate()
    beat(queue, endpoint())
    assert evaluate() == []
    assert not Alert.objects.exists()


def test_a_model_server_is_up_while_one_worker_reaches_it(queue: JobQueue) -> None:
    a_rule(AlertKind.ENDPOINT_DOWN, minutes=1)
    beat(queue, endpoint(state=EndpointState.DOWN))
    beat(queue, endpoint(), worker="another")
    evaluate()
    assert not Alert.objects.exists()


def test_a_task_that_keeps_failing_fires_under_its_title(queue: JobQueue) -> None:
    a_rule(AlertKind.TASK_FAILING, count=2)
    TaskState.objects.create(name="seal", failures=2)
    TaskState.objects.create(name="alerts", failures=9)
    TaskState.objects.create(name="retry:a-deleted-plan", failures=9)
    assert evaluate() == []
    TaskState.objects.filter(name="seal").update(failures=3)
    assert evaluate() == ["fired: the scheduler's task Seal the history failed 3 times in a row"]
    TaskState.objects.filter(name="seal").update(failures=0)
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_a_verification_that_found_something_fires_until_a_whole_one_finds_nothing(queue: JobQueue) -> None:
    a_rule(AlertKind.VERIFICATION)
    record_verification(RUNS, findings=0, is_whole=False)
    assert evaluate() == []
    record_verification(RUNS, findings=3, is_whole=False)
    record_verification(HISTORY, findings=0, is_whole=True)
    (said,) = evaluate()
    assert said.startswith("fired: a verification of past runs found 3 faults at ")
    record_verification(RUNS, findings=0, is_whole=False)
    assert evaluate() == []
    record_verification(RUNS, findings=0, is_whole=True)
    assert [one.partition(":")[0] for one in evaluate()] == ["resolved"]


def test_what_somebody_closed_fires_again_only_for_something_new(queue: JobQueue) -> None:
    a_rule(AlertKind.VERIFICATION)
    record_verification(HISTORY, findings=1, is_whole=True)
    evaluate()
    end_alert(Alert.objects.get(), "closed by ada", database_now(), by="ada")
    assert evaluate() == []
    record_verification(HISTORY, findings=2, is_whole=True)
    assert [one.partition(":")[0] for one in evaluate()] == ["fired"]


def test_an_alert_repeats_after_the_chosen_time_and_not_without_one(queue: JobQueue) -> None:
    a_rule(AlertKind.VERIFICATION, repeat_minutes=60)
    a_rule(AlertKind.VERIFICATION, name="once")
    record_verification(RUNS, findings=1, is_whole=True)
    assert len(evaluate()) == 2
    age_alerts(59 * MINUTE)
    assert evaluate() == []
    age_alerts(MINUTE)
    assert [one.partition(":")[0] for one in evaluate()] == ["repeated"]
    assert AlertMessage.objects.filter(event="repeated").values_list("alert__rule_name", flat=True)[0] == "verification"
    assert evaluate() == []


def test_a_clock_that_was_put_back_silences_nothing(queue: JobQueue) -> None:
    a_rule(AlertKind.ENDPOINT_DOWN, minutes=10, repeat_minutes=60)
    beat(queue, endpoint(state=EndpointState.DOWN))
    evaluate()
    age_alerts(timedelta(days=-3))
    assert [one.partition(":")[0] for one in evaluate()] == ["fired"]
    age_alerts(timedelta(days=-3))
    assert [one.partition(":")[0] for one in evaluate()] == ["repeated"]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_an_alert_whose_rule_was_switched_off_is_over(is_deleted: bool, queue: JobQueue) -> None:
    rule = a_rule(AlertKind.VERIFICATION)
    record_verification(RUNS, findings=1, is_whole=True)
    evaluate()
    if is_deleted:
        rule.delete()
    else:
        AlertRule.objects.update(enabled=False)
    (said,) = evaluate()
    assert said.endswith("(the rule was switched off or deleted)")
    assert evaluate() == []


def test_a_change_and_its_message_are_one(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    a_rule(AlertKind.VERIFICATION)
    record_verification(RUNS, findings=1, is_whole=True)

    def die(*_args: Any, **_values: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_say", die)
        with pytest.raises(SystemExit):
            evaluate_rules(database_now())
    assert not Alert.objects.exists()
    assert len(evaluate()) == 1


def test_a_rule_opens_so_many_alerts_at_most_and_the_rest_when_one_is_over(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_rule(AlertKind.WORKER_GONE, minutes=5)
    for number in range(MAX_OPEN + 2):
        queue.heartbeat(f"w{number:02}", [])
    later = database_now() + 6 * MINUTE
    assert len(evaluate(later)) == MAX_OPEN
    assert evaluate(later) == []
    queue.heartbeat(Alert.objects.order_by("id")[0].subject, [])
    pass_time(-60)
    first = Alert.objects.order_by("id")[0]
    end_alert(first, "closed", later, by="ada")
    assert len(evaluate(later + MINUTE)) == 1


def test_what_was_not_looked_at_is_not_over(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = a_rule(AlertKind.WORKER_GONE, minutes=5)
    evaluation.evaluate_rule(rule, RuleFindings({"w1": AlertFinding("w1 is gone")}), database_now())
    assert not evaluation.evaluate_rule(rule, RuleFindings(is_complete=False), database_now())
    assert states() == [("w1", AlertState.FIRING)]


def test_a_rule_written_past_the_admin_does_not_silence_the_others(queue: JobQueue) -> None:
    AlertRule.objects.create(name="a", kind="no such kind", changed_by="x", changed_utc=database_now())
    a_rule(AlertKind.VERIFICATION)
    record_verification(RUNS, findings=1, is_whole=True)
    said, failed = evaluate_rules(database_now())
    assert (said["fired"], failed) == (1, ["a"])
    result = check_alerts(NO_DEADLINE)
    assert (result.outcome, result.text) == (TaskOutcome.FAILED, "cannot check a; see the log")


def test_texts_of_strangers_are_shown_on_one_line_with_their_tricks_spelt_out(queue: JobQueue) -> None:
    a_rule(AlertKind.WORKER_GONE, minutes=5)
    queue.heartbeat(HOSTILE, [])
    (said,) = evaluate(database_now() + 6 * MINUTE)
    assert said.isprintable()
    assert "⟨U+202E⟩" in said


def test_the_task_does_nothing_when_nothing_is_to_be_said(queue: JobQueue) -> None:
    a_rule(AlertKind.VERIFICATION)
    assert check_alerts(NO_DEADLINE).outcome is TaskOutcome.IDLE
    record_verification(RUNS, findings=1, is_whole=True)
    assert check_alerts(NO_DEADLINE).text == "1 fired"
    assert AlertMessage.objects.get().addressed_utc is not None


def test_what_is_counted_is_bounded_whatever_the_queue_holds(queue: JobQueue) -> None:
    """Each read ends after so many rows of an index: FETCH NEXT stands in every statement on jobs."""
    rules = [
        a_rule(kind, count=1, minutes=5, interrogation_key=key, name=f"{kind.value}-{key or 'all'}")
        for kind in (AlertKind.DEAD_LETTERS, AlertKind.OLDEST_WAIT)
        for key in ("", "other")
    ]
    with CaptureQueriesContext(connection) as queries:
        for rule in rules:
            measure(rule, database_now())
    on_jobs = [one["sql"] for one in queries if "job" in one["sql"]]
    assert len(on_jobs) == len(rules)
    assert all("FETCH NEXT" in sql for sql in on_jobs)


MANY_JOBS = """
    INSERT INTO llm.job (created_by, status, interrogation_key, input_json, available_utc, finished_utc)
    SELECT
        'ada', s.status, 'question-' || g % 50, '{}', now() - g * interval '1 second',
        CASE WHEN s.status <> 'NEW' THEN now() - g * interval '1 second' END
    FROM generate_series(1, 20000) AS g
    CROSS JOIN LATERAL (
        SELECT CASE g % 5 WHEN 0 THEN 'NEW' WHEN 1 THEN 'DEADLETTER' WHEN 2 THEN 'FAILED' ELSE 'SUCCEEDED' END
    ) AS s (status)
"""


def test_the_reads_of_rules_follow_their_indexes(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("plans are read on PostgreSQL")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(MANY_JOBS)
        cursor.execute("ANALYZE llm.job")
        with CaptureQueriesContext(connection) as queries:
            count_dead_letters(database_now() - MINUTE, "question-7")
            oldest_ready_utc()
            oldest_ready_utc("question-7")
        plans = []
        for one in queries.captured_queries:
            if "job" in one["sql"]:
                cursor.execute(f"EXPLAIN {one['sql']}")
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
        transaction.set_rollback(True)
    used = [re.findall(r"(?:using|on) (ix_\w+)", plan) for plan in plans]
    assert used == [["ix_job_ended"], ["ix_job_status"], ["ix_job_interrogation_status"]]
    assert not any("Seq Scan" in plan for plan in plans)


def test_old_alerts_tests_and_results_are_forgotten_and_the_newest_findings_kept(queue: JobQueue) -> None:
    a_rule(AlertKind.VERIFICATION)
    record_verification(RUNS, findings=1, is_whole=True)
    record_verification(RUNS, findings=2, is_whole=True)
    evaluate()
    write_test("ada")
    later = database_now() + timedelta(days=KEPT_DAYS + 1)
    assert forget_old_alerts(later) == 2
    assert VerificationResult.objects.get().findings == 2
    assert Alert.objects.count() == 1
    end_alert(Alert.objects.get(), "closed", database_now(), by="ada")
    assert forget_old_alerts(later) >= 1
    assert not Alert.objects.exists()


def test_the_rules_that_migrate_makes_are_sound_and_only_the_wait_is_off(queue: JobQueue) -> None:
    from importlib import import_module

    migration = import_module("derive.migrations.0040_alerts")
    with connection.schema_editor() as editor:
        migration.make_rules(apps, editor)
    assert list(AlertRule.objects.filter(enabled=False).values_list("name", flat=True)) == ["long-wait"]
    assert {rule.kind for rule in AlertRule.objects.all()} == set(AlertKind)
    assert evaluate() == []
    assert all(measuring.in_words(rule) for rule in AlertRule.objects.all())
