"""A run's spans as OpenTelemetry's own SDK records them: their order, their words, and what they never hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from derive.errors import ConfigurationError
from derive.worker import spans
from derive.worker.telemetry import exporting
from tests.fake_ollama import behaviours
from tests.faults.worker_world import PASSAGE, QUOTE, World


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name.partition(" ")[0]: span for span in exporter.get_finished_spans()}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_run_is_a_trace_of_its_steps(world: World, recorded: InMemorySpanExporter) -> None:
    job_id = world.enqueue()
    world.work()
    run = world.run(job_id)
    told = by_name(recorded)
    assert [span.name.partition(" ")[0] for span in recorded.get_finished_spans()] == [
        *("claim", "evidence", "chat", "validate", "lake", "complete", "run")
    ]
    root = told["run"]
    assert root.context is not None
    assert format(root.context.trace_id, "032x") == run.trace_id
    for name in ("evidence", "chat", "validate", "lake", "complete"):
        parent = told[name].parent
        assert parent is not None, name
        assert parent.span_id == root.context.span_id, name
    assert [link.context for link in root.links] == [told["claim"].context]
    assert attributes_of(root) == {
        "holocron.job_id": str(job_id),
        "holocron.run_id": str(run.run_id),
        "holocron.attempt": 1,
        "holocron.interrogation": "sw_entity_facts_v1",
        "holocron.outcome": "SUCCEEDED",
    }


def test_the_models_call_speaks_the_genai_conventions(world: World, recorded: InMemorySpanExporter) -> None:
    world.enqueue()
    world.work()
    chat = by_name(recorded)["chat"]
    told = attributes_of(chat)
    assert chat.name == "chat llama3.2"
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "ollama")
    assert (told["gen_ai.request.model"], told["gen_ai.request.max_tokens"]) == ("llama3.2", 2048)
    assert (told["gen_ai.request.temperature"], told["gen_ai.request.seed"]) == (0, 0)
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (321, 12)
    assert (told["server.address"], told["server.port"]) == ("127.0.0.1", int(world.fake.url.rpartition(":")[2]))


def test_a_failure_is_reported_by_its_kind_alone(world: World, recorded: InMemorySpanExporter) -> None:
    world.fake.next(behaviours.wrong_quote("e1"))
    world.enqueue(max_attempts=1)
    world.work()
    world.fake.next(behaviours.crashed())
    world.enqueue(max_attempts=1)
    world.work()
    kinds = [
        (span.name.partition(" ")[0], attributes_of(span)["error.type"], span.status.description)
        for span in recorded.get_finished_spans()
        if "error.type" in attributes_of(span)
    ]
    assert kinds == [
        ("run", "ungrounded_output", "ungrounded_output"),
        ("chat", "model_crashed", "model_crashed"),
        ("run", "model_crashed", "model_crashed"),
    ]
    everything = json.dumps([json.loads(span.to_json()) for span in recorded.get_finished_spans()])
    for secret in (*PASSAGE.split(". "), QUOTE):
        assert secret not in everything
    assert all(not span.events for span in recorded.get_finished_spans())


def test_without_an_sdk_a_run_has_no_trace(world: World) -> None:
    job_id = world.enqueue()
    world.work()
    assert world.run(job_id).trace_id is None


def test_a_trace_that_is_not_sampled_leaves_no_id(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_tracer", TracerProvider(sampler=ALWAYS_OFF).get_tracer("test"))
    job_id = world.enqueue()
    world.work()
    assert world.run(job_id).trace_id is None


def test_tokens_and_durations_are_counted_by_the_conventions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    monkeypatch.setattr(spans, "_tokens", meter.create_histogram("gen_ai.client.token.usage"))
    monkeypatch.setattr(spans, "_durations", meter.create_histogram("gen_ai.client.operation.duration"))
    world.enqueue()
    world.work()
    data = reader.get_metrics_data()
    assert data is not None
    found: dict[str, Any] = {one.name: one for one in data.resource_metrics[0].scope_metrics[0].metrics}
    sums = {
        point.attributes["gen_ai.token.type"]: point.sum
        for point in found["gen_ai.client.token.usage"].data.data_points
    }
    assert sums == {"input": 321, "output": 12}
    assert [point.count for point in found["gen_ai.client.operation.duration"].data.data_points] == [1]


def test_an_exporter_that_is_not_installed_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    with pytest.raises(ConfigurationError, match="the extra otel"), exporting("otlp"):
        pass
