"""Compares what rules find with the alerts that are open; each change and its message are one transaction."""

import logging
from collections import Counter
from datetime import datetime, timedelta

from django.db import transaction

from derive.alerts.measuring import AlertFinding, RuleFindings, measure, pause_before_firing, resolved_because
from derive.errors import HolocronError, places_of
from derive.models.alerts import SUMMARY_CHARACTERS, Alert, AlertEvent, AlertKind, AlertMessage, AlertRule, AlertState

log = logging.getLogger(__name__)

MAX_OPEN = 20
"""Open alerts of one rule; what a rule finds beyond that waits until one of them is resolved."""
CLOSABLE = frozenset({AlertKind.WORKER_GONE, AlertKind.VERIFICATION})
"""Kinds that may last though everything was done about them: people close such alerts."""
SCHEDULER = "schedule"


def evaluate_rules(now: datetime) -> tuple[Counter[str], list[str]]:
    """Check every enabled rule; return how many messages of each event were written, and the rules that failed."""
    said: Counter[str] = Counter()
    failed: list[str] = []
    for rule in AlertRule.objects.filter(enabled=True).order_by("name"):
        try:
            said += evaluate_rule(rule, measure(rule, now), now)
        except HolocronError:
            raise
        except Exception as error:  # noqa: BLE001 (a rule written past the admin must not silence the others)
            log.error("alert_rule.failed", extra={"rule": rule.name, "error": places_of(error)})
            failed.append(rule.name)
    said += _end_without_rule(now)
    return said, failed


def evaluate_rule(rule: AlertRule, measurement: RuleFindings, now: datetime) -> Counter[str]:
    """Open, repeat and resolve a rule's alerts."""
    said: Counter[str] = Counter()
    with transaction.atomic():
        # Whoever else evaluates it waits here, and then finds the same alerts open.
        if not AlertRule.objects.select_for_update().filter(pk=rule.pk, enabled=True).exists():
            return said
        opened = {alert.subject: alert for alert in Alert.objects.filter(rule=rule, ended_utc__isnull=True)}
        for subject, finding in measurement.findings.items():
            alert = opened.get(subject)
            if alert is None and len(opened) < MAX_OPEN and not _is_closed(rule, subject, finding):
                alert = opened[subject] = _open(rule, subject, finding, now)
            if alert is not None:
                said += _go_on(alert, rule, finding, now)
        if measurement.is_complete:
            for subject in opened.keys() - measurement.findings.keys():
                said += end_alert(opened[subject], resolved_because(rule.kind), now)
    return said


def end_alert(alert: Alert, why: str, now: datetime, *, by: str = "") -> Counter[str]:
    """End an alert, and say so unless nothing was said of it; ``by`` names the person who closed it."""
    if alert.state == AlertState.PENDING:
        alert.delete()
        return Counter()
    ended = Alert.objects.filter(pk=alert.pk, ended_utc__isnull=True)
    if not ended.update(state=AlertState.RESOLVED, ended_utc=now, closed_by=by):
        return Counter()
    return _say(alert, AlertEvent.RESOLVED, f"{alert.summary} ({why})", now, by=by)


def _open(rule: AlertRule, subject: str, finding: AlertFinding, now: datetime) -> Alert:
    return Alert.objects.create(
        rule=rule,
        rule_name=rule.name,
        kind=rule.kind,
        subject=subject,
        state=AlertState.PENDING,
        summary=finding.summary[:SUMMARY_CHARACTERS],
        began_utc=min(finding.since_utc or now, now),
    )


def _go_on(alert: Alert, rule: AlertRule, finding: AlertFinding, now: datetime) -> Counter[str]:
    """Fire an alert that has waited for long enough, or repeat one that was silent for long enough."""
    summary = finding.summary[:SUMMARY_CHARACTERS]
    if alert.summary != summary:
        alert.summary = summary
        alert.save(update_fields=["summary"])
    if alert.state == AlertState.PENDING:
        if not _has_passed(alert.began_utc, pause_before_firing(rule), now):
            return Counter()
        alert.state, alert.fired_utc = AlertState.FIRING, now
        alert.save(update_fields=["state", "fired_utc"])
        return _say(alert, AlertEvent.FIRED, summary, now)
    if rule.repeat_minutes and _has_passed(alert.said_utc or now, timedelta(minutes=rule.repeat_minutes), now):
        return _say(alert, AlertEvent.REPEATED, summary, now)
    return Counter()


def _has_passed(since_utc: datetime, pause: timedelta, now: datetime) -> bool:
    """Whether a pause is over; a moment in the future is from before the database's clock was set back."""
    return since_utc > now or now - since_utc >= pause


def _is_closed(rule: AlertRule, subject: str, finding: AlertFinding) -> bool:
    """Whether people closed an alert about exactly this: what is newer fires again."""
    if rule.kind not in CLOSABLE or finding.since_utc is None:
        return False
    closed = Alert.objects.filter(rule=rule, subject=subject, ended_utc__gte=finding.since_utc)
    return closed.exclude(closed_by="").exists()


def _end_without_rule(now: datetime) -> Counter[str]:
    """End the alerts of rules that were deleted or switched off."""
    said: Counter[str] = Counter()
    for alert in Alert.objects.filter(ended_utc__isnull=True).exclude(rule__enabled=True):
        with transaction.atomic():
            said += end_alert(alert, "the rule was switched off or deleted", now)
    return said


def _say(alert: Alert, event: AlertEvent, summary: str, now: datetime, *, by: str = "") -> Counter[str]:
    AlertMessage.objects.create(
        alert=alert, event=event, summary=summary[:SUMMARY_CHARACTERS], made_by=by or SCHEDULER, at_utc=now
    )
    Alert.objects.filter(pk=alert.pk).update(said_utc=now)
    log.info(f"alert.{event.value}", extra={"alert": alert.pk, "rule": alert.rule_name})  # noqa: G004 (an event's name)
    return Counter([event.value])
