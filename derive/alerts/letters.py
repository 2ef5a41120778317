"""What a message says: as JSON for a webhook, and as an e-mail. The same bytes at each attempt.

Names are text of strangers: they are shown on one line, shortened, with control and direction characters spelt out. No
payload, prompt, evidence, answer, error message or secret is in a message.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.urls import reverse

from derive.alerts.measuring import shown
from derive.models.alerts import AlertEvent, AlertMessage
from derive.visible_text import visible

SUBJECT_LINE_CHARACTERS = 180
_SAYS = {
    AlertEvent.FIRED: "Firing",
    AlertEvent.REPEATED: "Still firing",
    AlertEvent.RESOLVED: "Resolved",
    AlertEvent.TEST: "Test",
}


@dataclass(frozen=True)
class AlertLetter:
    """A message as it is sent. ``alert_id`` and what follows are None for a test; ``url`` without a public URL."""

    message_id: UUID
    event: AlertEvent
    summary: str
    at_utc: datetime
    alert_id: int | None = None
    rule: str | None = None
    kind: str | None = None
    subject: str | None = None
    began_utc: datetime | None = None
    fired_utc: datetime | None = None
    url: str | None = None

    @classmethod
    def of(cls, message: AlertMessage, *, public_url: str = "") -> "AlertLetter":
        """Return a stored message as it is sent."""
        alert = message.alert
        event, summary = AlertEvent(message.event), " ".join(visible(message.summary).split())
        if alert is None:
            page = reverse("admin:derive_alert_changelist") if public_url else ""
            url = f"{public_url}{page}" or None
            return cls(message_id=message.message_id, event=event, summary=summary, at_utc=message.at_utc, url=url)
        return cls(
            message_id=message.message_id,
            event=event,
            summary=summary,
            at_utc=message.at_utc,
            alert_id=alert.pk,
            rule=alert.rule_name,
            kind=alert.kind,
            subject=shown(alert.subject),
            began_utc=alert.began_utc,
            fired_utc=alert.fired_utc,
            url=f"{public_url}{reverse('admin:derive_alert_change', args=[alert.pk])}" if public_url else None,
        )

    @property
    def subject_line(self) -> str:
        """One line for people."""
        about = f"{self.rule}: " if self.rule else ""
        line = f"{_SAYS[self.event]}: {about}{self.summary}"
        return line if len(line) <= SUBJECT_LINE_CHARACTERS else f"{line[: SUBJECT_LINE_CHARACTERS - 1]}…"

    def json_bytes(self) -> bytes:
        """Return the webhook's body: type, timestamp and data, as Standard Webhooks has them, and a line of text."""
        data = {
            "message_id": str(self.message_id),
            "alert_id": self.alert_id,
            "rule": self.rule,
            "kind": self.kind,
            "subject": self.subject,
            "summary": self.summary,
            "began_at": _iso(self.began_utc),
            "fired_at": _iso(self.fired_utc),
            "url": self.url,
        }
        body = {
            "type": f"alert.{self.event.value}",
            "timestamp": _iso(self.at_utc),
            "text": f"[Holocron] {self.subject_line}",
            "data": data,
        }
        return json.dumps(body, ensure_ascii=True).encode()

    def plain_text(self) -> str:
        """Return the e-mail's body."""
        lines = [f"{_SAYS[self.event]}: {self.summary}.", ""]
        known = (
            ("Rule", self.rule),
            ("Began", _moment(self.began_utc)),
            ("Fired", _moment(self.fired_utc)),
            ("Written", _moment(self.at_utc)),
            ("Page", self.url),
        )
        lines += [f"{name}: {value}" for name, value in known if value]
        return "\n".join(lines) + "\n"


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(value: datetime | None) -> str | None:
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
