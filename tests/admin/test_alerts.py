"""The pages of alerts: who may see, change, test and close; bad input is refused with what to write."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from derive.admin.dashboard import page as dashboard
from derive.admin.dashboard.statistics import SharedStatistics
from derive.alerts.delivering import address_messages, write_test
from derive.alerts.destinations import channels_of
from derive.alerts.settings import AlertSettings
from derive.models import Alert, AlertDelivery, AlertDestination, AlertMessage, AlertRule
from derive.models.alerts import AlertKind, AlertState, DeliveryState
from derive.sql.clock import database_now
from tests.admin.conftest import HOSTILE, Browse

RULE, ALERTS = "derive_alertrule", "derive_alert"


@pytest.fixture
def browse(browse_rolled_back: Browse) -> Browse:
    AlertRule.objects.all().delete()
    return browse_rolled_back


@pytest.fixture
def operator(browse: Browse) -> Client:
    return browse("operator")


def at(page: str, *args: Any) -> str:
    return reverse(f"admin:{page}", args=args)


def rule_form(**values: Any) -> dict[str, Any]:
    form = {"name": "r", "enabled": "on", "kind": "dead_letters", "count": 10, "minutes": 15, "repeat_minutes": 60}
    return {**form, "interrogation_key": "", **values}


def an_alert(**values: Any) -> Alert:
    now = database_now()
    known = {"rule_name": "r", "kind": AlertKind.WORKER_GONE, "subject": "w1", "state": AlertState.FIRING}
    return Alert.objects.create(**{**known, "summary": "w1 is gone", "began_utc": now, "fired_utc": now, **values})


def test_an_operator_makes_a_rule_and_changes_all_but_its_name(browse: Browse, operator: Client) -> None:
    assert operator.post(at(f"{RULE}_add"), rule_form()).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.kind, rule.count, rule.minutes, rule.repeat_minutes) == ("dead_letters", 10, 15, 60)
    assert rule.changed_by == browse.people["operator"].username
    operator.post(at(f"{RULE}_change", rule.pk), rule_form(name="other", count=7))
    rule.refresh_from_db()
    assert (rule.name, rule.count) == ("r", 7)
    listed = operator.get(at(f"{RULE}_changelist")).text
    assert "more than 7 dead letters in 15 minutes" in listed
    assert operator.post(at(f"{RULE}_delete", rule.pk), {"post": "yes"}).status_code == 302
    assert not AlertRule.objects.exists()


def test_what_a_kind_has_no_use_for_is_emptied(operator: Client) -> None:
    form = rule_form(kind="verification", count="many", minutes=-1, repeat_minutes="")
    assert operator.post(at(f"{RULE}_add"), form).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.count, rule.minutes, rule.interrogation_key, rule.repeat_minutes) == (None, None, "", None)


BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "weather"}, "not one of the available choices"),
    ({"kind": ""}, "This field is required"),
    ({"count": ""}, "from 0 to 9999"),
    ({"count": 10_000}, "from 0 to 9999"),
    ({"count": -1}, "greater than or equal to 0"),
    ({"minutes": 0}, "from 1 to 43200"),
    ({"minutes": 2**40}, "from 1 to 43200"),
    ({"kind": "worker_gone", "minutes": 1}, "from 2 to 43200"),
    ({"repeat_minutes": 4}, "from 5 to 43200"),
    ({"interrogation_key": "nobody's"}, "not one of the available choices"),
    ({"name": "two words"}, "valid “slug”"),
    ({"name": "n" * 61}, "at most 60 characters"),
]


def test_a_rule_that_makes_no_sense_is_refused_with_what_to_write(operator: Client) -> None:
    for values, why in BAD_RULES:
        answer = operator.post(at(f"{RULE}_add"), rule_form(**values))
        assert answer.status_code == 200, values
        assert why in answer.text, values
    assert not AlertRule.objects.exists()


def test_a_rules_page_says_what_it_finds_now(operator: Client) -> None:
    rule = AlertRule.objects.create(name="v", kind=AlertKind.VERIFICATION, changed_by="a", changed_utc=database_now())
    assert "Now it finds nothing." in operator.get(at(f"{RULE}_change", rule.pk)).text
    from derive.alerts.verifications import RUNS, record_verification

    record_verification(RUNS, findings=2, is_whole=False)
    assert "a verification of past runs found 2 faults" in operator.get(at(f"{RULE}_change", rule.pk)).text


@pytest.mark.parametrize("who", ["nobody", "viewer", "operator", "maintainer"])
def test_everybody_of_a_group_sees_alerts_and_operators_act(who: str, browse: Browse) -> None:
    alert, client = an_alert(), browse(who)
    rule = AlertRule.objects.create(name="v", kind=AlertKind.VERIFICATION, changed_by="a", changed_utc=database_now())
    sees, acts = who != "nobody", who in {"operator", "maintainer"}
    for address in (at(f"{ALERTS}_changelist"), at(f"{ALERTS}_change", alert.pk), at(f"{RULE}_changelist")):
        assert (client.get(address).status_code == 200) == sees
    page = client.get(at(f"{ALERTS}_changelist")).text
    assert ("Send a test" in page) == acts
    assert (client.post(at(f"{RULE}_add"), rule_form()).status_code == 302) == acts or not sees
    client.post(at(f"{ALERTS}_test"))
    client.post(at(f"{ALERTS}_close", alert.pk))
    client.post(at(f"{RULE}_delete", rule.pk), {"post": "yes"})
    alert.refresh_from_db()
    assert AlertMessage.objects.filter(event="test").exists() == acts
    assert (alert.state == AlertState.RESOLVED) == acts
    assert AlertRule.objects.filter(name="v").exists() != acts


def test_a_test_and_a_closing_are_posts_alone(operator: Client) -> None:
    alert = an_alert()
    assert operator.get(at(f"{ALERTS}_test")).status_code == 405
    assert operator.get(at(f"{ALERTS}_close", alert.pk)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(at(f"{ALERTS}_test")).status_code == 403
    assert not AlertMessage.objects.exists()


def test_a_closed_alert_names_who_closed_it_and_says_so(browse: Browse, operator: Client) -> None:
    alert, name = an_alert(), browse.people["operator"].username
    assert "Close" in operator.get(at(f"{ALERTS}_change", alert.pk)).text
    answer = operator.post(at(f"{ALERTS}_close", alert.pk), follow=True)
    assert "It fires again if something new is found" in answer.text
    assert f"closed by <bdi>{name}" in answer.text
    assert AlertMessage.objects.get().made_by == name
    again = operator.post(at(f"{ALERTS}_close", alert.pk), follow=True)
    assert "Nothing was closed" in again.text


def test_what_ends_by_itself_cannot_be_closed(operator: Client) -> None:
    alert = an_alert(kind=AlertKind.ENDPOINT_DOWN)
    assert "/close/" not in operator.get(at(f"{ALERTS}_change", alert.pk)).text
    assert "Nothing was closed" in operator.post(at(f"{ALERTS}_close", alert.pk), follow=True).text
    assert Alert.objects.get().state == AlertState.FIRING
    assert operator.post(at(f"{ALERTS}_close", 10**15), follow=True).status_code == 200


def test_the_page_shows_where_each_message_went_and_the_last_error(operator: Client) -> None:
    empty = operator.get(at(f"{ALERTS}_changelist")).text
    assert "No alert is firing." in empty
    assert "sent nowhere" in empty
    alert = an_alert(subject=HOSTILE[:200], summary=HOSTILE)
    AlertMessage.objects.create(alert=alert, event="fired", summary=HOSTILE, made_by="schedule", at_utc=database_now())
    write_test("ada")
    address_messages(channels_of(AlertSettings(webhook_url="https://hooks.example.com/hush")), database_now())
    AlertDelivery.objects.update(attempts=3, last_error=HOSTILE, next_utc=database_now() + timedelta(minutes=4))
    AlertDestination.objects.update(last_error=HOSTILE, failed_utc=database_now())
    for address in (at(f"{ALERTS}_changelist"), at(f"{ALERTS}_change", alert.pk)):
        text = operator.get(address).text
        assert "https://hooks.example.com" in text
        assert "hush" not in text
        assert "3 attempts" in text
        assert "<script>alert" not in text
        assert "⟨U+202E⟩" in text
    AlertDelivery.objects.update(state=DeliveryState.GIVEN_UP)
    assert "given up" in operator.get(at(f"{ALERTS}_changelist")).text


@pytest.mark.parametrize("kind", AlertKind)
def test_an_alert_leads_to_the_page_that_shows_its_subject(kind: AlertKind, operator: Client) -> None:
    for subject in ("", "history", "retry:nightly", HOSTILE[:200]):
        alert = an_alert(kind=kind, subject=subject)
        page = operator.get(at(f"{ALERTS}_change", alert.pk))
        _name, address = page.context["about"]
        assert operator.get(address).status_code == 200


def test_the_overview_shows_what_fires_to_those_who_may_see_it(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "STATISTICS", {"24h": SharedStatistics(1), "7d": SharedStatistics(7)})
    monkeypatch.setattr(dashboard, "_rendered", {})
    alert = an_alert(summary=HOSTILE)
    an_alert(summary="it is over", state=AlertState.RESOLVED)
    text = operator.get(reverse("admin:index")).text
    assert at(f"{ALERTS}_change", alert.pk) in text
    assert "it is over" not in text
    assert "<script>alert" not in text


def test_no_address_of_an_alert_fails_for_one_that_is_not_there(operator: Client) -> None:
    assert operator.get(at(f"{ALERTS}_change", 10**12)).status_code == 404
    assert operator.get(f"{at(f'{ALERTS}_changelist')}x/change/").status_code == 404
