"""Sends spans and GenAI metrics, if configured and the extra ``otel`` is installed.

Destination, sampling and service name: the SDK reads the standard ``OTEL_*`` variables itself.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace

from derive.errors import ConfigurationError

SHUTDOWN_SECONDS = 3.0
"""How long sending the last spans may take: an unavailable collector must not keep a worker from ending."""


@contextmanager
def exporting(where: str) -> Iterator[None]:
    """Send spans during the block: to ``otlp``, ``console`` (standard output), or ``none``.

    Raises ConfigurationError if a required package is not installed.
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
        _end([provider for provider in (spans, numbers) if provider is not None])


def _end(providers: Sequence[Any]) -> None:
    """Send the remaining spans within the SDK's time limits, which it ignores itself while a collector hangs."""
    threads = [threading.Thread(target=provider.shutdown, daemon=True) for provider in providers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SHUTDOWN_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _providers(where: str) -> tuple[Any, Any | None]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        # Neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names it.
        resource = resource.merge(Resource({"service.name": "holocron"}))
    # Only _end shuts them down: atexit handlers would wait for the collector again.
    spans = TracerProvider(resource=resource, shutdown_on_exit=False)
    if where == "console":
        spans.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=_one_line)))
        return spans, None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return spans, MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _one_line(span: Any) -> str:
    return str(span.to_json(indent=None)) + "\n"
