"""Every page that the URL configuration knows: usable by all, light and dark, on a screen and on a phone."""

import re
from collections.abc import Collection
from http import HTTPStatus
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from pytest_django.fixtures import Settings

from derive.batch_contracts import BatchInput
from derive.models import (
    Alert,
    AlertDelivery,
    AlertDestination,
    AlertMessage,
    AlertRule,
    EscalationPolicy,
    LakeDeletion,
    RetentionPolicy,
    ScheduleRun,
)
from derive.schedules.installing import install_schedules
from derive.sealing.chain import seal_history
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.derivation_scene import a_derivation
from tests.admin.evaluation_scene import an_experiment
from tests.admin.facts_scene import three_facts, told
from tests.admin.pages import pages
from tests.admin.worlds import WORLDS
from tests.browser.barriers import THEMES, barriers, cut_off
from tests.browser.conftest import Visit
from tests.contract.plans import a_policy, a_recurring
from tests.fake_ollama import behaviours
from tests.faults.worker_world import World

# A worker's heartbeats go the way "lease".
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]

SAME_EVERYWHERE = "#nav-sidebar-apps"
LAPTOP, PHONE = 1280, 390
OTHER_WIDTHS = (768, 1920)
"""Where nothing may be cut off either: a tablet and a large screen."""
OF_ONE_ANSWER = re.compile(r"""nonce="[^"]*"|name="csrfmiddlewaretoken" value="[^"]*"|"[A-Za-z0-9]{64}"|\d""")
"""What differs between two answers that look alike: keys of one answer, and each digit, whose width is the same."""
FILLED_LATER = ("/admin/",)
"""Whose numbers a script brings."""
LOOKED_AT: set[str] = set()
"""The pages that were looked at in this process in whatever world, by what the server sent."""


@pytest.mark.timeout(600)
def test_no_page_keeps_anybody_out(visit: Visit, world: World) -> None:
    some_of_everything(world)
    wrong: list[str] = []
    for number, address in enumerate(pages()):
        if open_page(visit, address) is None:
            continue
        for width in (LAPTOP, PHONE):
            visit.page.set_viewport_size({"width": width, "height": 900})
            found = barriers(visit.page, themes=THEMES, without=SAME_EVERYWHERE if number else "nothing")
            wrong += [f"{address} {width}: {barrier}" for barrier in found]
        wrong += cut_off_somewhere(visit, address, OTHER_WIDTHS)
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("worlds", [("nothing",), tuple(name for name in WORLDS if name != "nothing")])
def test_no_page_breaks_where_little_is_there_or_all_has_ended(
    visit: Visit, worlds: tuple[str, ...], settings: Settings, tmp_path: Path
) -> None:
    settings.LAKE_URL = str(tmp_path)
    for world in worlds:
        WORLDS[world]()
    wrong: list[str] = []
    # Pages that only ask for something are the same in each world: the lists, and what there are rows for.
    for number, address in enumerate(one for one in pages(needs_rows=False) if not one.endswith("/add/")):
        if open_page(visit, address, without=LOOKED_AT):
            found = barriers(visit.page, without=SAME_EVERYWHERE if number else "nothing")
            wrong += [f"{address}: {barrier}" for barrier in found]
            wrong += cut_off_somewhere(visit, address, (PHONE, *OTHER_WIDTHS))
    assert not wrong, "\n".join(wrong)


def open_page(visit: Visit, address: str, *, without: Collection[str] = ()) -> str | None:
    """Open a page on a laptop, and return what its server sent, for comparison.

    Return None for an address that is a file or open to forms alone, and for a page that is among ``without``: what
    was looked at in another world, and is the same in this one.
    """
    told = visit.context.request.get(address)
    if told.status == HTTPStatus.METHOD_NOT_ALLOWED or "text/html" not in told.headers.get("content-type", ""):
        return None
    assert told.ok, f"{address}: {told.status}"
    sent = f"{address} {OF_ONE_ANSWER.sub('0', told.text())}"
    if sent in without and address not in FILLED_LATER:
        return None
    visit.page.set_viewport_size({"width": LAPTOP, "height": 900})
    answer = visit.page.goto(address)
    assert answer is not None
    assert answer.ok, f"{address}: {answer.status}"
    LOOKED_AT.add(sent)
    return sent


def cut_off_somewhere(visit: Visit, address: str, widths: tuple[int, ...]) -> list[str]:
    """Return a line for each width at which a page scrolls sideways or a list cuts off its errors, and complaint."""
    wrong = []
    for width in widths:
        visit.page.set_viewport_size({"width": width, "height": 900})
        wrong += [f"{address} {width}: {what}" for what in cut_off(visit.page)]
    wrong += [f"{address}: the console says {complaint}" for complaint in visit.complaints]
    visit.complaints.clear()
    return wrong


def some_of_everything(world: World) -> None:
    """A row of each kind, so that each kind's pages have something on them."""
    world.fake.next(behaviours.wrong_quote("e1"))
    world.enqueue(entity_type="character", entity_id="tala-venn", dedupe_key="tala-venn/1", priority=200)
    world.work(runs=2)
    for _ in range(2):
        world.fake.next(behaviours.crashed())
        world.enqueue(max_attempts=1, model_hint="llama3.2")
        world.work()
        if not LakeDeletion.objects.exists():
            world.queue.purge(
                finished_before_utc=database_now(), statuses=[JobStatus.DEADLETTER], actor="ada", reason="old"
            )
    told(world.lake, three_facts())
    world.cancel(world.enqueue())
    world.queue.open_batch(BatchInput(name="letters"), actor="ada")
    an_experiment(world.queue)
    a_derivation(world.queue)
    world.queue.roll_up_hours()
    seal_history(world.lake)
    now = database_now()
    a_policy()
    a_recurring()
    EscalationPolicy.objects.create(name="aged", cron="* * * * *", next_utc=now, changed_by="ada", changed_utc=now)
    RetentionPolicy.objects.create(
        name="a-year", cron="0 3 * * *", succeeded_days=365, next_utc=now, changed_by="ada", changed_utc=now
    )
    rule = AlertRule.objects.create(name="dead", kind="dead_letters", count=9, minutes=5, changed_utc=now)
    alert = Alert.objects.create(
        rule=rule,
        rule_name="dead",
        kind="dead_letters",
        state="firing",
        summary="so many",
        began_utc=now,
        fired_utc=now,
    )
    said = AlertMessage.objects.create(alert=alert, event="fired", summary="so many", at_utc=now, addressed_utc=now)
    AlertDelivery.objects.create(message=said, destination="ops@example.com", attempts=2, next_utc=now, last_error="no")
    AlertDestination.objects.create(name="ops@example.com", failed_utc=now, last_error="no")
    install_schedules()
    ScheduleRun.objects.create(
        task="retry:nightly", run_by="q-1", started_utc=now, ended_utc=now, outcome="failed", told="away"
    )
    Group.objects.get_or_create(name="Viewer")
