"""The jobs' list: filters, pages by key, bounded work."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from derive.admin.display import template_tags
from derive.admin.jobs.filters import JobFilter
from derive.admin.lists import keyset, sequence_for_time
from derive.admin.lists.keyset import Page, Walk, equals
from derive.admin.lists.sequence_for_time import SequenceSearch
from derive.errors import ErrorKind
from derive.models import Job, Run
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.admin.conftest import Browse
from tests.contract.scenes import a_job, claim_one, failure, in_state, queued, ref

MAX_QUERIES = 12


def walk_of(query: str) -> Walk:
    return JobFilter(QueryDict(query)).walk()


def found(query: str) -> list[str]:
    sequences = walk_of(query).page().sequences
    jobs = {job.job_seq: job.entity_id for job in Job.objects.all()}
    return [jobs[number] for number in sequences]


@pytest.fixture
def jobs(queue: JobQueue) -> JobQueue:
    in_state(queue, JobStatus.SUCCEEDED, entity_id="a", entity_type="droid")
    in_state(queue, JobStatus.FAILED, entity_id="b", interrogation_key="other_v1")
    in_state(queue, JobStatus.CANCELLED, entity_id="c", model_hint="tiny")
    queued(queue, entity_id="d", dedupe_key="key-d", model_hint="tiny")
    queue.enqueue(a_job(entity_id="e"), actor="bob")
    return queue


@pytest.mark.parametrize(
    ("query", "entities"),
    [
        ("", "edcba"),
        ("status=NEW", "ed"),
        ("status=FAILED&interrogation=other_v1", "b"),
        ("interrogation=sw_entity_facts_v1", "edca"),
        ("model=tiny", "dc"),
        ("model=tiny&status=CANCELLED", "c"),
        ("error_kind=model_crashed", "b"),
        ("created_by=bob", "e"),
        ("entity=d", "d"),
        ("entity_type=droid", "a"),
        ("q=key-d", "d"),
        ("q=c", "c"),
        ("created=1h", "edcba"),
        ("created_until=1h", ""),
        ("ended=today&status=FAILED", "b"),
        ("ended=1h", "cba"),
        ("ended=1h&status=NEW", ""),
        ("ended=1h&model=tiny", "c"),
        ("status=BOGUS", ""),
        ("entity=%00", ""),
        ("created=0000-99-99", ""),
        (f"entity={'x' * 500}", ""),
    ],
)
def test_a_filter_finds_exactly_its_jobs_newest_first(jobs: JobQueue, query: str, entities: str) -> None:
    assert "".join(found(query)) == entities


def test_search_by_run_id_finds_the_runs_job(queue: JobQueue) -> None:
    queued(queue, entity_id="x")
    claim = claim_one(queue)
    assert found(f"q={claim.run_id}") == ["x"]
    queue.complete(failure(claim))
    assert found(f"q={claim.run_id}&ended=1h") == ["x"]


@pytest.mark.parametrize("query", ["", "interrogation=sw_entity_facts_v1", "ended=1h", "entity_type=droid"])
def test_pages_cover_all_once_in_order_and_lead_back(queue: JobQueue, query: str) -> None:
    jobs = queue.enqueue_many([a_job(entity_type="droid", entity_id=f"{n:02}") for n in range(23)], actor="ada")
    queue.cancel([ref(one) for one in jobs], actor="ada")
    walk = walk_of(query)
    pages: list[Page] = list(walk.batches(rows=5))
    numbers = [number for page in pages for number in page.sequences]
    assert numbers == sorted(Job.objects.values_list("job_seq", flat=True), reverse=True)
    assert [len(page.keys) for page in pages] == [5, 5, 5, 5, 3]
    back = walk.page(newer=pages[2].newer, rows=5)
    assert back.keys == pages[1].keys
    assert walk.page(older=back.older, rows=5).keys == pages[2].keys
    assert walk.page(newer=pages[1].newer, rows=5).newer is None


def test_a_page_that_no_index_serves_stops_at_its_bound_and_goes_on(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "LOOK_AT", 10)
    queue.enqueue_many([a_job(entity_id="rare", entity_type="rare")], actor="ada")
    queue.enqueue_many([a_job(entity_type="common") for _n in range(25)], actor="ada")
    walk = walk_of("entity_type=rare")
    first = walk.page()
    assert (first.keys, first.stopped) == ((), True)
    assert first.older
    second = walk.page(older=first.older)
    assert second.stopped
    third = walk.page(older=second.older)
    assert (len(third.keys), third.stopped, third.older) == (1, False, None)


def test_counting_stops_at_the_bound(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.enqueue_many([a_job() for _n in range(12)], actor="ada")
    assert walk_of("status=NEW").count() == (12, True)
    monkeypatch.setattr(keyset, "COUNT_TO", 10)
    assert walk_of("status=NEW").count() == (10, False)


def test_a_time_is_found_among_numbers(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_for_time, "NEAR", 2)
    monkeypatch.setattr(sequence_for_time, "PROBES", 3)
    queue.enqueue_many([a_job(entity_id=f"{n:02}") for n in range(40)], actor="ada")
    numbers = list(Job.objects.order_by("job_seq").values_list("job_seq", flat=True))
    now = timezone.now()
    with connection.cursor() as cursor:
        for age, number in zip(range(40, 0, -1), numbers, strict=True):
            cursor.execute(
                "UPDATE llm.job SET created_utc = %s WHERE job_seq = %s",
                [keyset.bound(now - timedelta(hours=age)), number],
            )
    seeker = SequenceSearch(Job, sequence="job_seq", time="created_utc")
    since = now - timedelta(hours=10, minutes=30)
    assert numbers[30] - 3 <= seeker.first_since(since) <= numbers[30]
    assert numbers[29] <= seeker.last_before(since) <= numbers[29] + 3
    assert found("created=630m") == [f"{n:02}" for n in range(39, 29, -1)]
    assert found("created_until=630m")[0] == "29"


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 30, "1~2", "20260101T000000.000000~1", "%00", "１"])
def test_a_crafted_cursor_is_no_cursor(queue: JobQueue, cursor: str) -> None:
    queued(queue)
    assert len(walk_of("").page(older=cursor).keys) == 1 or cursor == "1"


def test_the_list_takes_few_queries_and_no_count(browse: Browse, jobs: JobQueue) -> None:
    client = browse("operator")
    for query in ("", "?status=NEW", "?interrogation=sw_entity_facts_v1", "?created=24h&created_until=1h", "?q=a"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(f"/admin/derive/job/{query}").status_code == 200
        assert len(queries) <= MAX_QUERIES, query
        assert not [one["sql"] for one in queries if re.search(r"count\(", one["sql"], re.IGNORECASE)]


def test_a_job_id_in_the_search_leads_straight_to_the_job(browse: Browse, queue: JobQueue) -> None:
    job = queued(queue)
    answer = browse("viewer").get("/admin/derive/job/", {"q": str(job.job_id)})
    assert (answer.status_code, answer["Location"]) == (302, f"/admin/derive/job/{job.job_id}/change/")


def test_hostile_text_is_shown_as_text_with_its_tricks_visible(browse: Browse, queue: JobQueue) -> None:
    hostile = "<script>alert(1)</script>\u202egnp.exe\u0007"
    queued(queue, entity_id=hostile)
    page = browse("viewer").get("/admin/derive/job/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "⟨U+202E⟩" in page
    assert "\u202e" not in page
    assert "\u0007" not in page


def test_a_filter_is_repeated_as_text(browse: Browse) -> None:
    page = browse("viewer").get("/admin/derive/job/", {"entity": '"><img src=x onerror=alert(1)>'}).content.decode()
    assert "<img src=x" not in page


def test_an_equal_condition_binds_its_value() -> None:
    assert equals("status", "x' OR 1=1").params == ("x' OR 1=1",)


def test_jobs_of_one_import_and_of_the_next_show_ids_that_differ() -> None:
    first, second = UUID(int=0xA1 << 120).int, UUID(int=0xB2 << 120).int
    ids = [UUID(int=number + line) for number in (first, second) for line in range(1, 300)]
    assert len({template_tags.short(one) for one in ids}) == len(ids)
    assert f'title="{ids[0]}"' in template_tags.job_link(ids[0])
    assert template_tags.job_link(None) == "–"


def test_a_filter_bears_its_fields_label(browse: Browse) -> None:
    client = browse("operator")
    for name, field in JobFilter.base_fields.items():
        page = client.get(reverse("admin:derive_job_changelist"), {name: "soon"}).text
        assert f"<span>{field.label}</span> <b><bdi>soon</bdi>" in page, name
        assert page.count(f"<span>{field.label}</span>") == 2, name
    page = client.get(reverse("admin:derive_job_changelist"), {"created_until": "soon"}).text
    assert "Queued before is not a time" in page


def test_a_job_that_nobody_has_asked_about_says_so_in_words(browse: Browse, queue: JobQueue) -> None:
    job = queued(queue)
    claim = claim_one(queue)
    client, address = browse("viewer"), reverse("admin:derive_job_change", args=[job.job_id])
    assert f'<span class="holocron-dim">on {Run.objects.get().worker_id}</span>' in client.get(address).text
    queue.complete(failure(claim, error="none", error_kind=ErrorKind.EVIDENCE_MISSING))
    page = client.get(address).text
    assert "no model was asked, on worker" in page
    assert "– +" not in page
