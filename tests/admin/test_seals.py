"""The chain of seals, as operators see it."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from derive.admin.lists import keyset
from derive.admin.schedules.overview import title_of
from derive.admin.site import permissions
from derive.errors import LakeUnavailable
from derive.lake import Lake
from derive.models import Seal, TaskState
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult, run_single_flight
from derive.sealing.chain import seal_history
from derive.sql.clock import database_now
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.scenes import queued

MAX_QUERIES = 12


@pytest.fixture
def seals(browse: Browse, queue: JobQueue, tmp_path: Path) -> list[Any]:
    """Two seals, and an event after them."""
    for _ in range(2):
        queued(queue)
        seal_history(Lake.open(str(tmp_path)))
    queued(queue)
    return list(Seal.objects.order_by("-seal_seq"))


def test_the_seals_are_listed_with_the_head_and_what_waits(browse: Browse, seals: list[Any]) -> None:
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    page = client.get(address)
    assert [(seal.seal_seq, seal.is_stored) for seal in page.context["rows"]] == [(2, True), (1, True)]
    assert f"2:{seals[0].sha256}" in page.text
    assert "wait for the next seal" in page.text
    assert [one.seal_seq for one in client.get(address, {"q": seals[1].sha256}).context["rows"]] == [1]
    assert "Sealed since is not a time" in client.get(address, {"since": "soon"}).text
    assert not client.get(address, {"until": "2h"}).context["rows"]
    assert seals[1].sha256 in client.get(reverse("admin:derive_seal_change", args=[1])).text


def test_the_seals_are_paged_by_key_in_few_queries(
    browse: Browse, seals: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset.Walk.page, "__kwdefaults__", {**(keyset.Walk.page.__kwdefaults__ or {}), "rows": 1})
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    with CaptureQueriesContext(connection) as asked:
        first = client.get(address)
    assert len(asked) <= MAX_QUERIES
    second = client.get(address + first.context["paging"]["older"])
    assert [one.seal_seq for one in (*first.context["rows"], *second.context["rows"])] == [2, 1]


def test_a_seal_that_the_lake_does_not_have_yet_says_so(browse: Browse, queue: JobQueue, tmp_path: Path) -> None:
    queued(queue)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LakeUnavailable):
        seal_history(Lake.open(str(tmp_path / "file")))
    assert "waits for the lake" in browse("viewer").get(reverse("admin:derive_seal_changelist")).text


def said_of_the_verification(page: Any) -> str:
    words = " ".join(strip_tags(page.text).split())
    return words[words.index("No scheduled" if "No scheduled" in words else "Last scheduled verification") :]


def test_a_verification_that_never_ran_is_said_to_have_never_run(browse: Browse, queue: JobQueue) -> None:
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    assert said_of_the_verification(client.get(address)).startswith("No scheduled verification has run yet.")
    # One that is at it for the first time has not ended either.
    TaskState.objects.create(name="verify_sample", started_utc=database_now())
    assert said_of_the_verification(client.get(address)).startswith("No scheduled verification has run yet.")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (TaskResult(TaskOutcome.DONE, "50 runs verified"), "50 runs verified"),
        (TaskResult(TaskOutcome.IDLE), "there were no runs to verify"),
        (TaskResult(TaskOutcome.FAILED, f"1 fault in 50 runs: {HOSTILE}"), "1 fault in 50 runs: "),
    ],
)
def test_the_last_verification_by_schedule_is_reported_with_how_it_ended(
    browse: Browse, queue: JobQueue, told: TaskResult, words: str
) -> None:
    run_single_flight("verify_sample", lambda _deadline: told, seconds=60)
    page = browse("viewer").get(reverse("admin:derive_seal_changelist"))
    said = said_of_the_verification(page)
    assert said.startswith(f"Last scheduled verification of a sample of runs: {told.outcome}")
    assert f"ago: {words}" in said
    assert "<script>alert" not in page.text
    assert "not verified on a schedule: manage.py verify_audit" in said


def test_after_a_failure_the_last_time_that_went_well_is_reported_too(browse: Browse, queue: JobQueue) -> None:
    run_single_flight("verify_sample", lambda _deadline: TaskResult(TaskOutcome.DONE, "50 runs verified"), seconds=60)
    run_single_flight("verify_sample", lambda _deadline: TaskResult(TaskOutcome.FAILED, "1 fault"), seconds=60)
    assert "1 fault (last success" in said_of_the_verification(
        browse("viewer").get(reverse("admin:derive_seal_changelist"))
    )


def test_the_verification_leads_to_its_schedules_page_for_who_may_see_it(
    browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, address = browse("viewer"), reverse("admin:derive_seal_changelist")
    link = f"{reverse('admin:derive_schedulerun_changelist')}?task=verify_sample#runs"
    assert f'href="{link}"' in client.get(address).text
    assert title_of("verify_sample") in client.get(link).text
    monkeypatch.setattr(permissions, "may", lambda _request, what: what == permissions.VIEW_SEALS)
    assert link not in client.get(address).text


@pytest.mark.parametrize(("pending", "words"), [(None, "in the lake"), ("{}", "waits for the lake")])
def test_a_seals_page_and_its_list_say_the_same_of_its_document(
    browse: Browse, seals: list[Any], pending: str | None, words: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.seal SET pending_json = %s WHERE seal_seq = 2", [pending])
    client = browse("viewer")
    listed = client.get(reverse("admin:derive_seal_changelist")).text.partition('data-label="Document"')[2]
    assert words in listed[:200]
    assert words in client.get(reverse("admin:derive_seal_change", args=[2])).text
