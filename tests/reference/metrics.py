"""Every metric there is, with a sample of each."""

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from prometheus_client.core import Metric

from derive.contracts import Completion, Outcome, RunFacts
from derive.errors import ErrorKind
from derive.metrics import families
from derive.metrics.snapshot import Snapshot
from derive.model_status import ModelEndpoint, ModelStatus, ModelStatuses
from derive.models import Endpoint, LanguageModel
from derive.schedules.health import SchedulerHealth
from derive.sql.depths import Depth, WorkersAlive
from derive.sql.totals import Totals
from derive.states import JobStatus, RunStatus
from derive.worker.metrics import WorkerMetrics
from derive.worker.slots import Slots

A_MODEL = ModelStatus(
    model="model",
    settings=LanguageModel(model="model", load_ms=1_000),
    ready=1,
    delayed=0,
    running=0,
    tokens_per_second=None,
    waits={},
    ended_per_second=0.0,
    serving_on=(),
    resident_on=(),
    is_served=True,
)


def of_the_queue() -> list[Metric]:
    """Return what ``/metrics`` of the web server serves."""
    snapshot = Snapshot(
        read_at=0,
        depths=(Depth(JobStatus.NEW, "key", 1, 1.0),),
        workers=WorkersAlive(1, 0, 1, 1),
        scheduler=SchedulerHealth(1.0, 0.0, "", (), ()),
        totals=Totals(
            Counter({("key", "", "claimed"): 1}),
            Counter({("key", "model", "prompt_tokens"): 1}),
            Counter({(measure, "key", 10): 1 for measure in ("wait", "run", "model")}),
            Counter({("model", 10): 1}),
        ),
        counted_seconds_ago=1.0,
        models=ModelStatuses((A_MODEL,), (ModelEndpoint(Endpoint(name="gpu-1", state="UP"), True, None, None),)),
    )
    parts = (families.depths, families.totals, families.times, families.models)
    return [*families.moment(snapshot, age_seconds=0), *(metric for part in parts for metric in part(snapshot))]


def of_a_worker() -> list[Metric]:
    """Return what a worker serves on its ``--metrics-port``."""
    numbers = WorkerMetrics(Slots(1))
    run = RunFacts(prompt_tokens=1, output_tokens=1, total_ms=1)
    ids = UUID(int=1)
    outcome = Outcome(job_id=ids, run_id=ids, status=RunStatus.FAILED, error_kind=ErrorKind.INTERNAL, run=run)
    numbers.completed(outcome, Completion(accepted=True, final_status=JobStatus.NEW), model_seconds=1.0)
    numbers.switched("gpu-1", 1)
    numbers.watch_circuit_breaker(lambda: True)
    numbers.watch_database(lambda: True)
    numbers.watch_outcomes(lambda: 0)
    return list(numbers._registry.collect())


def labels_of(metric: Metric) -> list[str]:
    return sorted({label for sample in metric.samples for label in sample.labels} - {"le"})


def sample_names(metrics: Iterable[Metric]) -> dict[str, set[str]]:
    """Return every sample's name with its labels."""
    found: dict[str, set[str]] = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
