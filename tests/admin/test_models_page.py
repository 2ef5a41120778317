"""Models and endpoints: what waits for which model and why, who serves it, and the form that changes that."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.dashboard import page as dashboard
from derive.admin.dashboard.statistics import SharedStatistics
from derive.admin.language_models.admin import STATUSES
from derive.contracts import EndpointFacts, ModelLimits, Outcome, RunFacts, WorkerFacts
from derive.model_status import read_model_statuses, read_notices
from derive.models import LanguageModel
from derive.queue import JobQueue
from derive.sql.clock import database_now
from derive.states import RunStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.scenes import ACTOR, claim_one, queued

MODELS, ACT = "admin:derive_languagemodel_changelist", "admin:derive_languagemodel_act"


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    STATUSES.forget()
    yield
    STATUSES.forget()


def shown(client: Client) -> str:
    STATUSES.forget()
    answer = client.get(reverse(MODELS))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def beat(queue: JobQueue, *endpoints: EndpointFacts, worker: str = "w1") -> None:
    facts = WorkerFacts(
        host="h", pid=1, version="1", started_utc=database_now(), concurrency=1, endpoints=endpoints, stopping=True
    )
    queue.heartbeat(worker, [], facts=facts)


def endpoint(name: str = "gpu-1", **values: Any) -> EndpointFacts:
    known = {"name": name, "protocol": "ollama", "address": "http://gpu-1:11434", "slots": 2, "state": "UP"}
    return EndpointFacts.model_validate({**known, **values})


def test_an_empty_queue_has_an_empty_page_that_says_what_to_do(operator: Client) -> None:
    text = shown(operator)
    assert "No model has jobs" in text
    assert "No endpoints yet" in text
    assert "manage.py run_llm_worker --loop" in text


def test_each_model_has_its_backlog_and_where_it_is_loaded(operator: Client, queue: JobQueue) -> None:
    for _ in range(3):
        queued(queue, model_hint="qwen2.5:14b")
    claim_one(queue)
    queued(queue)
    beat(queue, endpoint(serving_model="qwen2.5:14b", resident=("qwen2.5:14b",), serving_since_utc=database_now()))
    (unasked, model) = read_model_statuses().models
    assert (model.model, model.ready, model.running, model.delayed) == ("qwen2.5:14b", 2, 1, 0)
    assert (model.serving_on, model.resident_on) == (("gpu-1",), ("gpu-1",))
    assert (unasked.model, unasked.ready) == (None, 1)
    text = shown(operator)
    assert "qwen2.5:14b" in text
    assert "hc-state-serving" in text
    assert "none asked for: each worker's own" in text or "none asked for: each worker&#x27;s own" in text


def test_speed_load_and_waits_come_from_what_ran(operator: Client, queue: JobQueue) -> None:
    queued(queue, model_hint="m")
    claim = claim_one(queue)
    metrics = {"load_duration": 4_200_000_000, "total_duration": 2_000_000_000, "eval_count": 100}
    run = RunFacts(model_name="m", output_tokens=100, prompt_tokens=5, metrics_json=json.dumps(metrics))
    queue.complete(Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SUCCEEDED, run=run))
    queue.measure_loads()
    queue.roll_up_hours()
    queued(queue, model_hint="m")
    (status,) = read_model_statuses().models
    assert status.tokens_per_second == 50
    assert sum(status.waits.values()) == 1
    assert status.drain_seconds is not None
    text = shown(operator)
    assert "4.2 s" in text
    assert ">50<" in text.replace(" ", "")


def test_a_paused_model_says_who_why_and_what_waits(operator: Client, queue: JobQueue) -> None:
    for _ in range(2):
        queued(queue, model_hint="qwen2.5:14b")
    queue.pause_model("qwen2.5:14b", actor="anna", reason="GPU maintenance")
    said = "2 jobs wait because qwen2.5:14b is paused by anna: GPU maintenance"
    assert read_notices(database_now()) == read_model_statuses().notices() == [said]
    text = shown(operator)
    assert said in text
    assert "hc-state-paused" in text
    queue.resume_model("qwen2.5:14b", actor="anna")
    assert said not in shown(operator)


def test_the_dashboard_says_why_jobs_wait(operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "STATISTICS", {span: SharedStatistics(1) for span in dashboard.SPANS})
    queued(queue, model_hint="qwen2.5:14b")
    queue.pause_model("qwen2.5:14b", actor="anna")
    text = " ".join(operator.get(reverse("admin:index")).content.decode().split())
    assert "1 job waits because qwen2.5:14b is paused by anna" in text


def test_a_model_that_no_live_endpoint_lists_is_told(operator: Client, queue: JobQueue) -> None:
    queued(queue, model_hint="mistral")
    assert read_notices(database_now()) == []  # nobody is there who could say
    beat(queue, endpoint(models=("llama3.2:latest",)))
    assert read_notices(database_now()) == ["1 job waits for mistral, which no live endpoint lists"]
    assert "hc-state-unserved" in shown(operator)
    beat(queue, endpoint("another"), worker="w2")
    assert read_notices(database_now()) == []  # one that does not say what it has may have it
    beat(queue, endpoint("another", models=("mistral:latest",)), worker="w2")
    assert read_notices(database_now()) == read_model_statuses().notices() == []


def test_an_endpoint_tells_its_state_in_words_and_colour(operator: Client, queue: JobQueue) -> None:
    beat(queue, endpoint("a"), endpoint("b", state="DOWN", last_error="refused"), endpoint("c", state="PAUSED"))
    beat(queue, endpoint("d"), worker="w2")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE llm.endpoint SET last_seen_utc = %s WHERE worker_id = 'w2'",
            [database_now().replace(microsecond=0) - timedelta(minutes=10)],
        )
    text = shown(operator)
    for state in ("up", "down", "paused", "gone"):
        assert f"hc-state-{state}" in text, state
    assert "refused" in text
    assert "its worker is silent" in text


def test_a_pause_needs_a_reason_and_is_recorded_under_the_persons_name(browse: Browse, queue: JobQueue) -> None:
    client = browse("operator")
    refused = client.post(reverse(ACT), {"model": "m", "action": "pause"})
    assert refused.status_code == 400
    assert "Say why" in refused.content.decode()
    assert not LanguageModel.objects.exists()
    done = client.post(reverse(ACT), {"model": " m ", "action": "pause", "reason": "maintenance"})
    assert done.status_code == 302
    row = LanguageModel.objects.get(model="m")
    assert (row.paused_by, row.pause_reason) == (browse.people["operator"].username, "maintenance")
    assert client.post(reverse(ACT), {"model": "m", "action": "resume"}).status_code == 302
    assert LanguageModel.objects.get(model="m").paused_utc is None


def test_limits_are_set_to_what_is_written_and_empty_ones_are_removed(operator: Client, queue: JobQueue) -> None:
    queue.limit_model("m", ModelLimits(max_running=2, num_ctx=4096), actor=ACTOR)
    form = operator.get(reverse(ACT), {"model": "m"}).context["form"]
    assert (form["max_running"].value(), form["num_ctx"].value()) == (2, 4096)
    sent = {"model": "m", "action": "limit", "max_running": "3", "num_ctx": "", "reason": "two GPUs"}
    assert operator.post(reverse(ACT), sent).status_code == 302
    row = LanguageModel.objects.get(model="m")
    assert (row.max_running, row.num_ctx) == (3, None)
    assert "3 running at most" in shown(operator)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": " "},
        {"model": "m" * 201},
        {"model": "m\x00"},
        {"action": "explode"},
        {"action": ""},
        {"max_running": "0"},
        {"max_running": "-1"},
        {"num_ctx": "many"},
        {"num_predict": str(2**31)},
        {"reason": "r" * 1_001},
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    operator: Client, queue: JobQueue, wrong: dict[str, str]
) -> None:
    good = {"model": "m", "action": "limit", "max_running": "1", "reason": "why"}
    assert operator.post(reverse(ACT), {**good, **wrong}).status_code == 400
    assert not LanguageModel.objects.exists()


def test_who_may_not_act_sees_the_page_without_its_forms(browse: Browse, queue: JobQueue) -> None:
    queued(queue, model_hint="m")
    viewer = browse("viewer")
    text = shown(viewer)
    assert reverse(ACT) not in text
    assert viewer.post(reverse(ACT), {"model": "m", "action": "pause", "reason": "x"}).status_code == 403
    assert not LanguageModel.objects.exists()
    assert browse("nobody").get(reverse(MODELS)).status_code in {302, 403}


def test_hostile_names_reasons_and_errors_are_text(operator: Client, queue: JobQueue) -> None:
    queued(queue, model_hint=HOSTILE)
    queue.pause_model(HOSTILE, actor=ACTOR, reason=HOSTILE)
    beat(queue, endpoint("x", last_error=HOSTILE, resident=(HOSTILE,), models=(HOSTILE,), address=HOSTILE))
    text = shown(operator)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    page = operator.get(reverse(ACT), {"model": HOSTILE}).content.decode()
    assert "<script>alert" not in page


def test_more_jobs_cost_no_more_queries(operator: Client, queue: JobQueue) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            read_model_statuses()
        return len(queries)

    queued(queue, model_hint="m")
    before = cost()
    for _ in range(20):
        queued(queue, model_hint="m")
    assert cost() == before <= 14
