"""A worker's own metrics for Prometheus; the queue's metrics come from SQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from derive.contracts import Completion, Outcome
from derive.errors import ConfigurationError
from derive.states import JobStatus, RunStatus
from derive.worker.slots import Slots, Stage

MODEL_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280)
"""Bounds of the histogram: from a small model's short answer to a cold load of a large one."""


class WorkerMetrics:
    """Counts what a worker does; ``served`` exposes it, otherwise nothing listens."""

    def __init__(self, *slots: Slots) -> None:
        self._registry = registry = CollectorRegistry()
        self._claims = Counter("holocron_worker_claims", "Jobs claimed.", registry=registry)
        self._switches = Counter(
            "holocron_worker_model_switches",
            "Times that an endpoint's claims changed from one model to another.",
            ["endpoint"],
            registry=registry,
        )
        self._completions = Counter(
            "holocron_worker_completions",
            "Completed runs by status and error kind (empty: none).",
            ["status", "error_kind"],
            registry=registry,
        )
        self._releases = Counter(
            "holocron_worker_releases", "Runs released when the worker stopped.", registry=registry
        )
        self._leases_lost = Counter("holocron_worker_leases_lost", "Runs whose lease was lost.", registry=registry)
        self._retries = Counter("holocron_worker_retries", "Runs after which the job is retried.", registry=registry)
        self._reaps = Counter(
            "holocron_worker_reaps",
            "Runs of any worker that this one reaped because their lease had expired.",
            registry=registry,
        )
        self._run_seconds = Histogram(
            "holocron_worker_run_seconds",
            "Seconds from a claim to the run's outcome, successful or not.",
            buckets=MODEL_SECONDS,
            registry=registry,
        )
        self._model_seconds = Histogram(
            "holocron_worker_model_seconds",
            "Seconds the model worked on a run, successful or not.",
            buckets=MODEL_SECONDS,
            registry=registry,
        )
        self._first_token_seconds = Histogram(
            "holocron_worker_first_token_seconds",
            "Seconds until the first token of a complete answer: queueing, loading the model, reading the prompt.",
            buckets=MODEL_SECONDS,
            registry=registry,
        )
        self._prompt_tokens = Counter("holocron_worker_prompt_tokens", "Tokens of prompts.", registry=registry)
        self._output_tokens = Counter("holocron_worker_output_tokens", "Tokens of answers.", registry=registry)
        active = Gauge("holocron_worker_active_runs", "Current runs by stage.", ["stage"], registry=registry)
        for stage in Stage:
            active.labels(stage.value).set_function(partial(_count, slots, stage))

    def claimed(self, jobs: int) -> None:
        """Count jobs that were claimed."""
        self._claims.inc(jobs)

    def switched(self, endpoint: str, times: int) -> None:
        """Count how many times an endpoint's claims went from one model to another."""
        self._switches.labels(endpoint).inc(times)

    def completed(
        self,
        outcome: Outcome,
        completion: Completion,
        *,
        model_seconds: float | None,
        first_token_seconds: float | None = None,
    ) -> None:
        """Count a run whose completion was accepted."""
        if outcome.status is RunStatus.FAILED and completion.final_status in (JobStatus.NEW, JobStatus.SCHEDULED):
            self._retries.inc()
        if outcome.run.total_ms is not None:
            self._run_seconds.observe(outcome.run.total_ms / 1000)
        self._completions.labels(outcome.status.value, outcome.error_kind.value if outcome.error_kind else "").inc()
        self._prompt_tokens.inc(outcome.run.prompt_tokens or 0)
        self._output_tokens.inc(outcome.run.output_tokens or 0)
        if model_seconds is not None:
            self._model_seconds.observe(model_seconds)
        if first_token_seconds is not None:
            self._first_token_seconds.observe(first_token_seconds)

    def released(self) -> None:
        """Count a run that was released."""
        self._releases.inc()

    def lost(self) -> None:
        """Count a run whose lease was lost."""
        self._leases_lost.inc()

    def reaped(self, runs: int) -> None:
        """Count runs, of this worker or others, whose leases this one found expired. From any thread."""
        self._reaps.inc(runs)

    def watch_circuit_breaker(self, is_open: Callable[[], bool]) -> None:
        """Expose whether jobs may be claimed, evaluated at each scrape."""
        says = "1 while jobs may be claimed: model, lake and database can be used, and no outcome waits."
        Gauge("holocron_worker_claiming", says, registry=self._registry).set_function(lambda: float(is_open()))

    def watch_database(self, is_up: Callable[[], bool]) -> None:
        """Expose whether the database answers, evaluated at each scrape."""
        says = "1 while the database answers."
        Gauge("holocron_worker_database_up", says, registry=self._registry).set_function(lambda: float(is_up()))

    def watch_outcomes(self, waiting: Callable[[], int]) -> None:
        """Expose how many outcomes wait to be completed, evaluated at each scrape."""
        says = "Finished runs that the database has not accepted yet; nothing is claimed meanwhile."
        Gauge("holocron_worker_outcomes_waiting", says, registry=self._registry).set_function(lambda: float(waiting()))

    def as_text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def served(self, port: int | None, *, host: str) -> AbstractContextManager[None]:
        """Serve the metrics while the block runs, as ``served`` does."""
        return served(self._registry, port, host=host)


def _count(slots: Sequence[Slots], stage: Stage) -> float:
    return sum(one.count(stage) for one in slots)


@contextmanager
def served(registry: CollectorRegistry, port: int | None, *, host: str) -> Iterator[None]:
    """Serve a registry on ``http://host:port/metrics`` while the block runs; no port: serve nothing.

    Raises ConfigurationError when the port is taken, or the host is not this machine's.
    """
    if port is None:
        yield
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(
            f"--metrics-port {port} of {host} cannot be listened on: {error.strerror or error}"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
