"""What each kind of rule finds now. Bounded reads; everything here raises QueueError."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from derive.alerts.verifications import HISTORY, RUNS
from derive.models import Endpoint, Worker
from derive.models.alerts import SUBJECT_CHARACTERS, AlertKind, AlertRule, VerificationResult
from derive.plural import plural
from derive.sql.alert_counts import DEAD_LETTERS_LOOKED_AT, count_dead_letters, oldest_ready_utc
from derive.sql.reading import reading
from derive.states import EndpointState
from derive.visible_text import cell

ALIVE = timedelta(seconds=120)
"""A default lease: a worker silent for longer says nothing of its endpoints."""
GONE_FOR_GOOD = timedelta(days=1)
"""A worker silent for longer is history."""
MAX_ROWS = 500
ALERTS_TASK = "alerts"
_NAME_CHARACTERS = 80


@dataclass(frozen=True)
class AlertFinding:
    """A subject for which a rule's condition holds; ``since_utc`` None: not known, the first sight counts."""

    summary: str
    since_utc: datetime | None = None


@dataclass(frozen=True)
class RuleFindings:
    """What a rule found, by subject. Of a subject that is not named nothing is known where ``is_complete`` is false."""

    findings: dict[str, AlertFinding] = field(default_factory=dict)
    is_complete: bool = True


def measure(rule: AlertRule, now: datetime) -> RuleFindings:
    """Return what a rule finds at this moment of the database's clock."""
    return _MEASURES[AlertKind(rule.kind)](rule, now)


def pause_before_firing(rule: AlertRule) -> timedelta:
    """Return for how long a condition must be seen before it fires: no row says since when an endpoint is down."""
    return timedelta(minutes=rule.minutes or 0) if rule.kind == AlertKind.ENDPOINT_DOWN else timedelta(0)


def in_words(rule: AlertRule) -> str:
    """Return a rule's condition as a sentence's part."""
    of = f" of {shown(rule.interrogation_key)}" if rule.interrogation_key else ""
    minutes, count = plural(rule.minutes or 0, "minute"), rule.count or 0
    return {
        AlertKind.DEAD_LETTERS: f"more than {plural(count, 'dead letter')}{of} in {minutes}",
        AlertKind.OLDEST_WAIT: f"a job{of} is ready for more than {minutes}",
        AlertKind.WORKER_GONE: f"a worker that did not stop sends no heartbeat for {minutes}",
        AlertKind.ENDPOINT_DOWN: f"no worker reaches a model server for {minutes}",
        AlertKind.TASK_FAILING: f"a scheduler task fails more than {plural(count, 'time')} in a row",
        AlertKind.VERIFICATION: "a verification of runs or of the sealed history finds something",
    }[AlertKind(rule.kind)]


def resolved_because(kind: str) -> str:
    """Return why an alert of this kind is resolved once its condition no longer holds."""
    return {
        AlertKind.DEAD_LETTERS: "there are no longer that many new dead letters",
        AlertKind.OLDEST_WAIT: "no job has been waiting for that long any more",
        AlertKind.WORKER_GONE: "the worker is back, was replaced on its host, or has been gone for a day",
        AlertKind.ENDPOINT_DOWN: "a worker reaches the model server again, or none uses it any more",
        AlertKind.TASK_FAILING: "the task succeeded, or was switched off",
        AlertKind.VERIFICATION: "a whole verification found nothing",
    }[AlertKind(kind)]


def shown(text: str) -> str:
    """Return a stranger's text for a message: one line, short, with its tricks spelt out."""
    return cell(text, _NAME_CHARACTERS)


def _dead_letters(rule: AlertRule, now: datetime) -> RuleFindings:
    count = count_dead_letters(now - timedelta(minutes=rule.minutes or 0), rule.interrogation_key)
    if count <= (rule.count or 0):
        return RuleFindings()
    jobs = f"{'at least ' if count >= DEAD_LETTERS_LOOKED_AT else ''}{plural(count, 'job')}"
    of = f" of {shown(rule.interrogation_key)}" if rule.interrogation_key else ""
    within = plural(rule.minutes or 0, "minute")
    return RuleFindings({rule.interrogation_key: AlertFinding(f"{jobs}{of} became dead letters within {within}")})


def _oldest_wait(rule: AlertRule, now: datetime) -> RuleFindings:
    longest = timedelta(minutes=rule.minutes or 0)
    ready_utc = oldest_ready_utc(rule.interrogation_key)
    if ready_utc is None or now - ready_utc <= longest:
        return RuleFindings()
    of = f" of {shown(rule.interrogation_key)}" if rule.interrogation_key else ""
    summary = f"a job{of} is ready since {_moment(ready_utc)} and no worker has claimed it"
    return RuleFindings({rule.interrogation_key: AlertFinding(summary, ready_utc + longest)})


def _worker_gone(rule: AlertRule, now: datetime) -> RuleFindings:
    silent = Worker.objects.filter(
        stopping=False,
        last_seen_utc__lt=now - timedelta(minutes=rule.minutes or 0),
        last_seen_utc__gte=now - GONE_FOR_GOOD,
    )
    gone = reading(lambda: list(silent.order_by("-last_seen_utc", "worker_id")[:MAX_ROWS]))
    alive = Worker.objects.filter(last_seen_utc__gte=now - ALIVE, started_utc__isnull=False)
    newest: dict[str, datetime] = {}
    for host, started in reading(lambda: list(alive.values_list("host", "started_utc")[:MAX_ROWS])) if gone else ():
        newest[host] = max(started, newest.get(host, started))
    return RuleFindings(
        {
            worker.worker_id: AlertFinding(
                f"worker {shown(worker.worker_id)} was last seen at {_moment(worker.last_seen_utc)} and did not stop",
                worker.last_seen_utc,
            )
            for worker in gone
            # Whoever started there later took its place.
            if worker.host is None or newest.get(worker.host, worker.last_seen_utc) <= worker.last_seen_utc
        },
        is_complete=len(gone) < MAX_ROWS,
    )


def _endpoint_down(_rule: AlertRule, now: datetime) -> RuleFindings:
    reported = Endpoint.objects.filter(last_seen_utc__gte=now - ALIVE).order_by("name", "worker_id")
    rows = reading(lambda: list(reported.values_list("name", "state")[:MAX_ROWS]))
    states: dict[str, set[str]] = defaultdict(set)
    for name, state in rows:
        states[name].add(state)
    return RuleFindings(
        {
            name: AlertFinding(f"no worker reaches the model server {shown(name)}")
            for name, some in states.items()
            if EndpointState.UP.value not in some
        },
        is_complete=len(rows) < MAX_ROWS,
    )


def _task_failing(rule: AlertRule, _now: datetime) -> RuleFindings:
    # Imported here: the scheduler's tasks import this module.
    from derive.schedules.health import failing_tasks, title_of

    return RuleFindings(
        {
            task.name[:SUBJECT_CHARACTERS]: AlertFinding(
                f"the scheduler's task {shown(title_of(task.name))} failed {plural(task.failures, 'time')} in a row"
            )
            # What alerts cannot do they would not get to tell.
            for task in failing_tasks(at_least=(rule.count or 0) + 1)
            if task.name != ALERTS_TASK
        }
    )


def _verification(_rule: AlertRule, _now: datetime) -> RuleFindings:
    found: dict[str, AlertFinding] = {}
    for of, what in ((RUNS, "past runs"), (HISTORY, "the sealed history")):
        results = VerificationResult.objects.filter(of=of).order_by("-id")
        bad = results.filter(findings__gt=0).first()
        if bad is None or results.filter(findings=0, is_whole=True, id__gt=bad.pk).exists():
            continue
        at = _moment(bad.at_utc)
        found[of] = AlertFinding(f"a verification of {what} found {plural(bad.findings, 'fault')} at {at}", bad.at_utc)
    return RuleFindings(found)


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


_MEASURES: dict[AlertKind, Callable[[AlertRule, datetime], RuleFindings]] = {
    AlertKind.DEAD_LETTERS: _dead_letters,
    AlertKind.OLDEST_WAIT: _oldest_wait,
    AlertKind.WORKER_GONE: _worker_gone,
    AlertKind.ENDPOINT_DOWN: _endpoint_down,
    AlertKind.TASK_FAILING: _task_failing,
    AlertKind.VERIFICATION: _verification,
}
