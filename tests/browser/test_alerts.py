"""Alerts in a real browser: a rule's form asks only for what its kind needs, and an alert is closed with a click."""

import pytest
from django.urls import reverse

from derive.models import Alert, AlertMessage, AlertRule
from derive.sql.clock import database_now
from tests.browser.conftest import Visit

# A worker's heartbeats go the way "lease".
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]
FIELDS = ("count", "minutes", "interrogation_key")


def test_a_rules_form_asks_only_for_what_its_kind_needs(visit: Visit) -> None:
    AlertRule.objects.all().delete()
    page = visit.page
    page.goto(reverse("admin:derive_alertrule_add"))
    shown = {}
    for kind in ("dead_letters", "worker_gone", "verification", "oldest_wait", "task_failing"):
        page.select_option("select[name=kind]", kind)
        wanted = {"dead_letters": "count", "task_failing": "count", "verification": "name"}.get(kind, "minutes")
        page.locator(f"[name={wanted}]").wait_for(state="visible")
        shown[kind] = [name for name in FIELDS if page.locator(f"[name={name}]").is_visible()]
    assert shown == {
        "dead_letters": ["count", "minutes", "interrogation_key"],
        "worker_gone": ["minutes"],
        "verification": [],
        "oldest_wait": ["minutes", "interrogation_key"],
        "task_failing": ["count"],
    }
    page.fill("input[name=name]", "tasks")
    page.fill("input[name=count]", "2")
    page.click("button[name=_save], input[name=_save]")
    page.wait_for_url(f"**{reverse('admin:derive_alertrule_changelist')}")
    assert page.get_by_text("a scheduler task fails more than 2 times in a row").is_visible()
    assert AlertRule.objects.get().changed_by == "operator"


def test_an_alert_is_closed_and_a_test_is_asked_for_with_a_click_each(visit: Visit) -> None:
    now, page = database_now(), visit.page
    alert = Alert.objects.create(
        rule_name="r",
        kind="worker_gone",
        subject="w",
        state="firing",
        summary="w is gone",
        began_utc=now,
        fired_utc=now,
    )
    page.goto(reverse("admin:derive_alert_change", args=[alert.pk]))
    page.get_by_role("button", name="Close", exact=True).click()
    page.wait_for_url(f"**{reverse('admin:derive_alert_changelist')}")
    page.get_by_role("button", name="Send a test").click()
    page.get_by_text("the scheduler has not sent it yet").wait_for()
    assert sorted(AlertMessage.objects.values_list("event", flat=True)) == ["resolved", "test"]
