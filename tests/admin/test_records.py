"""Runs, artifacts, workers, interrogations and the audit."""

import csv
import io
import json
import re
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.lists import keyset
from derive.admin.lists.suggestions import registry
from derive.admin.records import run_diff
from derive.admin.records.audit import ACTS, EventFilter
from derive.contracts import Outcome, RunFacts, WorkerFacts
from derive.lake import Lake, artifact_facts
from derive.models import Artifact, JobEvent, Run, Worker
from derive.queue import JobQueue
from derive.sql.clock import database_now
from derive.states import JobStatus, RunStatus
from tests.admin.conftest import HOSTILE, Browse, Scene
from tests.contract.scenes import a_job, claim_one, failure, pass_time, queued, ref, success

MAX_QUERIES = 12


def whole(answer: Any) -> bytes:
    content: Iterable[bytes] = answer.streaming_content
    with closing(answer):
        return b"".join(content)


def test_an_artifact_is_sent_as_it_was_recorded_and_does_nothing_in_a_browser(browse: Browse, scene: Scene) -> None:
    answer = browse("operator").get(reverse("admin:derive_artifact_download", args=[scene.artifact]))
    assert whole(answer) == f"Ask: {HOSTILE}".encode()
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == f'attachment; filename="{str(scene.run)[:8]}-prompt.txt"'


def test_a_changed_file_is_not_sent_but_reported_loudly(browse: Browse, scene: Scene) -> None:
    uri = Artifact.objects.get(pk=scene.artifact).lake_uri
    (scene.lake / uri).chmod(0o600)
    (scene.lake / uri).write_bytes(b"something else")
    client, address = browse("operator"), reverse("admin:derive_artifact_download", args=[scene.artifact])
    answer = client.get(address)
    assert answer.status_code == 409
    assert "NOT what was recorded" in answer.content.decode()
    assert "NOT what was recorded" in client.get(reverse("admin:derive_artifact_change", args=[scene.artifact])).text
    insisted = client.get(address, {"anyway": "yes"})
    assert "UNVERIFIED-" in insisted["Content-Disposition"]
    assert whole(insisted) == b"something else"


def test_a_missing_file_is_reported_and_no_crash(browse: Browse, scene: Scene) -> None:
    (scene.lake / Artifact.objects.get(pk=scene.artifact).lake_uri).unlink()
    client = browse("operator")
    assert client.get(reverse("admin:derive_artifact_download", args=[scene.artifact])).status_code == 502
    assert "cannot be shown" in client.get(reverse("admin:derive_artifact_change", args=[scene.artifact])).text


def test_a_files_text_is_for_those_who_may_see_payloads(browse: Browse, scene: Scene) -> None:
    address = reverse("admin:derive_artifact_change", args=[scene.artifact])
    shown = browse("operator").get(address).text
    assert "Ask: &lt;/pre&gt;&lt;script&gt;" in shown
    assert "⟨U+202E⟩" in shown
    assert "The bytes match the recorded SHA-256" in shown
    assert "Ask: " not in browse("viewer").get(address).text


def two_runs(queue: JobQueue) -> tuple[Any, Any]:
    queued(queue, max_attempts=5)
    first = claim_one(queue)
    metrics = '{"total_duration": 250000000, "eval_count": 9}'
    facts = RunFacts(
        model_name="tiny",
        options_json='{"seed": 1}',
        metrics_json=metrics,
        output_json='{"facts": [{"value": "A"}]}',
    )
    queue.complete(failure(first, retry_after_seconds=0, run=facts))
    second = claim_one(queue)
    facts = RunFacts(
        model_name="big",
        options_json='{"seed": 1}',
        metrics_json='{"total_duration": 90000000000}',
        output_json='{"facts": [{"value": "B"}, 7]}',
    )
    queue.complete(Outcome(job_id=second.job_id, run_id=second.run_id, status=RunStatus.SUCCEEDED, run=facts))
    return first, second


def test_two_runs_are_compared_field_by_field(browse: Browse, queue: JobQueue) -> None:
    first, second = two_runs(queue)
    query = {"a": str(first.run_id), "b": str(second.run_id)}
    client = browse("operator")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(reverse("admin:derive_run_compare"), query)
    assert len(queries) <= MAX_QUERIES
    output = {pair.name: (pair.left, pair.right, pair.differs) for pair in page.context["output"]}
    assert output == {"facts[0].value": ("A", "B", True), "facts[1]": ("", "7", True)}
    assert {pair.name: (pair.left, pair.right) for pair in page.context["metrics"]} == {
        "total_duration": ("0.25 s", "1 min 30 s"),
        "eval_count": ("9", ""),
    }
    assert [pair.differs for pair in page.context["options"]] == [False]
    assert {pair.name for pair in page.context["facts"] if pair.differs} >= {"model name", "status"}
    hidden = browse("viewer").get(reverse("admin:derive_run_compare"), query)
    assert "output" not in hidden.context
    assert "facts[0].value" not in hidden.text


def test_facts_are_compared_by_key_and_value_whatever_their_order() -> None:
    born, home = {"fact_key": "born", "value": "19 BBY"}, {"fact_key": "home", "value": "Tatooine"}
    pairs = run_diff.fields_of(
        json.dumps({"facts": [born, home, home]}), json.dumps({"facts": [{**home, "quote": "it is"}, {"fact_key": 1}]})
    )
    told = {(pair.name, pair.left, pair.right) for pair in pairs if pair.differs}
    assert ("facts[home: Tatooine].quote", "", "it is") in told
    assert ("facts[born: 19 BBY].value", "19 BBY", "") in told
    assert ("facts[home: Tatooine (2)].value", "Tatooine", "") in told
    assert ("facts[1].fact_key", "", "1") in told
    assert "facts[home: Tatooine].value" not in {name for name, _left, _right in told}


def test_a_failed_attempt_is_compared_by_what_the_model_wrote_and_marks_are_no_difference(
    browse: Browse, queue: JobQueue, settings: Any, tmp_path: Any
) -> None:
    settings.LAKE_URL = str(tmp_path)
    lake, runs = Lake.open(str(tmp_path)), []
    queued(queue, max_attempts=5)
    for mark, answer in (("0a" * 8, '{"facts": [], "note": "cut'), ("1b" * 8, '{"facts": []}')):
        claim = claim_one(queue)
        folder = lake.run_folder(claim.started_utc, claim.run_id)
        prompt = f'Ask.\n[[{mark}]] evidence_id: "e1"\nHoth.\n[[{mark}]] end of evidence'
        response = json.dumps({"message": {"content": answer}})
        files = lake.write_all(folder, {"prompt.txt": prompt.encode(), "response.json": response.encode()})
        facts = artifact_facts(claim.run_id, folder, files)
        queue.complete(failure(claim, retry_after_seconds=0, artifacts=facts))
        runs.append(claim.run_id)
    page = browse("operator").get(reverse("admin:derive_run_compare"), {"a": str(runs[0]), "b": str(runs[1])})
    output = {pair.name: (pair.left, pair.right) for pair in page.context["output"]}
    assert output == {"(not JSON)": ('{"facts": [], "note": "cut', ""), "facts": ("", "[]")}
    assert page.context["prompt"] == []


def test_a_runs_page_tells_its_times_to_the_second_and_leads_to_its_job(browse: Browse, scene: Scene) -> None:
    run = Run.objects.get(run_id=scene.run)
    html = browse("viewer").get(reverse("admin:derive_run_change", args=[scene.run])).content.decode()
    assert f"{run.started_utc:%Y-%m-%d %H:%M:%S}" in html
    assert f'href="{reverse("admin:derive_job_change", args=[run.job_id])}"' in html


def test_what_one_of_two_runs_lacks_is_no_field() -> None:
    fields = [(pair.name, pair.left, pair.right) for pair in run_diff.fields_of('{"seed": 0}', None)]
    assert fields == [("seed", "0", "")]


@pytest.mark.parametrize("query", [{}, {"a": "x"}, {"a": str(uuid4()), "b": "<script>alert(1)</script>"}])
def test_runs_that_are_not_there_are_asked_for(browse: Browse, query: dict[str, str]) -> None:
    page = browse("operator").get(reverse("admin:derive_run_compare"), query)
    assert page.status_code == 200
    assert "Choose two runs" in page.text
    assert "<script>alert" not in page.text


def test_a_difference_shows_what_changed_with_some_lines_around() -> None:
    old = "\n".join(f"line {n}" for n in range(30))
    lines = run_diff.difference(old, old.replace("line 15", "line \u202efifteen"))
    assert [(line.kind, line.text) for line in lines if line.kind in {"gone", "new"}] == [
        ("gone", "line 15"),
        ("new", "line ⟨U+202E⟩fifteen"),
    ]
    assert len(lines) == 9
    assert run_diff.difference(old, old) == []


def test_a_difference_of_huge_texts_is_bounded() -> None:
    lines = run_diff.difference("x" * 2_000_000, "y\n" * 50_000)
    assert sum(len(line.text) for line in lines) < 20_000
    assert "only the first" in lines[-1].text


def test_a_worker_is_alive_then_stale_then_gone_and_shows_what_it_works_on(browse: Browse, queue: JobQueue) -> None:
    facts = WorkerFacts(host=HOSTILE[:100], pid=7, version="1", started_utc=datetime.now(UTC), concurrency=2)
    job = queued(queue, entity_id="luke")
    claim = claim_one(queue)
    queue.heartbeat("worker-1", [claim.run_id], facts=facts)
    client, address = browse("viewer"), reverse("admin:derive_worker_changelist")
    page = client.get(address)
    ((worker, state, jobs),) = page.context["rows"]
    assert (worker.worker_id, state, [one.job_id for one in jobs]) == ("worker-1", "alive", [job.job_id])
    assert "<script>alert" not in page.text
    pass_time(90)
    assert client.get(address).context["rows"][0][1] == "stale"
    pass_time(90)
    assert client.get(address).context["rows"][0][1] == "gone"
    assert Worker.objects.count() == 1


def test_a_worker_that_was_stopped_has_stopped_and_one_that_died_while_stopping_is_gone(
    browse: Browse, queue: JobQueue
) -> None:
    facts = WorkerFacts(host="h", pid=7, version="1", started_utc=datetime.now(UTC), concurrency=2, stopping=True)
    queued(queue)
    claim = claim_one(queue)
    queue.heartbeat("worker-1", [claim.run_id], facts=facts)
    client, address = browse("viewer"), reverse("admin:derive_worker_changelist")
    assert client.get(address).context["rows"][0][1] == "stopping"
    pass_time(180)
    assert client.get(address).context["rows"][0][1] == "gone"
    queue.complete(failure(claim))
    queue.heartbeat("worker-1", [], facts=facts)
    for _ in range(2):
        page = client.get(address)
        assert page.context["rows"][0][1] == "stopped"
        assert "hc-state-gone" not in page.text
        pass_time(180)


def test_a_worker_that_claims_nothing_shows_why(browse: Browse, queue: JobQueue) -> None:
    facts = WorkerFacts(host="h", pid=7, version="1", started_utc=datetime.now(UTC), concurrency=2)
    queue.heartbeat("worker-1", [], facts=facts.model_copy(update={"not_claiming_why": f"no disk left {HOSTILE}"}))
    client, address = browse("viewer"), reverse("admin:derive_worker_changelist")
    shown = client.get(address).text
    assert "Claims nothing: <bdi>no disk left" in shown
    assert "<script>alert" not in shown
    queue.heartbeat("worker-1", [], facts=facts)
    assert "Claims nothing" not in client.get(address).text


def test_an_interrogation_shows_its_definition_lint_and_figures(browse: Browse, queue: JobQueue) -> None:
    own = registry().get("sw_entity_facts_v1").definition
    queue.register(
        definition_sha256=own.definition_sha256,
        interrogation_key=own.interrogation_key,
        version=own.version,
        prompt_template=own.prompt_template,
        output_schema_json=own.canonical_schema_json,
        rubric=own.rubric,
    )
    for status in (RunStatus.SUCCEEDED, RunStatus.FAILED):
        queued(queue)
        claim = claim_one(queue)
        facts = RunFacts(definition_sha256=own.definition_sha256, prompt_tokens=100, output_tokens=50, total_ms=2_000)
        queue.complete(Outcome(job_id=claim.job_id, run_id=claim.run_id, status=status, run=facts))
    client = browse("viewer")
    row = client.get(reverse("admin:derive_interrogation_changelist")).context["rows"][0]
    assert (row[1].runs, row[1].success_rate, row[1].prompt_tokens) == (2, "50 %", 100)
    page = client.get(reverse("admin:derive_interrogation_change", args=[own.definition_sha256])).text
    assert "Installed here" in page
    assert "50 % succeeded" in page
    assert "&quot;additionalProperties&quot;" in page
    assert "Refused by the server" not in page
    queue.set_schema_refusal(own.definition_sha256, why="failed to parse grammar <b>")
    page = client.get(reverse("admin:derive_interrogation_change", args=[own.definition_sha256])).text
    assert "failed to parse grammar &lt;b&gt;" in page
    assert "refused by the server" in client.get(reverse("admin:derive_interrogation_changelist")).text


def test_a_definition_without_runs_is_listed_and_shown(browse: Browse, queue: JobQueue) -> None:
    own = registry().get("sw_entity_facts_v1").definition
    queue.register(
        definition_sha256=own.definition_sha256,
        interrogation_key=own.interrogation_key,
        version=own.version,
        prompt_template=own.prompt_template,
        output_schema_json=own.canonical_schema_json,
        rubric=own.rubric,
    )
    client = browse("viewer")
    assert client.get(reverse("admin:derive_interrogation_changelist")).context["rows"][0][1] is None
    page = client.get(reverse("admin:derive_interrogation_change", args=[own.definition_sha256]))
    assert page.status_code == 200


def test_the_runs_of_an_interrogation_include_those_that_failed_before_a_definition_was_known(
    browse: Browse, queue: JobQueue
) -> None:
    queued(queue, interrogation_key="nobody_knows_v1")
    queue.complete(failure(claim_one(queue)))
    queued(queue)
    queue.complete(failure(claim_one(queue)))
    rows = browse("viewer").get(reverse("admin:derive_run_changelist"), {"interrogation": "nobody_knows_v1"})
    assert len(rows.context["rows"]) == 1


@pytest.fixture
def history(queue: JobQueue) -> Any:
    """Two jobs, one cancelled by bob with a reason that is a formula."""
    job, other = queued(queue), queued(queue)
    queue.cancel([ref(job)], actor="bob", reason="=HYPERLINK(1)")
    queue.set_hold([ref(other)], actor="carol", hold=True)
    return job


def events(browse: Browse, **query: str) -> list[str]:
    page = browse("viewer").get(reverse("admin:derive_jobevent_changelist"), query)
    return [event.event for event in page.context["rows"]]


def test_the_audit_shows_what_people_did_and_all_when_asked(browse: Browse, queue: JobQueue, history: Any) -> None:
    claim_one(queue)
    asked = ["enqueued", "enqueued"]
    assert events(browse) == ["held", "cancelled", *asked]
    assert events(browse, who="acts") == ["held", "cancelled"]
    assert events(browse, who="all") == ["claimed", "held", "cancelled", *asked]
    assert events(browse, actor="bob") == ["cancelled"]
    assert events(browse, actor="ada") == asked
    assert events(browse, who="acts", actor="ada") == []
    assert events(browse, who="all", actor="ada") == asked
    assert events(browse, event="enqueued") == asked
    assert events(browse, event="claimed") == ["claimed"]
    assert events(browse, event="held") == ["held"]
    assert events(browse, who="acts", event="enqueued") == []
    assert events(browse, job=str(history.job_id)) == ["cancelled", "enqueued"]
    assert events(browse, since="1h") == ["held", "cancelled", *asked]
    assert events(browse, until="1h") == []
    assert events(browse, event="nonsense") == []
    assert events(browse, who="all", event="cancelled", actor="bob") == ["cancelled"]


def test_an_audit_says_that_nobody_did_anything_only_if_nobody_did(browse: Browse, queue: JobQueue) -> None:
    client, address = browse("viewer"), reverse("admin:derive_jobevent_changelist")
    assert "Nobody has queued or changed a job yet" in client.get(address).text
    queued(queue)
    assert [event.event for event in client.get(address).context["rows"]] == ["enqueued"]
    filtered = client.get(address, {"actor": "eve"}).text
    assert "No such action" in filtered
    assert "also shows what workers did" in filtered


@pytest.mark.usefixtures("no_autovacuum")
def test_the_audits_first_page_reads_as_little_after_many_events_of_workers_as_after_none(queue: JobQueue) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("reads the pages of a plan, which PostgreSQL alone tells with it")
    queued(queue)
    queue.cancel([ref(queued(queue))], actor="bob")
    pages = {}
    for many in (0, 20_000):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, db_user) "
                "SELECT gen_random_uuid(), now(), 'claimed', 'NEW', 'RUNNING', 'w', 'w' FROM generate_series(1, %s)",
                [many],
            )
            cursor.execute("VACUUM (ANALYZE) llm.job_event")
            for query in ("", "actor=bob", "event=enqueued", "who=acts"):
                sql, params = EventFilter(QueryDict(query)).walk()._merged(None, 51, down=True)
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
                plan = cursor.fetchone()[0][0]["Plan"]
                pages[many, query] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    for query in ("", "actor=bob", "event=enqueued", "who=acts"):
        assert pages[20_000, query] <= pages[0, query] + 10, pages


@pytest.mark.parametrize(("status", "word"), [(RunStatus.FAILED, "failed"), (RunStatus.SUCCEEDED, "succeeded")])
def test_the_end_of_a_run_is_called_by_its_outcome(
    browse: Browse, queue: JobQueue, status: RunStatus, word: str
) -> None:
    job = queued(queue)
    claim = claim_one(queue)
    queue.complete(failure(claim) if status is RunStatus.FAILED else success(claim))
    client = browse("viewer")
    for address in (
        reverse("admin:derive_jobevent_changelist") + f"?job={job.job_id}",
        reverse("admin:derive_job_change", args=[job.job_id]),
    ):
        page = client.get(address).text
        assert re.search(rf">{word}</(code|strong)>", page)
        assert ">completed<" not in page


def test_the_audit_takes_few_queries(browse: Browse, history: Any) -> None:
    client = browse("viewer")
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("admin:derive_jobevent_changelist"), {"who": "all", "since": "1h", "until": "today"})
    assert len(queries) <= MAX_QUERIES


def test_the_audit_is_exported_whole(browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyset, "PAGE_ROWS", 5)
    monkeypatch.setattr("derive.admin.records.audit.EXPORT_BATCH", 7)
    queue.enqueue_many([a_job() for _n in range(30)], actor="ada")
    client = browse("viewer")
    lines = whole(client.get(reverse("admin:derive_jobevent_export", args=["jsonl"]), {"who": "all"})).splitlines()
    numbers = [json.loads(line)["event_seq"] for line in lines]
    assert numbers == sorted(JobEvent.objects.values_list("event_seq", flat=True), reverse=True)


def test_an_exported_table_holds_no_formula(browse: Browse, history: Any) -> None:
    text = whole(browse("viewer").get(reverse("admin:derive_jobevent_export", args=["csv"]))).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["event"] for row in rows] == ["held", "cancelled", "enqueued", "enqueued"]
    assert rows[1]["reason"] == "'=HYPERLINK(1)"


def test_the_audit_shows_purges_among_what_people_did(browse: Browse, queue: JobQueue) -> None:
    queue.cancel([ref(queued(queue))], actor="ada", reason="superseded")
    queue.purge(finished_before_utc=database_now(), statuses=[JobStatus.CANCELLED], actor="mira", reason="old")
    queue.cancel([ref(queued(queue))], actor="ada", reason="superseded")
    client, address = browse("viewer"), reverse("admin:derive_jobevent_changelist")
    query = {"who": "acts"}
    assert [event.event for event in client.get(address, query).context["rows"]] == ["cancelled", "purged"]
    (purged,) = client.get(address, {"event": "purged", "actor": "mira"}).context["rows"]
    assert purged.reason == "old"


@pytest.mark.parametrize("engine", ["postgresql", "sqlserver"])
def test_what_people_did_is_what_the_filtered_indexes_hold(engine: str) -> None:
    script = (settings.BASE_DIR / f"migrations_sql/{engine}/tables/0047_what_people_did.sql").read_text()
    held = [re.findall(r"'(\w+)'", where) for where in re.findall(r"WHERE event (?:IN|=) (.*?);", script, re.DOTALL)]
    assert held == [list(ACTS)] * 2 + [["enqueued"]] * 2
