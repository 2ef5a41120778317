"""Any value that a table can hold is read by every page, command, export and metric.

The extremes are written straight into the tables, column by column, past the procedures: what a table refuses, no
reader meets.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import Error, connection, models, transaction
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.display.fact_links import entity_address, fact_address
from derive.contracts import JobRef
from derive.models import (
    Artifact,
    Endpoint,
    Fact,
    Interrogation,
    Job,
    JobEvent,
    LakeDeletion,
    LanguageModel,
    Run,
    Seal,
    Worker,
)
from derive.queue import JobQueue
from derive.sql.fields import GuidField, UtcField
from derive.states import JobStatus
from tests.admin.conftest import Browse
from tests.admin.facts_scene import three_facts
from tests.contract.scenes import ACTOR, a_job, an_artifact, claim_one, failure, queued, success

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "lease"])

MODELS = (Job, Run, Artifact, Fact, JobEvent, Worker, Interrogation, LakeDeletion, Seal)
MOMENTS = {
    "postgresql": ("-infinity", "4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59+00", "infinity"),
    "microsoft": ("0001-01-01", "0001-01-01", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999"),
}
TEXTS = ("", " ", "\u202e\ud7ff</td><script>", "x" * 40, "{}", '{"facts": [1e999, null, [[]], "\\u0000"]}')
WITHOUT_PAGES = (Endpoint, LanguageModel)
"""Those that one page shows together."""
KEPT = {"locked_by", "worker_id", "status", "definition_sha256", "pending_json", "sha256", "previous_sha256"} | {
    "first_event_seq",
    "last_event_seq",
    "event_count",
}
"""By which rows find each other; the state, of which there is a row each; and a chain that is changed is no chain."""


@pytest.fixture(params=range(4), ids=["lowest", "low", "high", "highest"])
def extremes(request: pytest.FixtureRequest, people: Any, settings: Settings, tmp_path: Path) -> None:
    """A world with a row of everything, whose every column holds an extreme value."""
    settings.LAKE_URL = str(tmp_path)
    run("set_up_lake")
    a_row_of_everything()
    for model in (*MODELS, *WITHOUT_PAGES):
        for row in model.objects.all():
            make_extreme(row, request.param)


def a_row_of_everything() -> None:
    queue = JobQueue()
    fail, *_ = [queued(queue, priority=9 - n) for n in range(2)]
    queue.complete(failure(claim_one(queue)))
    queue.complete(
        success(claim_one(queue), artifacts=(an_artifact("parsed_output"), an_artifact()), facts=three_facts())
    )
    queued(queue, available_utc="2100-01-01T00:00:00Z")
    queue.cancel([JobRef(job_id=queued(queue).job_id)], actor=ACTOR)
    queued(queue)
    claim_one(queue)
    queued(queue)
    queue.heartbeat("worker-2", [])
    gone = queued(queue).job_id
    queue.cancel([JobRef(job_id=gone)], actor=ACTOR)
    queue.enqueue(a_job(repeats_run_id=Run.objects.filter(job_id=fail.job_id).get().run_id), actor=ACTOR)
    queue.register(
        definition_sha256="cd" * 32,
        interrogation_key="k",
        version="1",
        prompt_template="p",
        output_schema_json="{}",
        rubric="r",
    )
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO llm.model (model) VALUES ('llama3.2')")
        cursor.execute(
            "INSERT INTO llm.endpoint (worker_id, name, protocol, address, slots, state, last_seen_utc)"
            " SELECT worker_id, 'gpu', 'ollama', 'http://gpu', 1, 'UP', last_seen_utc FROM llm.worker"
        )
        ended = Run.objects.order_by("run_seq")[0]
        cursor.execute(
            "INSERT INTO llm.lake_deletion (job_id, run_id, lake_uri, requested_utc, requested_by)"
            " VALUES (%s, %s, 'x', '2026-01-01', 'ada')",
            [ended.job_id, ended.run_id],
        )
    run("seal_audit")
    queued(queue)


def make_extreme(row: Any, place: int) -> None:
    """Write an extreme value into each of a row's columns that takes one."""
    table = row._meta.db_table
    keys = row._meta.pk_fields
    where = " AND ".join(f"{key.column} = %s" for key in keys)
    for field in row._meta.fields:
        if field in keys or field.column in KEPT or isinstance(field, GuidField | models.ForeignKey):
            continue
        for value in extreme_values(field, place):
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(
                        f"UPDATE {table} SET {field.column} = %s WHERE {where}",
                        [value, *(getattr(row, key.attname) for key in keys)],
                    )
            except Error:
                continue
            break


def extreme_values(field: Any, place: int) -> Iterator[Any]:
    """Yield a column's extreme values, the most extreme first; the table takes one of them, or none."""
    if isinstance(field, UtcField):
        yield MOMENTS[connection.vendor][place]
        yield MOMENTS[connection.vendor][3 - place]
    elif isinstance(field, models.BooleanField):
        yield place > 1
    elif isinstance(field, models.IntegerField):  # a BigIntegerField is one too
        bits = 63 if isinstance(field, models.BigIntegerField) else 31
        yield from ((-(2**bits), -1, 0, 1), (0, 1), (2**bits - 2,), (2**bits - 1,))[place]
    else:
        if field.null and place == 0:
            yield None
        if field.max_length:
            yield "\u4e2d" * field.max_length if place == 3 else "'" * field.max_length
        yield from TEXTS[place + 2 :] + TEXTS
        yield '{"a": ' * 900 + "1" + "}" * 900


def ids(model: Any) -> list[Any]:
    return [row.pk for row in model.objects.all()]


def test_the_tables_took_the_extremes(extremes: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM llm.job WHERE created_utc < '1900-01-01' OR created_utc > '9900-01-01'")
        assert cursor.fetchone()[0] == Job.objects.count() > 6
    # A job is split only with its parts, which tests/contract/test_parts.py has.
    assert {job.status for job in Job.objects.all()} >= {*JobStatus} - {JobStatus.DEADLETTER, JobStatus.SPLIT}


def test_every_admin_page_loads(extremes: None, browse: Browse) -> None:
    client = browse("superuser")
    addresses = [reverse("admin:index"), reverse("admin:derive_dashboard"), "/admin/derive/", "/admin/palette/?q=x"]
    addresses += [reverse(f"admin:derive_job_{name}") for name in ("purge", "export_download", "act_enqueue")]
    for model in MODELS:
        name = model._meta.model_name
        addresses.append(reverse(f"admin:derive_{name}_changelist"))
        addresses += [reverse(f"admin:derive_{name}_change", args=[one]) for one in ids(model)[:8]]
    addresses.append(reverse("admin:derive_languagemodel_changelist"))
    addresses += [reverse("admin:derive_jobevent_export", args=[form]) for form in ("csv", "jsonl")]
    addresses += [f"{reverse('admin:derive_run_compare')}?run={run}" for run in ids(Run)]
    addresses += [entity_address(fact.entity_id or "x", fact.entity_type) for fact in Fact.objects.all()]
    addresses += [fact_address(fact) for fact in Fact.objects.all()]
    addresses += ["/admin/derive/job/?o=created_utc", "/admin/derive/run/?o=-1", "/healthz", "/readyz", "/metrics"]
    assert [(address, code) for address in addresses if (code := status_of(client, address)) not in {200, 302}] == []


@pytest.mark.parametrize("text", [*TEXTS, "5", "[1, [], null]", "[" * 100_000], ids=range(len(TEXTS) + 3))
def test_a_list_of_models_that_is_none_breaks_no_page(text: str, empty_queue: None, browse: Browse) -> None:
    JobQueue().heartbeat("worker-1", [])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.endpoint (worker_id, name, protocol, address, slots, state, last_seen_utc, models_json,"
            " resident_models_json) SELECT worker_id, 'gpu', 'ollama', 'http://gpu', 1, 'UP', last_seen_utc, %s, %s"
            " FROM llm.worker",
            [text, text],
        )
    client = browse("superuser")
    addresses = [reverse(f"admin:{name}") for name in ("derive_languagemodel_changelist", "derive_dashboard")]
    assert [status_of(client, address) for address in [*addresses, "/metrics"]] == [200] * 3


def status_of(client: Client, address: str) -> int:
    answer = client.get(address)
    b"".join(answer)
    return answer.status_code


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("inspect_jobs", "--list"),
    ("inspect_jobs", "--list", "--json"),
    ("inspect_jobs", "--stats"),
    ("verify_runs",),
    ("purge", "--all", "30d", "--dry-run"),
    ("seal_audit",),
    ("verify_audit",),
)


def test_every_command_and_export_reads_them(extremes: None, tmp_path: Path) -> None:
    for arguments in COMMANDS:
        run(*arguments)
    for job in ids(Job):
        run("inspect_jobs", "--job-id", str(job))
        run("inspect_jobs", "--job-id", str(job), "--json")
    for job in ids(Job):
        run("report_facts", "--job", str(job), "--output", str(tmp_path / f"{job}.html"))
    for place, rows in enumerate([(), ("--facts",), ("--all-facts",)]):
        for form in ("csv", "jsonl", "parquet"):
            run("export_outputs", str(tmp_path / f"{place}.{form}"), "--format", form, *rows)


def run(*arguments: str) -> None:
    """Run a command; it may find faults and say so (1), and not fail otherwise."""
    try:
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    except SystemExit as end:
        if end.code not in {0, 1}:
            raise


def test_the_queue_goes_on(extremes: None) -> None:
    queue = JobQueue()
    queue.promote()
    queue.heartbeat("worker-1", ids(Run))
    queue.seal_horizon()
    counted = queue.roll_up_hours()
    assert counted is not None
    assert counted.is_caught_up
