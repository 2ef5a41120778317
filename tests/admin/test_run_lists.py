"""The lists of runs and of artifacts: filters, pages by key, bounded work, and two runs ticked to be compared."""

import re

import pytest
from django.http import QueryDict
from django.urls import reverse

from derive.admin.lists import keyset
from derive.admin.lists.filters import ListFilter
from derive.admin.records.filters import ArtifactFilter, RunFilter
from derive.contracts import RunFacts
from derive.models import Artifact, Run
from derive.queue import JobQueue
from derive.states import RunStatus
from tests.admin.conftest import Browse
from tests.contract.scenes import an_artifact, claim_one, failure, queued, success


def sequences(read: type[ListFilter], query: str) -> list[int]:
    return read(QueryDict(query)).walk().page().sequences


@pytest.fixture
def runs(queue: JobQueue) -> list[int]:
    """The numbers of four runs: succeeded, failed, of another worker, running."""
    queued(queue)
    queue.complete(success(claim_one(queue), run=RunFacts(model_name="llama3.2"), artifacts=(an_artifact(),)))
    queued(queue)
    queue.complete(failure(claim_one(queue), run=RunFacts(model_name="tiny"), artifacts=(an_artifact("request_json"),)))
    for worker in ("worker-2", "worker-1"):
        queued(queue)
        claim_one(queue, worker)
    return list(Run.objects.order_by("run_seq").values_list("run_seq", flat=True))


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("", [3, 2, 1, 0]),
        ("status=FAILED", [1]),
        ("status=RUNNING", [3, 2]),
        ("error_kind=model_crashed", [1]),
        ("model=llama3.2", [0]),
        ("worker=worker-2", [2]),
        ("worker=worker-1&status=RUNNING", [3]),
        ("since=1h", [3, 2, 1, 0]),
        ("until=1h", []),
        ("interrogation=unheard_of", []),
        ("status=ASLEEP", []),
        ("q=nonsense", []),
    ],
)
def test_runs_are_found_by_each_filter(query: str, places: list[int], runs: list[int]) -> None:
    assert sequences(RunFilter, query) == [runs[place] for place in places]


def test_a_run_is_found_by_its_own_id_and_by_its_jobs(runs: list[int]) -> None:
    run = Run.objects.get(run_seq=runs[1])
    assert sequences(RunFilter, f"q={run.run_id}") == [runs[1]]
    assert sequences(RunFilter, f"q={run.job_id}") == [runs[1]]


def test_artifacts_are_found_by_type_time_and_ids(runs: list[int]) -> None:
    first, second = Artifact.objects.order_by("artifact_seq")
    assert sequences(ArtifactFilter, "") == [second.artifact_seq, first.artifact_seq]
    assert sequences(ArtifactFilter, "type=request_json") == [second.artifact_seq]
    assert sequences(ArtifactFilter, f"q={first.run_id}") == [first.artifact_seq]
    assert sequences(ArtifactFilter, f"q={second.artifact_id}&since=1h") == [second.artifact_seq]
    assert sequences(ArtifactFilter, "until=1h") == []


@pytest.mark.parametrize("page", ["run", "artifact"])
def test_pages_lead_to_each_other_and_name_what_was_not_understood(
    page: str, browse: Browse, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset.Walk.page, "__kwdefaults__", {"older": None, "newer": None, "rows": 1})
    client, address = browse("viewer"), reverse(f"admin:derive_{page}_changelist")
    seen = []
    while address:
        text = client.get(address).text
        seen += re.findall(rf"/admin/derive/{page}/([0-9a-f-]{{36}})/change/", text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        address = reverse(f"admin:derive_{page}_changelist") + older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == {"run": 4, "artifact": 2}[page]
    assert "since is not a time" in client.get(reverse(f"admin:derive_{page}_changelist"), {"since": "soon"}).text


def test_what_no_index_serves_stops_at_the_bound_and_says_so(
    browse: Browse, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "LOOK_AT", 2)
    text = browse("viewer").get(reverse("admin:derive_run_changelist"), {"status": RunStatus.SUCCEEDED}).text
    assert "Stopped after 2 rows" in text
    assert "Search further" in text


def test_two_ticked_runs_are_compared_the_earlier_first(browse: Browse, runs: list[int]) -> None:
    newest, older = Run.objects.order_by("-run_seq")[:2]
    page = browse("viewer").get(reverse("admin:derive_run_compare"), {"run": [str(newest.run_id), str(older.run_id)]})
    assert page.context["left"].run_id == older.run_id
    assert page.context["right"].run_id == newest.run_id


def test_an_empty_list_says_what_to_do_next(browse: Browse, queue: JobQueue) -> None:
    client = browse("viewer")
    assert "manage.py run_llm_worker" in client.get(reverse("admin:derive_run_changelist")).text
    assert "Each attempt stores" in client.get(reverse("admin:derive_artifact_changelist")).text
