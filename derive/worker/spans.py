"""Spans of OpenTelemetry: a run from its claim to its completion, and the steps between.

::

    claim                       of the whole batch; each run's span links to it
    run                         holocron.job_id, run_id, attempt, interrogation, outcome
    ├── evidence                collected, bounded, redacted, rendered into the prompt
    ├── chat {model}            the model's call, in the words of the GenAI conventions
    ├── validate
    ├── lake                    the files' writing, the manifest last
    └── complete                handed in

Names, numbers and kinds of errors alone: never a prompt, evidence, an answer or an error's text, which may hold them.
Without an SDK (the extra ``otel``) all of this does nothing, and a run has no trace id: one that leads nowhere tells
nobody anything.

Source: OpenTelemetry's semantic conventions for generative AI, client spans and metrics.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from derive.contracts import Claim, Outcome
from derive.errors import RunError
from derive.model_servers.chat import ChatAnswer, ChatRequest, answer_of

_NOWHERE = nullcontext(trace.INVALID_SPAN)
_tracer = trace.get_tracer("holocron")
_meter = metrics.get_meter("holocron")
_tokens = _meter.create_histogram("gen_ai.client.token.usage", unit="{token}", description="Tokens of a call.")
_durations = _meter.create_histogram("gen_ai.client.operation.duration", unit="s", description="Seconds of a call.")


def trace_claim(claims: list[Claim], *, begun_ns: int) -> Link | None:
    """Trace a claim that found jobs; return what its runs link to. Empty claims are not traced."""
    if not claims:
        return None
    span = _tracer.start_span("claim", start_time=begun_ns, attributes={"holocron.jobs": len(claims)})
    span.end()
    return Link(span.get_span_context())


@contextmanager
def run(claim: Claim, link: Link | None) -> Iterator[Callable[[Outcome], None]]:
    """Trace a run; yields the function that records the outcome."""
    attributes = {
        "holocron.job_id": str(claim.job_id),
        "holocron.run_id": str(claim.run_id),
        "holocron.attempt": claim.attempt,
        "holocron.interrogation": claim.interrogation_key,
    }
    with _quiet("run", attributes=attributes, links=[link] if link else None) as span:

        def end(outcome: Outcome) -> None:
            span.set_attribute("holocron.outcome", outcome.status.value)
            if outcome.error_kind is not None:
                _fail(span, outcome.error_kind.value)

        yield end


@contextmanager
def step(name: str) -> Iterator[None]:
    """Trace one step of a run."""
    with _quiet(name) as span:
        try:
            yield
        except RunError as error:
            _fail(span, error.kind.value)
            raise


@contextmanager
def chat(request: ChatRequest, *, base_url: str, provider: str) -> Iterator[Callable[[ChatAnswer], None]]:
    """Trace the model's call; yields the function that records the answer."""
    address = urlsplit(base_url)
    known: dict[str, str | int | float] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": request.model,
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
    }
    asked = {
        "gen_ai.request.temperature": request.options.temperature,
        "gen_ai.request.seed": request.options.seed,
        "gen_ai.request.max_tokens": request.options.num_predict,
        "gen_ai.output.type": "json",
    }
    begun = time.perf_counter()
    with _quiet(f"chat {request.model}", kind=SpanKind.CLIENT, attributes={**known, **asked}) as span:
        failed: dict[str, str | int | float] = {}
        try:
            yield lambda answer: _trace_answer(span, answer, known)
        except RunError as error:
            _fail(span, error.kind.value)
            failed = {"error.type": error.kind.value}
            partial = answer_of(error)
            if partial is not None:
                _trace_answer(span, partial, known)
            raise
        finally:
            _durations.record(time.perf_counter() - begun, {**known, **failed})


def trace_id() -> str | None:
    """Return the current trace's id, 32 hex digits; None when nothing is recorded."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid and context.trace_flags.sampled else None


def _trace_answer(span: Span, answer: ChatAnswer, known: dict[str, str | int | float]) -> None:
    read, written = answer.metrics.prompt_eval_count, answer.metrics.eval_count
    counted = {"input": read, "output": written}
    attributes: dict[str, str | int | list[str]] = {
        f"gen_ai.usage.{of_type}_tokens": amount for of_type, amount in counted.items() if amount is not None
    }
    if answer.model:
        attributes["gen_ai.response.model"] = answer.model[:200]
    if answer.done_reason:
        attributes["gen_ai.response.finish_reasons"] = [answer.done_reason[:40]]
    span.set_attributes(attributes)
    for of_type, amount in counted.items():
        if amount is not None:
            _tokens.record(amount, {**known, "gen_ai.token.type": of_type})


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))


def _quiet(name: str, **given: object):  # type: ignore[no-untyped-def]  # the API's own return type, a generator's
    """Start a span that records no exception text, which may contain secrets."""
    if isinstance(_tracer, trace.ProxyTracer) and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # No SDK: five no-op spans would take a twentieth of a run's processor time.
        return _NOWHERE
    return _tracer.start_as_current_span(
        name,
        record_exception=False,
        set_status_on_exception=False,
        **given,  # type: ignore[arg-type]
    )
