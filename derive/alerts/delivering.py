"""Sends messages, at least once: each is recorded as delivered only after it was taken.

A message gets one delivery per destination of the settings. One that fails is retried with growing pauses for a day. Of
one alert nothing overtakes: at each destination "resolved" comes after "fired".
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from derive.alerts.destinations import AlertChannel, NotDelivered
from derive.alerts.letters import AlertLetter
from derive.backoff import MAX_SECONDS, backoff_seconds
from derive.deadline import Deadline
from derive.models.alerts import AlertDelivery, AlertDestination, AlertEvent, AlertMessage, DeliveryState
from derive.sql.clock import database_now

log = logging.getLogger(__name__)

RETRIED_FOR = timedelta(days=1)
MAX_AT_ONCE = 200
LONGEST_PAUSE = timedelta(seconds=2 * MAX_SECONDS)
"""Longer than any pause: a later next attempt was written before the database's clock was set back."""
TEST_SUMMARY = "this is a test of the alerts; nothing is wrong"


@dataclass(frozen=True)
class DeliveryResult:
    """What became of one attempt; ``error`` is empty where it was delivered."""

    destination: str
    error: str


def write_test(made_by: str) -> AlertMessage:
    """Write a test message, which the scheduler sends to each of its destinations."""
    return AlertMessage.objects.create(
        event=AlertEvent.TEST, summary=TEST_SUMMARY, made_by=made_by, at_utc=database_now()
    )


def address_messages(channels: Sequence[AlertChannel], now: datetime) -> None:
    """Make the deliveries of new messages; without a destination there are none."""
    _report(channels)
    for message in AlertMessage.objects.filter(addressed_utc__isnull=True).order_by("at_utc")[:MAX_AT_ONCE]:
        _address(message, channels, now=now, next_utc=now)


def _address(message: AlertMessage, channels: Sequence[AlertChannel], *, now: datetime, next_utc: datetime) -> None:
    with transaction.atomic():
        unaddressed = AlertMessage.objects.filter(pk=message.pk, addressed_utc__isnull=True)
        if unaddressed.update(addressed_utc=now):
            AlertDelivery.objects.bulk_create(
                AlertDelivery(message=message, destination=channel.name, next_utc=next_utc) for channel in channels
            )


def send_test(channels: Sequence[AlertChannel], *, made_by: str, public_url: str) -> list[DeliveryResult]:
    """Send a test to every destination at once; what fails, the scheduler retries."""
    message, now = write_test(made_by), database_now()
    # Not due yet, or a scheduler would send it as well.
    _address(message, channels, now=now, next_utc=now + timedelta(minutes=2))
    by_name = {channel.name: channel for channel in channels}
    deliveries = AlertDelivery.objects.filter(message=message).order_by("id").select_related("message")
    return [_attempt(delivery, by_name[delivery.destination], public_url) for delivery in deliveries]


def deliver_due(channels: Sequence[AlertChannel], *, public_url: str, deadline: Deadline) -> list[DeliveryResult]:
    """Send what is due; a way that turns out to be unreachable is left alone until the next time."""
    waiting = AlertDelivery.objects.filter(state=DeliveryState.WAITING).order_by("id")
    for delivery in waiting.exclude(destination__in=[channel.name for channel in channels])[:MAX_AT_ONCE]:
        _give_up(delivery, "the settings no longer name this destination")
    results: list[DeliveryResult] = []
    broken_ways: set[str] = set()
    # Of each destination by itself: what waits for one must not keep the others waiting.
    for channel in channels:
        of_channel = waiting.filter(destination=channel.name).select_related("message", "message__alert")
        results += _deliver_to(channel, list(of_channel[:MAX_AT_ONCE]), public_url, deadline, broken_ways)
    return results


def _deliver_to(
    channel: AlertChannel,
    deliveries: Sequence[AlertDelivery],
    public_url: str,
    deadline: Deadline,
    broken_ways: set[str],
) -> list[DeliveryResult]:
    results: list[DeliveryResult] = []
    held_back: set[int | UUID] = set()
    now = database_now()
    for delivery in deliveries:
        if deadline.is_over or channel.way in broken_ways:
            break
        about = delivery.message.alert_id or delivery.message.pk
        if about in held_back or not _is_due(delivery, now):
            held_back.add(about)
            continue
        results.append(_attempt(delivery, channel, public_url, broken_ways))
        if results[-1].error:
            held_back.add(about)
    return results


def _is_due(delivery: AlertDelivery, now: datetime) -> bool:
    next_utc = delivery.next_utc
    return next_utc is None or next_utc <= now or next_utc > now + LONGEST_PAUSE


def _attempt(
    delivery: AlertDelivery, channel: AlertChannel, public_url: str, broken_ways: set[str] | None = None
) -> DeliveryResult:
    letter, now = AlertLetter.of(delivery.message, public_url=public_url), database_now()
    error = ""
    try:
        channel.send(letter, now)
    except NotDelivered as caught:
        error = str(caught)
        if caught.is_unreachable and broken_ways is not None:
            broken_ways.add(channel.way)
    _record(delivery, error)
    return DeliveryResult(delivery.destination, error)


def _record(delivery: AlertDelivery, error: str) -> None:
    now, attempts = database_now(), delivery.attempts + 1
    destination = AlertDestination.objects.filter(name=delivery.destination)
    level = logging.WARNING if error else logging.INFO
    about = {"message_id": str(delivery.message_id), "destination": delivery.destination, "attempt": attempts}
    log.log(level, "alert.not_delivered" if error else "alert.delivered", extra={**about, "error": error})
    if not error:
        _waiting(delivery).update(
            state=DeliveryState.DELIVERED, attempts=attempts, next_utc=None, ended_utc=now, last_error=""
        )
        destination.update(delivered_utc=now)
        return
    destination.update(failed_utc=now, last_error=error)
    if now - delivery.message.at_utc >= RETRIED_FOR:
        _give_up(delivery, error, attempts=attempts)
        return
    pause = backoff_seconds(attempts, random.Random())  # noqa: S311 (spreads retries, guards nothing)
    _waiting(delivery).update(attempts=attempts, next_utc=now + timedelta(seconds=pause), last_error=error)


def _give_up(delivery: AlertDelivery, error: str, *, attempts: int | None = None) -> None:
    log.warning("alert.given_up", extra={"message_id": str(delivery.message_id), "destination": delivery.destination})
    _waiting(delivery).update(
        state=DeliveryState.GIVEN_UP,
        attempts=delivery.attempts if attempts is None else attempts,
        next_utc=None,
        ended_utc=database_now(),
        last_error=error,
    )


def _waiting(delivery: AlertDelivery) -> QuerySet[AlertDelivery]:
    return AlertDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.WAITING)


def _report(channels: Sequence[AlertChannel]) -> None:
    """Keep the names of the destinations for the page."""
    names = [channel.name for channel in channels]
    known = set(AlertDestination.objects.values_list("name", flat=True))
    if known == set(names):
        return
    AlertDestination.objects.exclude(name__in=names).delete()
    for name in names:
        AlertDestination.objects.get_or_create(name=name)
