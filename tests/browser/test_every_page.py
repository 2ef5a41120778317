"""Every page that the URL configuration knows: usable by all, light and dark, on a screen and on a phone."""

from collections.abc import Iterator
from http import HTTPStatus

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import models
from django.urls import reverse

from derive.models import EscalationPolicy, Job, LakeDeletion, RetentionPolicy, Run, ScheduleRun
from derive.schedules.installing import install_schedules
from derive.sealing.chain import seal_history
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.facts_scene import three_facts, told
from tests.admin.test_every_address import addresses
from tests.browser.barriers import COLOURS, RULES, barriers
from tests.browser.conftest import Visit
from tests.contract.plans import a_policy, a_recurring
from tests.fake_ollama import behaviours
from tests.faults.worker_world import World

# A worker's heartbeats go the way "lease".
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]

# Parts of pages, files of a row, and what leads elsewhere. What is no HTML, or answers to a form alone, says so itself.
NO_PAGES = {None, "search", "autocomplete", "logout", "login", "derive_dashboard", "derive_artifact_download"}
NO_PAGES |= {"derive_job_act_upload_bad_download"}
OF_A_ROW = ("_change", "_delete", "_history", "_password_change")
SAME_EVERYWHERE = "#nav-sidebar-apps"
ALIKE = ("_delete", "_history")
"""Of these there is one template for all kinds of rows: one kind will do."""
# What a width can break is looked at in each width once, and the colours in each of the four.
LOOKS = (("light", 1280, RULES), ("dark", 1280, COLOURS), ("dark", 390, RULES), ("light", 390, COLOURS))


@pytest.mark.timeout(600)
def test_no_page_keeps_anybody_out(visit: Visit, world: World) -> None:
    some_of_everything(world)
    wrong: list[str] = []
    for number, address in enumerate(pages()):
        told = visit.context.request.get(address)
        if told.status == HTTPStatus.METHOD_NOT_ALLOWED or "text/html" not in told.headers.get("content-type", ""):
            continue
        answer = visit.page.goto(address)
        assert answer is not None
        assert answer.ok, f"{address}: {answer.status}"
        for theme, width, rules in LOOKS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", theme == "dark")
            found = barriers(visit.page, rules=rules, without=SAME_EVERYWHERE if number else "nothing")
            wrong += [f"{address} {theme} {width}: {barrier}" for barrier in found]
        wrong += [f"{address}: the console says {complaint}" for complaint in visit.complaints]
        visit.complaints.clear()
    assert not wrong, "\n".join(wrong)


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
    world.queue.roll_up_hours()
    seal_history(world.lake)
    now = database_now()
    a_policy()
    a_recurring()
    EscalationPolicy.objects.create(name="aged", cron="* * * * *", next_utc=now, changed_by="ada", changed_utc=now)
    RetentionPolicy.objects.create(
        name="a-year", cron="0 3 * * *", succeeded_days=365, next_utc=now, changed_by="ada", changed_utc=now
    )
    install_schedules()
    ScheduleRun.objects.create(
        task="retry:nightly", run_by="q-1", started_utc=now, ended_utc=now, outcome="failed", told="away"
    )
    Group.objects.get_or_create(name="Viewer")


def pages() -> Iterator[str]:
    """Yield the address of every page; those of rows for one row of each kind, of jobs for each."""
    for address, name in addresses():
        if name in NO_PAGES:
            continue
        if name == "password_change" or not str(name).endswith(OF_A_ROW):
            yield address
            continue
        if str(name).endswith(ALIKE) and not str(name).startswith("auth_group"):
            continue
        kind = kind_of(str(name))
        rows = kind._default_manager.order_by(oldest_first(kind))
        assert rows, f"the test makes no row for {name}"
        yield from (reverse(f"admin:{name}", args=[row.pk]) for row in (rows if rows.model is Job else rows[:1]))
    first, second = Run.objects.order_by("run_seq")[:2]
    yield f"{reverse('admin:derive_job_change', args=[first.job_id])}?run={first.run_id}"
    yield f"{reverse('admin:derive_fact_entity')}?entity=tala-venn"
    yield f"{reverse('admin:derive_run_compare')}?a={first.run_id}&b={second.run_id}"


def oldest_first(kind: type[models.Model]) -> str:
    """Return the column that numbers the rows as they are made; many a primary key is drawn at random."""
    fields = [field.name for field in kind._meta.concrete_fields]
    return next((name for name in fields if name == f"{kind._meta.model_name}_seq"), "pk")


def kind_of(name: str) -> type[models.Model]:
    """Return the model whose rows an address is of, by the address's name."""
    kinds = {f"{kind._meta.app_label}_{kind._meta.model_name}_": kind for kind in admin.site._registry}
    return next(kind for prefix, kind in kinds.items() if name.startswith(prefix))
