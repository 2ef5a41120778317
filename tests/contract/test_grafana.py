"""The dashboard's every query names a metric that is served, by labels that it has."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from derive import web
from derive.contracts import EndpointFacts, RunFacts, WorkerFacts
from derive.metrics.queue_metrics import QueueMetrics
from derive.queue import JobQueue
from derive.states import EndpointState
from derive.worker.options import started_now
from holocron.settings import BASE_DIR
from tests.contract.scenes import claimed, failure, queued, success
from tests.reference.metrics import of_a_worker, of_the_queue, sample_names

FOLDER = BASE_DIR / "deploy/grafana"
DASHBOARD = json.loads((FOLDER / "holocron.json").read_text("utf-8"))
# What PromQL itself has, and what Prometheus puts on everything that it scrapes.
FUNCTIONS = {"histogram_quantile", "sum", "max", "rate", "increase", "by", "label_values"}
SCRAPED_LABELS = {"instance", "job", "le"}


def queries() -> Iterator[tuple[str, str]]:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def names_in(query: str) -> set[str]:
    """Every word that is no text, no label and none of PromQL's own."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without) *\([^)]*\)|\"[^\"]*\"", " ", query)
    if bare.startswith("label_values"):
        bare = bare.partition(",")[0]
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - FUNCTIONS


def labels_in(query: str) -> set[str]:
    chosen = {label for group in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+) *[=!]", group)}
    grouped = {label for group in re.findall(r"\bby *\(([^)]*)\)", query) for label in re.findall(r"\w+", group)}
    listed = re.findall(r"label_values\([^,]+, *(\w+)\)", query)
    return chosen | grouped | set(listed)


@pytest.fixture
def served(queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Every sample's name with its labels, of the web server and of a worker, once some of everything has happened."""
    monkeypatch.setattr(web, "_numbers", QueueMetrics())
    run = RunFacts(
        model_name="llama3.2",
        prompt_tokens=1,
        output_tokens=1,
        metrics_json='{"total_duration":1000000,"load_duration":2000000000}',
    )
    queue.complete(success(claimed(queue), run=run))
    queue.complete(failure(claimed(queue), run=run))
    queued(queue)
    endpoint = EndpointFacts(name="gpu-1", protocol="ollama", address="http://gpu-1", slots=1, state=EndpointState.UP)
    facts = WorkerFacts(host="h", pid=1, version="0", started_utc=started_now(), concurrency=1, endpoints=(endpoint,))
    queue.heartbeat("one", [], facts=facts)
    queue.measure_loads()
    queue.roll_up_hours()
    found = sample_names(of_a_worker())
    found |= sample_names(text_string_to_metric_families(client.get("/metrics").content.decode()))
    # Missing as long as no scheduler was ever heard of.
    return found | {"holocron_scheduler_heartbeat_seconds_ago": set()}


def test_the_reference_lists_every_metric(served: dict[str, set[str]]) -> None:
    assert sample_names([*of_the_queue(), *of_a_worker()]) == served


def test_every_query_names_metrics_that_are_served(served: dict[str, set[str]]) -> None:
    asked = list(queries())
    assert len(asked) > 30
    for title, query in asked:
        names = names_in(query)
        assert names, query
        assert names <= served.keys(), f"{title}: {names - served.keys()}"
        for name in names:
            assert labels_in(query) <= served[name] | SCRAPED_LABELS, f"{title}: {query}"


def test_a_query_that_names_no_metric_would_be_found() -> None:
    assert names_in('sum by (x) (rate(nothing_total{a="b"}[5m])) / other') == {"nothing_total", "other"}
    assert labels_in('sum by (x) (rate(nothing_total{a="b",c!~"d"}[5m]))') == {"x", "a", "c"}


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_files_for_provisioning_can_be_read() -> None:
    paths = [*FOLDER.rglob("*.yml"), *(BASE_DIR / "deploy/prometheus").glob("*.yml")]
    assert len(paths) == 3
    for path in paths:
        assert yaml.safe_load(path.read_text("utf-8")), path
