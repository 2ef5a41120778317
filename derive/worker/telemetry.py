"""Sends spans and GenAI metrics somewhere, when the settings say so and the extra ``otel`` is installed.

Where to, how sampled, under which service's name: the SDK reads the standard ``OTEL_*`` variables itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace

from derive.errors import ConfigurationError

LAST_WORDS_MS = 3_000
"""What sending the last spans may take at the end: a collector that is away must not keep a worker."""


@contextmanager
def exporting(where: str) -> Iterator[None]:
    """Send spans while the block runs: ``otlp``, ``console`` (standard output), or ``none``.

    Raises ConfigurationError when what that takes is not installed.
    """
    if where == "none":
        yield
        return
    try:
        spans, numbers = _providers(where)
    except ImportError as error:
        raise ConfigurationError(
            f"spans are to be sent ({where}), and {error.name} is not installed: pip install the extra otel, or set "
            "OTEL_TRACES_EXPORTER=none"
        ) from error
    trace.set_tracer_provider(spans)
    if numbers is not None:
        metrics.set_meter_provider(numbers)
    try:
        yield
    finally:
        spans.force_flush(LAST_WORDS_MS)
        spans.shutdown()
        if numbers is not None:
            numbers.shutdown(LAST_WORDS_MS)


def _providers(where: str) -> tuple[Any, Any | None]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        # Neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names it.
        resource = resource.merge(Resource({"service.name": "holocron"}))
    spans = TracerProvider(resource=resource)
    if where == "console":
        spans.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=_one_line)))
        return spans, None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return spans, MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)


def _one_line(span: Any) -> str:
    return str(span.to_json(indent=None)) + "\n"
