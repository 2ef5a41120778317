"""Alerts: the rules, what fired, and the messages about it.

Ordinary Django tables, like those of ``schedules``. No destination is read from them: the rows only record where a
message went. Times come from the database's clock.
"""

import uuid
from typing import ClassVar

from django.db import models

from derive.sql.fields import GuidField, UtcField

SUBJECT_CHARACTERS = 200
SUMMARY_CHARACTERS = 500
ERROR_CHARACTERS = 500


class AlertKind(models.TextChoices):
    """What a rule watches."""

    DEAD_LETTERS = "dead_letters", "too many dead letters"
    OLDEST_WAIT = "oldest_wait", "a job waits for too long"
    WORKER_GONE = "worker_gone", "a worker is gone"
    ENDPOINT_DOWN = "endpoint_down", "a model server is down"
    TASK_FAILING = "task_failing", "a scheduler task keeps failing"
    VERIFICATION = "verification", "a verification found something"


class AlertState(models.TextChoices):
    """How far an alert has come."""

    PENDING = "pending", "pending"
    """The condition holds, but not for long enough yet; no message was sent."""
    FIRING = "firing", "firing"
    RESOLVED = "resolved", "resolved"


class AlertEvent(models.TextChoices):
    """What a message says."""

    FIRED = "fired", "fired"
    REPEATED = "repeated", "still firing"
    RESOLVED = "resolved", "resolved"
    TEST = "test", "test"


class DeliveryState(models.TextChoices):
    """What became of a message at one destination."""

    WAITING = "waiting", "waiting"
    DELIVERED = "delivered", "delivered"
    GIVEN_UP = "given_up", "given up"


class AlertRule(models.Model):
    """A condition that people want to hear of. ``count`` and ``minutes`` are null where the kind does not use them."""

    name = models.SlugField(
        "name",
        max_length=60,
        unique=True,
        help_text="Letters, digits, - and _. Named in each message; cannot be changed later.",
    )
    enabled = models.BooleanField("enabled", default=True, help_text="If off, nothing is watched.")
    kind = models.CharField("alert when", max_length=40, choices=AlertKind.choices)
    count = models.PositiveIntegerField("more than", null=True, blank=True)
    minutes = models.PositiveIntegerField("minutes", null=True, blank=True)
    interrogation_key = models.CharField("interrogation", max_length=200, blank=True)
    repeat_minutes = models.PositiveIntegerField(
        "repeat every", null=True, blank=True, help_text="Minutes, while it lasts. Empty: say it once."
    )
    changed_by = models.CharField("changed by", max_length=200, editable=False)
    changed_utc = UtcField("changed at", editable=False)

    class Meta:
        verbose_name = "alert rule"
        verbose_name_plural = "alert rules"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """One time that a rule's condition held for one subject: from when it began until it was over."""

    rule = models.ForeignKey(AlertRule, models.SET_NULL, null=True, related_name="alerts", verbose_name="rule")
    rule_name = models.CharField("rule", max_length=60)
    kind = models.CharField("kind", max_length=40, choices=AlertKind.choices)
    subject = models.CharField("subject", max_length=SUBJECT_CHARACTERS, blank=True)
    """The worker, endpoint, task or interrogation; empty: the queue. Text of strangers."""
    state = models.CharField("state", max_length=20, choices=AlertState.choices)
    summary = models.CharField("summary", max_length=SUMMARY_CHARACTERS)
    began_utc = UtcField("began at")
    """Since when the condition holds, as far as that is known."""
    fired_utc = UtcField("fired at", null=True)
    said_utc = UtcField("last message at", null=True)
    ended_utc = UtcField("ended at", null=True)
    closed_by = models.CharField("closed by", max_length=200, blank=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name = "alert"
        verbose_name_plural = "alerts"
        indexes: ClassVar = [
            models.Index(fields=["state", "id"], name="ix_alert_state"),
            models.Index(fields=["rule", "ended_utc"], name="ix_alert_rule"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name} {self.pk}"


class AlertMessage(models.Model):
    """What is to be said. Its id is in each copy, so that a receiver can drop duplicates."""

    message_id = GuidField("message id", primary_key=True, default=uuid.uuid4)
    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="messages", verbose_name="alert")
    """Null for a test."""
    event = models.CharField("event", max_length=20, choices=AlertEvent.choices)
    summary = models.CharField("summary", max_length=SUMMARY_CHARACTERS)
    made_by = models.CharField("made by", max_length=200)
    at_utc = UtcField("at")
    addressed_utc = UtcField("addressed at", null=True)
    """When its deliveries were made, one per destination of the scheduler's settings."""

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "alert message"
        verbose_name_plural = "alert messages"
        indexes: ClassVar = [models.Index(fields=["addressed_utc", "at_utc"], name="ix_alert_message_addressed")]

    def __str__(self) -> str:
        return str(self.message_id)


class AlertDelivery(models.Model):
    """One message on its way to one destination, retried until it arrives or is given up."""

    message = models.ForeignKey(AlertMessage, models.CASCADE, related_name="deliveries", verbose_name="message")
    destination = models.CharField("destination", max_length=320)
    """Its name (``Destination.name``): an e-mail address, or the webhook's host. Never the webhook's whole URL."""
    state = models.CharField("state", max_length=20, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveIntegerField("attempts", default=0)
    next_utc = UtcField("next attempt at", null=True)
    ended_utc = UtcField("ended at", null=True)
    last_error = models.CharField("last error", max_length=ERROR_CHARACTERS, blank=True)

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "alert delivery"
        verbose_name_plural = "alert deliveries"
        indexes: ClassVar = [models.Index(fields=["state", "id"], name="ix_alert_delivery_state")]

    def __str__(self) -> str:
        return f"{self.destination} {self.pk}"


class AlertDestination(models.Model):
    """A destination that the scheduler reported from its settings: for the page, never to send to."""

    name = models.CharField("destination", max_length=320, primary_key=True)
    delivered_utc = UtcField("last delivery at", null=True)
    failed_utc = UtcField("last failure at", null=True)
    last_error = models.CharField("last error", max_length=ERROR_CHARACTERS, blank=True)

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "alert destination"
        verbose_name_plural = "alert destinations"

    def __str__(self) -> str:
        return self.name


class VerificationResult(models.Model):
    """What a verification of runs or of the sealed history found, so that an alert can tell of it."""

    of = models.CharField("of", max_length=20)
    """``runs`` or ``history``."""
    is_whole = models.BooleanField("whole")
    """Whether it read everything: only then does finding nothing mean that earlier findings are gone."""
    findings = models.PositiveIntegerField("findings")
    at_utc = UtcField("at")

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "verification result"
        verbose_name_plural = "verification results"
        indexes: ClassVar = [models.Index(fields=["of", "id"], name="ix_verification_of")]

    def __str__(self) -> str:
        return f"{self.of}: {self.findings}"
