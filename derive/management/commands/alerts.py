"""``manage.py alerts``: what fires now, and a test of every destination."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from getpass import getuser
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

ALL_WELL, FIRING, COULD_NOT_START = 0, 1, 2
MAX_LISTED = 1_000
_EXAMPLES = """
examples:
  manage.py alerts                  the rules, and the alerts that fire now
  manage.py alerts list --json      the same as one line of JSON
  manage.py alerts test             send a test to every destination of this process's settings, now

Alerts are checked and sent by the scheduler (manage.py qcluster), to the destinations of its settings (docs/alerts.md).
exit codes: of list 0 nothing fires, 1 something does; of test 0 all were delivered, 1 some were not; 2 error
"""


class Command(QuickCommand):
    """List alerts, or send a test."""

    help = "Lists the alert rules and what fires now; sends a test to every destination."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        actions = parser.add_subparsers(dest="action", metavar="list | test")
        for action, help_text in (("list", "list rules and what fires now"), ("test", "send a test now")):
            one = actions.add_parser(action, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
            one.add_argument("--json", action="store_true", default=SUPPRESS, help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """List or send, and exit with the code."""
        try:
            check_schema(connection)
            code = self._test(given) if given["action"] == "test" else self._list(given)
        except HolocronError as error:
            self.stderr.write(f"alerts: {error}")
            sys.exit(COULD_NOT_START)
        sys.exit(code)

    def _list(self, given: dict[str, Any]) -> int:
        from derive.alerts.measuring import in_words, shown
        from derive.models import Alert, AlertRule
        from derive.models.alerts import AlertKind, AlertState
        from derive.sql.reading import reading

        fires = Alert.objects.filter(state=AlertState.FIRING).order_by("id")
        firing = reading(lambda: list(fires[:MAX_LISTED]))
        rules = reading(lambda: list(AlertRule.objects.filter(kind__in=AlertKind.values)[:MAX_LISTED]))
        if given["json"]:
            listed = {
                "firing": [
                    {
                        "alert_id": one.pk,
                        "rule": one.rule_name,
                        "kind": one.kind,
                        "subject": one.subject,
                        "summary": one.summary,
                        "began_at": _iso(one.began_utc),
                        "fired_at": _iso(one.fired_utc),
                    }
                    for one in firing
                ],
                "rules": [{"rule": one.name, "enabled": one.enabled, "when": in_words(one)} for one in rules],
            }
            self.stdout.write(json.dumps(listed, ensure_ascii=False))
        else:
            for rule in rules:
                self.stdout.write(f"{'on ' if rule.enabled else 'off'} {rule.name}: {in_words(rule)}")
            for one in firing:
                summary = shown(one.summary) if not one.summary.isprintable() else one.summary
                self.stdout.write(f"firing since {one.fired_utc:%Y-%m-%d %H:%M} UTC: {one.rule_name}: {summary}")
            if not firing:
                self.stdout.write("no alert is firing")
        return FIRING if firing else ALL_WELL

    def _test(self, given: dict[str, Any]) -> int:
        from derive.alerts.delivering import send_test
        from derive.alerts.destinations import channels_of

        channels = channels_of(settings.ALERTS)
        if not channels:
            self.stderr.write("alerts: no destination: set ALERT_WEBHOOK_URL, or ALERT_EMAILS with EMAIL_HOST")
            return COULD_NOT_START
        results = send_test(channels, made_by=getuser(), public_url=settings.ALERTS.public_url)
        if given["json"]:
            sent = [{"destination": one.destination, "error": one.error or None} for one in results]
            self.stdout.write(json.dumps({"deliveries": sent}, ensure_ascii=False))
        else:
            for one in results:
                self.stdout.write(f"{one.destination}: {one.error or 'delivered'}")
        return FIRING if any(one.error for one in results) else ALL_WELL


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
