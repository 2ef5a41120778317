"""The dashboard: what it shows to whom, where it leads, and how little it asks of the database."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import Schedule

from derive.admin.dashboard import page as dashboard_page
from derive.admin.dashboard import statistics
from derive.admin.dashboard.health_checks import HealthChecks, check_scheduler
from derive.admin.dashboard.statistics import SharedStatistics
from derive.contracts import RunFacts, WorkerFacts
from derive.errors import ErrorKind
from derive.health import ReadinessCheck
from derive.models import RetryPolicy, SchedulerProcess
from derive.queue import JobQueue
from derive.sql import queue_status
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.derivation_scene import a_derivation
from tests.contract.plans import a_policy
from tests.contract.scenes import a_job, claim_one, claimed, failure, in_state, queued, success
from tests.contract.test_parts import in_parts

MAX_QUERIES = 15
ANSWERED = RunFacts(
    model_name="llama3.2", prompt_tokens=900, output_tokens=120, metrics_json='{"total_duration":2000000000}'
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers and health that no other test has read; health is looked at nowhere."""
    monkeypatch.setattr(
        dashboard_page, "STATISTICS", {span: SharedStatistics(days) for span, days in dashboard_page.SPANS.items()}
    )
    monkeypatch.setattr(dashboard_page, "HEALTH_CHECKS", HealthChecks(checks=()))
    monkeypatch.setattr(dashboard_page, "_rendered", {})


def shown(client: Client, address: str = "/admin/") -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return unescape(answer.text)


def part(html: str, name: str) -> str:
    found = re.search(rf'<section[^>]*data-part="{name}".*?</section>', html, re.DOTALL)
    assert found, f"no part {name}"
    return found[0]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_a_state_is_a_tile_with_its_jobs_that_leads_to_their_list(browse: Browse, queue: JobQueue) -> None:
    for status in (JobStatus.NEW, JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.SUCCEEDED, JobStatus.SUCCEEDED):
        in_state(queue, status)
    queue.roll_up_hours()
    client = browse("viewer")
    html = shown(client)
    tile = re.search(r"<a[^>]*hc-tile-succeeded.*?</a>", html, re.DOTALL)
    assert tile
    assert "Succeeded 2 2 succeeded / 24 h" in words(tile[0]).replace("\xa0", " ")
    link = re.search(r'href="([^"]*)"', tile[0])
    assert link
    assert shown(client, link[1]).count('data-label="Job"') == 2


def test_jobs_in_parts_have_a_tile_that_leads_to_them_while_there_are_any(browse: Browse, queue: JobQueue) -> None:
    client = browse("viewer")
    assert "In parts" not in words(part(shown(client), "tiles"))
    dashboard_page.STATISTICS["24h"] = SharedStatistics(1)
    job_id = in_parts(queue).job_id
    tiles = part(shown(client), "tiles")
    assert "In parts 1 wait for their parts" in words(tiles)
    assert str(job_id) in shown(client, re.findall(r'id="hc-tile-split"\s+href="([^"]+)"', tiles)[0])


def test_a_state_with_many_jobs_says_more_than_and_is_not_counted_again_at_once(
    browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (queue_status, statistics, dashboard_page):
        monkeypatch.setattr(module, "COUNT_CAP", 3)
    monkeypatch.setattr(statistics, "KEPT_SECONDS", 0.0)
    queue.enqueue_many([a_job() for _ in range(5)], actor="ada")
    client = browse("viewer")
    assert "Ready more than 3" in words(part(shown(client), "tiles"))
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert "Ready more than 3" in words(part(shown(client), "tiles"))
    assert not any("status = 'NEW' ORDER BY job_seq OFFSET" in query["sql"] for query in captured.captured_queries)


def test_failures_are_grouped_and_each_number_leads_to_just_those_jobs(browse: Browse, queue: JobQueue) -> None:
    for kind in (ErrorKind.INVALID_INPUT, ErrorKind.INVALID_INPUT, ErrorKind.MODEL_NOT_FOUND):
        queue.complete(failure(claimed(queue), error_kind=kind))
    queue.complete(failure(claimed(queue, max_attempts=1), error_kind=ErrorKind.MODEL_CRASHED, retry_after_seconds=0))
    queue.roll_up_hours()
    client = browse("viewer")
    failures = part(shown(client), "failures")
    assert "invalid_input sw_entity_facts_v1 2 0 0" in words(failures)
    assert "model_crashed sw_entity_facts_v1 0 1 0" in words(failures)
    links = re.findall(r'href="([^"]*)"[^>]*aria-label="(\d+) (failed|that gave up) with (\w+)"', failures)
    assert len(links) == 3
    for link, amount, _what, kind in links:
        found = shown(client, link)
        assert found.count('data-label="Job"') == int(amount), link
        assert kind in found


def test_a_kind_of_error_leads_to_its_runs_though_their_jobs_succeeded_after_all(
    browse: Browse, queue: JobQueue
) -> None:
    claim = claimed(queue)
    queue.complete(failure(claim, error_kind=ErrorKind.INVALID_OUTPUT, retry_after_seconds=0))
    queue.complete(success(claim_one(queue), run=ANSWERED))
    queue.roll_up_hours()
    client = browse("viewer")
    (link,) = re.findall(r'href="([^"]*)"><code>invalid_output', part(shown(client), "failures"))
    assert str(claim.job_id)[:8] in shown(client, link.replace("&amp;", "&"))


def test_the_backlog_says_when_it_will_be_done_at_the_measured_rate(browse: Browse, queue: JobQueue) -> None:
    for _ in range(5):
        queue.complete(success(claimed(queue), run=ANSWERED))
    for _ in range(2):
        queued(queue, entity_id="the oldest", interrogation_key="first")
    backlog = words(part(shown(browse("viewer")), "backlog"))
    assert "Ready and waiting 2" in backlog
    assert "the oldest · first" in backlog
    assert "Throughput 1 per minute" in backlog
    assert "Backlog clears in 2 min" in backlog


def test_a_backlog_that_nobody_works_off_is_never_done(browse: Browse, queue: JobQueue) -> None:
    queued(queue)
    backlog = words(part(shown(browse("viewer")), "backlog"))
    assert "Backlog clears in never" in backlog
    assert "Is a worker running?" in backlog


def test_charts_show_outcomes_times_and_speeds_of_the_hours(browse: Browse, queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=ANSWERED))
    queue.complete(failure(claimed(queue), error_kind=ErrorKind.INVALID_INPUT))
    queue.roll_up_hours()
    client = browse("viewer")
    for span in ("24h", "7d"):
        html = shown(client, f"/admin/?span={span}")
        assert "succeeded 1 failed 1 gave up 0 cancelled 0" in words(part(html, "outcomes"))
        assert 'data-lines="succeeded: 1\nfailed: 1"' in part(html, "outcomes")
        assert "so far" in part(html, "outcomes")
        assert "p50" in words(part(html, "wait"))
        assert "p95" in words(part(html, "run"))
        assert "llama3.2 60/s, 120 in all" in words(part(html, "speeds"))


def test_a_chart_has_a_column_for_each_hour_in_the_viewers_zone(browse: Browse, queue: JobQueue) -> None:
    queue.complete(success(claimed(queue)))
    queue.roll_up_hours()
    client = browse("viewer")
    client.cookies["holocron_zone"] = "Asia/Kolkata"
    html = part(shown(client), "outcomes")
    assert html.count("hc-hit") == 24
    assert re.search(r'data-label="\w{3} \d+ \w{3}, \d\d:30–\d\d:30 so far"', html)
    assert part(shown(client, "/admin/?span=7d"), "outcomes").count("hc-hit") == 168


def test_workers_are_shown_with_what_they_work_on(browse: Browse, queue: JobQueue) -> None:
    facts = WorkerFacts(host="h", pid=7, version="1", started_utc=datetime.now(UTC), concurrency=4, stopping=False)
    queue.heartbeat("worker-1", [], facts=facts)
    claim = claimed(queue, entity_id="leia")
    workers = part(shown(browse("viewer")), "workers")
    assert "1 alive" in words(workers)
    assert "leia for" in words(workers)
    assert str(claim.job_id) in workers


def test_health_says_what_is_failing_and_why(browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_lake() -> tuple[ReadinessCheck, ...]:
        return (
            ReadinessCheck("lake", ok=False, reason=f"cannot be written {HOSTILE}"),
            ReadinessCheck("database", ok=True),
        )

    checks = HealthChecks(checks=(check_lake,))
    checks._look()
    monkeypatch.setattr(dashboard_page, "HEALTH_CHECKS", checks)
    answer = browse("viewer").get("/admin/")
    assert "<script>alert(1)" not in answer.text
    health = words(part(answer.text, "health"))
    assert "lake failing cannot be written &lt;/pre&gt;" in health
    assert "database OK" in health
    assert "statistics failing no statistics yet" in health


def test_a_scheduler_that_has_been_down_for_a_day_is_red(
    browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_policy(due_minutes_ago=24 * 60)
    now = database_now()
    Schedule.objects.update(next_run=now + timedelta(hours=1))
    SchedulerProcess.objects.create(cluster_id="c", host="h", pid=1, seen_utc=now - timedelta(days=1))
    checks = HealthChecks(checks=(check_scheduler,))
    monkeypatch.setattr(dashboard_page, "HEALTH_CHECKS", checks)
    for says, age in (("no scheduler is running", 1), ("retry:nightly is overdue by 24 h", 0)):
        SchedulerProcess.objects.update(seen_utc=now - timedelta(days=age))
        checks._look()
        assert f"scheduler failing {says}" in words(part(browse("viewer").get("/admin/").text, "health"))
    RetryPolicy.objects.all().delete()
    SchedulerProcess.objects.update(seen_utc=database_now())
    checks._look()
    assert "scheduler OK" in words(part(browse("viewer").get("/admin/").text, "health"))
    SchedulerProcess.objects.all().delete()


def test_names_of_strangers_are_text(browse: Browse, queue: JobQueue) -> None:
    queue.complete(
        success(
            claimed(queue),
            run=RunFacts(
                model_name=HOSTILE, output_tokens=5, prompt_tokens=5, metrics_json='{"total_duration":100000000}'
            ),
        )
    )
    queue.complete(failure(claimed(queue, interrogation_key="<b>x</b>"), error_kind=ErrorKind.INTERNAL))
    queued(queue, entity_id=HOSTILE)
    queue.heartbeat(HOSTILE, [])
    queue.roll_up_hours()
    text = browse("viewer").get("/admin/").text
    assert "<script>alert(1)" not in text
    assert "<b>x</b>" not in text
    assert "\u202e" not in text


def test_what_has_not_changed_is_not_sent_again(
    browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "KEPT_SECONDS", 0.0)
    queued(queue)
    queue.roll_up_hours()
    client, address = browse("viewer"), reverse("admin:derive_dashboard")
    first = client.get(address)
    again = client.get(address, headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    queued(queue)
    assert client.get(address, headers={"if-none-match": first["ETag"]}).status_code == 200
    assert client.post(address).status_code in {403, 405}


def test_who_may_not_see_jobs_gets_no_numbers(browse: Browse, queue: JobQueue, people: dict[str, User]) -> None:
    queued(queue)
    guest = User.objects.create(username=f"guest-{uuid4()}", is_staff=True)
    client = Client()
    client.force_login(guest, backend="django.contrib.auth.backends.ModelBackend")
    html = shown(client)
    assert "do not have access to jobs yet" in html
    assert "data-part" not in html
    assert client.get(reverse("admin:derive_dashboard")).status_code == 403
    guest.user_permissions.add(Permission.objects.get(codename="view_job"))
    html = shown(client)
    assert 'data-part="tiles"' in html
    assert 'data-part="workers"' not in html
    guest.delete()


def test_an_empty_queue_says_what_to_do_first(browse: Browse, queue: JobQueue) -> None:
    html = words(shown(browse("viewer")))
    assert "Nothing has been queued yet" in html
    assert "manage.py enqueue_jobs" in html
    assert "No worker is running. Start one: manage.py run_llm_worker --loop" in html


@pytest.mark.parametrize("span", ["24h", "7d"])
def test_the_page_asks_little_and_again_next_to_nothing(browse: Browse, queue: JobQueue, span: str) -> None:
    for status in JobStatus:
        in_state(queue, status)
    queue.roll_up_hours()
    client, address = browse("viewer"), f"{reverse('admin:derive_dashboard')}?span={span}"
    with CaptureQueriesContext(connection) as cold:
        client.get(f"/admin/?span={span}")
    assert len(cold) <= MAX_QUERIES, [query["sql"][:80] for query in cold.captured_queries]
    with CaptureQueriesContext(connection) as again:
        client.get(address)
    assert len(again) <= 4, [query["sql"][:80] for query in again.captured_queries]


def test_late_events_of_an_hour_that_is_over_are_in_the_next_numbers(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "KEPT_SECONDS", 0.0)
    numbers = SharedStatistics(1)
    job = queued(queue)
    queue.roll_up_hours()
    assert sum(one.enqueued for one in numbers.snapshot().hours) == 1
    _count_into(datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1))
    assert sum(one.enqueued for one in numbers.snapshot().hours) == 2
    assert job


def _count_into(hour: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.stat_hour (hour_utc, interrogation_key, model, error_kind, enqueued)"
            f" VALUES ('{hour:%Y-%m-%dT%H:%M:%S}Z', 'k', '', '', 1)"
        )


def test_an_unknown_span_is_the_first_one(browse: Browse, queue: JobQueue) -> None:
    queued(queue)
    assert browse("viewer").get("/admin/?span=<script>").text.count('aria-current="true"') == 1


def test_what_is_kept_current_has_a_tile_while_there_is_any(browse: Browse, queue: JobQueue) -> None:
    assert "Kept current" not in shown(browse("viewer"))
    a_derivation(queue)
    dashboard_page.STATISTICS["24h"] = SharedStatistics(1)
    tile = part(shown(browse("viewer")), "kept-current")
    assert reverse("admin:derive_derivation_change", args=["planet-facts"]) in tile
    assert "paused" in words(tile)
    assert re.search(r'data-label="Current" class="hc-num">\s*0 %', tile)
    assert re.search(r'data-label="Lagging" class="hc-num">\s*2\s', tile)
