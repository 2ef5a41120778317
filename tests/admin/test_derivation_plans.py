"""Plans and applications of derivations in the admin: off the request, one at a time, each plan applied once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.derivations import background
from derive.derivations.planning import make_plan
from derive.models import Batch, Job
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.derived import ACTOR, NAME, World

PAGE = reverse("admin:derive_derivation_plan", args=[NAME])
LIVE = reverse("admin:derive_derivation_plan_live", args=[NAME])
PLAN = reverse("admin:derive_derivation_act_plan", args=[NAME])
APPLY = reverse("admin:derive_derivation_act_apply", args=[NAME])


@pytest.fixture
def world(browse: Browse, queue: JobQueue, tmp_path: Path, settings: Settings) -> Iterator[World]:
    settings.PLANS_FOLDER = tmp_path / "plans"
    yield World(tmp_path, settings)
    finish()


def finish() -> None:
    """Wait until nothing is planned or applied any more."""
    for thread in threading.enumerate():
        if thread.name.startswith(background.THREAD):
            thread.join(60)


def shown(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    assert "<script>alert(1)" not in answer.text
    return " ".join(answer.text.split())


def planned(client: Client) -> str:
    """Plan, and return the token that the form of the application carries."""
    assert client.post(PLAN).status_code == 302
    finish()
    return str(client.get(PAGE).context["plan"].token)


def apply(client: Client, plan: str, **values: str) -> Any:
    answer = client.post(APPLY, {"plan": plan, "reason": "first time", "confirmed": "on", **values})
    finish()
    return answer


def test_a_plan_is_shown_with_its_counts_and_queues_nothing(world: World, browse: Browse) -> None:
    world.write("hoth", "naboo")
    (world.folder / f"{HOSTILE.replace('/', '')}.txt").write_bytes(b"\xff\x00")
    operator = browse("operator")
    planned(operator)
    text = shown(operator)
    assert "2 jobs would be queued" in text
    assert "too little history" in text
    assert "Cannot be read" in text
    assert not Job.objects.exists()
    assert operator.get(LIVE)["X-Live"] == "over"
    viewer = shown(browse("viewer"))
    assert "jobs would be queued" in viewer
    assert PLAN not in viewer
    assert APPLY not in viewer


def test_a_plan_is_applied_once_however_often_the_form_is_sent(world: World, browse: Browse) -> None:
    world.write("hoth", "naboo")
    operator = browse("operator")
    plan = planned(operator)
    assert apply(operator, plan).status_code == 302
    again = apply(operator, plan)
    assert again.status_code == 409
    assert "applied already" in again.text
    assert Job.objects.count() == 2
    batch = Batch.objects.get()
    text = shown(operator)
    assert "2 queued, 0 retired." in text
    assert reverse("admin:derive_batch_change", args=[batch.batch_id]) in text
    assert batch.created_by == browse.people["operator"].username
    planned(operator)
    assert "0 jobs would be queued" in shown(operator)
    assert APPLY not in shown(operator)


def test_an_application_is_confirmed_with_a_reason_and_takes_a_limit(world: World, browse: Browse) -> None:
    world.write("hoth", "naboo")
    operator = browse("operator")
    plan = planned(operator)
    for lacking in ({"reason": ""}, {"confirmed": ""}, {"max_jobs": "0"}):
        assert apply(operator, plan, **lacking).status_code == 400
    assert apply(operator, "no plan").status_code == 400
    assert not Job.objects.exists()
    assert apply(operator, plan, max_jobs="1").status_code == 302
    assert Job.objects.count() == 1
    assert "1 left to the next call" in shown(operator)


def test_a_plan_that_another_replaced_is_not_applied(world: World, browse: Browse) -> None:
    world.write("hoth")
    operator = browse("operator")
    old = planned(operator)
    planned(operator)
    assert "There is a newer plan" in apply(operator, old).text
    assert not Job.objects.exists()


def test_one_thing_runs_at_a_time_and_the_page_is_live_meanwhile(
    world: World, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("hoth")
    operator, is_asked, may_end = browse("operator"), threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        is_asked.set()
        may_end.wait(60)
        return make_plan(*arguments)

    monkeypatch.setattr(background, "make_plan", slow)
    assert operator.post(PLAN).status_code == 302
    assert is_asked.wait(60)
    assert operator.post(PLAN).status_code == 409
    assert 'data-live="auto"' in shown(operator)
    running = operator.get(LIVE)
    assert "X-Live" not in running.headers
    assert operator.get(LIVE, headers={"If-None-Match": running["ETag"]}).status_code == 304
    may_end.set()
    finish()
    assert operator.get(LIVE)["X-Live"] == "over"


def test_what_was_interrupted_says_so_and_can_be_started_again(world: World, browse: Browse) -> None:
    world.write("hoth")
    operator = browse("operator")
    planned(operator)
    (file,) = Path(world.settings.PLANS_FOLDER).glob("*/plan.json")
    work = background.Work.model_validate_json(file.read_bytes())
    file.write_text(work.model_copy(update={"ended_utc": None, "result": None}).model_dump_json(), "utf-8")
    assert "It was interrupted" in shown(operator)
    planned(operator)
    assert "1 job would be queued" in shown(operator)


def test_why_an_application_failed_is_shown(world: World, browse: Browse) -> None:
    world.write("hoth")
    world.apply()
    world.write("naboo")
    operator = browse("operator")
    plan = planned(operator)
    JobQueue().pause_derivation(NAME, actor=ACTOR, paused=True, reason=HOSTILE)
    assert apply(operator, plan).status_code == 302
    assert f"is paused by {ACTOR}" in shown(operator)
    world.declare(priority=-1)
    planned(operator)
    assert "priority" in shown(operator)
