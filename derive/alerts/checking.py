"""The scheduler's task: check the rules, then send what is to be said."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from derive.alerts.evaluation import evaluate_rules
from derive.deadline import Deadline
from derive.models.alerts import Alert, AlertMessage, VerificationResult
from derive.plural import plural
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now

if TYPE_CHECKING:
    from derive.alerts.delivering import DeliveryResult

KEPT_DAYS = 90


def check_alerts(deadline: Deadline) -> TaskResult:
    """Check every rule and send every due message; a message that was not delivered is no failure of the task."""
    # Imported here: every command of manage.py imports this module, and few send anything.
    from derive.alerts.delivering import address_messages, deliver_due
    from derive.alerts.destinations import channels_of

    now = database_now()
    said, failed = evaluate_rules(now)
    channels = channels_of(settings.ALERTS)
    address_messages(channels, now)
    results = deliver_due(channels, public_url=settings.ALERTS.public_url, deadline=deadline)
    done = [f"{count} {event}" for event, count in sorted(said.items())] + _told(results)
    if failed:
        return TaskResult(TaskOutcome.FAILED, f"cannot check {', '.join(failed)}; see the log")
    return TaskResult(TaskOutcome.DONE, ", ".join(done)) if done else TaskResult(TaskOutcome.IDLE)


def forget_old_alerts(now: datetime) -> int:
    """Delete alerts, tests and verification results that ended long ago; return the number of rows."""
    long_ago = now - timedelta(days=KEPT_DAYS)
    removed = Alert.objects.filter(ended_utc__lt=long_ago).delete()[0]
    removed += AlertMessage.objects.filter(alert__isnull=True, at_utc__lt=long_ago).delete()[0]
    # The newest findings are what an alert still tells of.
    for of in VerificationResult.objects.values_list("of", flat=True).distinct():
        results = VerificationResult.objects.filter(of=of)
        kept = [row.pk for row in (results.order_by("-id").first(), results.filter(findings__gt=0).last()) if row]
        removed += results.filter(at_utc__lt=long_ago).exclude(pk__in=kept).delete()[0]
    return removed


def _told(results: "list[DeliveryResult]") -> list[str]:
    failed = sum(1 for result in results if result.error)
    delivered = len(results) - failed
    return [
        *([f"{plural(delivered, 'message')} delivered"] if delivered else []),
        *([f"{plural(failed, 'message')} not delivered yet"] if failed else []),
    ]
