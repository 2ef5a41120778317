"""``manage.py alerts``: what fires and what a test does, by exit code, as text and as JSON."""

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from derive.alerts.settings import AlertSettings
from derive.models import Alert, AlertDelivery, AlertRule
from derive.models.alerts import AlertState
from derive.sql.clock import database_now
from tests.alert_receivers import WebhookReceiver, a_webhook_receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(settings: Settings) -> Iterator[WebhookReceiver]:
    with a_webhook_receiver() as receiver:
        settings.ALERTS = AlertSettings(webhook_url=receiver.url)
        yield receiver


def run(*arguments: str) -> tuple[int | str | None, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("alerts", *arguments, stdout=out, stderr=err)
    return ended.value.code, out.getvalue(), err.getvalue()


def an_alert(summary: str) -> None:
    now = database_now()
    Alert.objects.create(
        rule_name="r",
        kind="worker_gone",
        subject="w",
        state=AlertState.FIRING,
        summary=summary,
        began_utc=now,
        fired_utc=now,
    )


def test_the_exit_code_of_the_list_reports_whether_an_alert_fires() -> None:
    AlertRule.objects.all().delete()
    AlertRule.objects.create(name="r", kind="verification", changed_by="ada", changed_utc=database_now())
    code, text, _err = run()
    assert code == 0
    assert text.splitlines() == [
        "on  r: a verification of runs or of the sealed history finds something",
        "no alert is firing",
    ]
    an_alert("worker w\u202e is gone\n")
    code, text, _err = run("list")
    assert code == 1
    assert "worker w⟨U+202E⟩ is gone" in text
    code, text, _err = run("list", "--json")
    assert code == 1
    assert [one["rule"] for one in json.loads(text)["firing"]] == ["r"]
    assert json.loads(run("--json")[1]) == json.loads(text)


def test_a_test_without_a_destination_is_one_line_and_exit_code_2(settings: Settings) -> None:
    settings.ALERTS = AlertSettings()
    code, text, err = run("test")
    assert (code, text) == (2, "")
    assert err == "alerts: no destination: set ALERT_WEBHOOK_URL, or ALERT_EMAILS with EMAIL_HOST\n"


def test_a_test_says_of_each_destination_whether_it_took_it(webhook: WebhookReceiver) -> None:
    name = f"webhook {webhook.url.partition('/hooks')[0]}"
    assert run("test")[:2] == (0, f"{name}: delivered\n")
    webhook.answers = [500]
    code, text, _err = run("test", "--json")
    assert code == 1
    assert json.loads(text) == {"deliveries": [{"destination": name, "error": "answered 500"}]}
    assert AlertDelivery.objects.count() == 2
