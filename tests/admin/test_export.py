"""The admin's export: the filter's answers, streamed, to whoever may see them, and who took what is kept."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from derive.admin.jobs import export
from derive.queue import JobQueue
from tests.admin.conftest import ANSWER, HOSTILE, Browse, Scene
from tests.contract.exports import answered
from tests.contract.scenes import judged

ADDRESS = "/admin/derive/job/export/"


def sent(client: Client, **form: str) -> bytes:
    answer = client.post(ADDRESS, form)
    assert answer.status_code == 200, answer
    assert "attachment" in answer["Content-Disposition"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    pieces: Any = answer.streaming_content  # type: ignore[attr-defined]
    return b"".join(pieces)


@pytest.fixture(autouse=True)
def nothing_logged(transactional_db: None) -> Iterator[None]:
    yield
    LogEntry.objects.all().delete()


def test_the_list_leads_to_the_export_of_its_filter(browse: Browse, scene: Scene) -> None:
    page = browse("operator").get("/admin/derive/job/?entity_type=person").content.decode()
    assert f'href="{ADDRESS}?entity_type=person"' in page
    asked = browse("operator").get(f"{ADDRESS}?entity_type=person").content.decode()
    assert "1\n      succeeded job" in asked
    assert 'name="filter" value="entity_type=person"' in asked
    assert ADDRESS not in browse("viewer").get("/admin/derive/job/").content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_without_the_right_exports(browse: Browse, scene: Scene, method: str) -> None:
    assert getattr(browse("viewer"), method)(ADDRESS).status_code == 403
    assert not LogEntry.objects.exists()


def test_every_form_tells_the_same_rows(browse: Browse, scene: Scene) -> None:
    JobQueue().rebuild_facts(scene.run, judged(json.dumps(ANSWER)), actor="ada")
    client = browse("operator")
    (row,) = [json.loads(line) for line in sent(client, form="jsonl").decode().split("\n") if line]
    assert (row["job_id"], row["run_id"], row["entity_id"]) == (str(scene.done), str(scene.run), HOSTILE)
    (record,) = csv.DictReader(io.StringIO(sent(client, form="csv").decode(), newline=""))
    assert json.loads(record["output"]) == row["output"]
    parquet = pytest.importorskip("pyarrow.parquet")
    (read,) = parquet.read_table(io.BytesIO(sent(client, form="parquet"))).to_pylist()
    assert (read["run_id"], read["lake_uri"]) == (row["run_id"], row["lake_uri"])
    facts = [json.loads(line) for line in sent(client, rows="facts").decode().split("\n") if line]
    assert [fact["fact_index"] for fact in facts] == [0, 1]


def test_the_filter_holds_and_what_does_not_match_stays(browse: Browse, queue: JobQueue) -> None:
    for name in ("luke", "leia"):
        answered(queue, entity_id=name)
    told = sent(browse("operator"), filter="entity=leia").decode()
    assert [json.loads(line)["entity_id"] for line in told.splitlines()] == ["leia"]
    assert sent(browse("operator"), filter="status=FAILED") == b""


def test_who_took_what_is_kept_and_shown(browse: Browse, scene: Scene) -> None:
    JobQueue().rebuild_facts(scene.run, judged(json.dumps(ANSWER)), actor="ada")
    client = browse("operator")
    sent(client, filter="entity_type=person", rows="facts", form="csv")
    entry = LogEntry.objects.get()
    assert entry.user == browse.people["operator"]
    assert json.loads(entry.change_message) == {
        "rows_of": "facts",
        "form": "csv",
        "filter": "entity_type=person",
        "rows": 2,
        "is_whole": True,
    }
    page = client.get(ADDRESS).content.decode()
    assert "facts as csv" in page
    assert browse.people["operator"].username in page


def test_an_entry_of_something_else_is_no_export(browse: Browse, scene: Scene) -> None:
    client = browse("operator")
    LogEntry.objects.create(
        user=browse.people["operator"],
        content_type=ContentType.objects.get_for_model(Group),
        object_repr=export.TITLE,
        action_flag=DELETION,
        change_message="",
    )
    assert "None yet." in client.get(ADDRESS).content.decode()


def test_a_reader_who_goes_away_is_noted(browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH_JOBS", 1)
    for _ in range(3):
        answered(queue)
    answer = browse("operator").post(ADDRESS)
    pieces: Any = answer.streaming_content  # type: ignore[attr-defined]
    assert next(pieces) == b""
    assert next(pieces)
    answer.close()
    told = json.loads(LogEntry.objects.get().change_message)
    assert told["is_whole"] is False
    assert told["rows"] <= 1


def test_rows_are_read_as_they_are_sent(browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH_JOBS", 1)
    for _ in range(6):
        answered(queue)
    answer = browse("operator").post(ADDRESS)
    pieces: Any = answer.streaming_content  # type: ignore[attr-defined]
    next(pieces)
    with CaptureQueriesContext(connection) as first:
        next(pieces)
    with CaptureQueriesContext(connection) as rest:
        assert len(b"".join(pieces).splitlines()) == 5
    assert len(first) < len(rest)


@pytest.mark.parametrize("form", [{"form": "exe"}, {"rows": "secrets"}, {"filter": "ended=nonsense"}])
def test_a_form_of_nobodys_making_is_refused(browse: Browse, scene: Scene, form: dict[str, str]) -> None:
    answer = browse("operator").post(ADDRESS, form)
    assert answer.status_code == 400
    assert b'role="alert"' in answer.content


def test_parquet_without_its_package_says_so(browse: Browse, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    answer = browse("operator").post(ADDRESS, {"form": "parquet"})
    assert answer.status_code == 400
    assert b"pip install" in answer.content
