"""Opens an experiment and queues its jobs; what was interrupted goes on where it was."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4, uuid5

from derive.batch_contracts import BatchInput
from derive.contracts import JobInput
from derive.evidence.references import EvidenceRefs
from derive.experiments.refused import ExperimentRefused
from derive.experiments.variants import Variant
from derive.interrogations.registry import Registry
from derive.models import Batch, Experiment, ExperimentCase, GoldenCase, Job
from derive.queue import JobQueue
from derive.scoring.gates import BadGate, parse_gate
from derive.sql.reading import reading
from derive.strict_types import parse_json

PRIORITY = 10
"""Below ordinary jobs, whose priority is 100."""
MAX_JOBS = 200_000
_CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What an experiment asks: each variant about each case of the set, as often as ``repeats`` says."""

    set_name: str
    variants: tuple[Variant, ...]
    gates: tuple[str, ...] = ()
    repeats: int = 1
    cases: int = 0
    """Of the set now; the experiment copies those that are there when it is opened."""

    @property
    def jobs(self) -> int:
        """How many jobs that makes."""
        return self.cases * len(self.variants) * self.repeats


def interrogation_of(set_name: str) -> str:
    """Return the interrogation that all cases of a set belong to; raises ExperimentRefused, QueueError."""
    found = GoldenCase.objects.filter(set_name=set_name).values_list("interrogation_key", flat=True)
    keys = reading(lambda: sorted(set(found.distinct())))
    if not keys:
        raise ExperimentRefused(f"there is no golden set {set_name!r}, or it has no cases")
    if len(keys) > 1:
        raise ExperimentRefused(f"the set {set_name!r} has cases of several interrogations: {', '.join(keys)}")
    return str(keys[0])


def plan_experiment(
    set_name: str, variants: Sequence[str], *, gates: Sequence[str] = (), repeats: int = 1, registry: Registry
) -> ExperimentPlan:
    """Check what is asked for, and add the live version, which the others are compared with.

    Raises ExperimentRefused for anything wrong, ConfigurationError, QueueError.
    """
    from derive.experiments.variants import live_variant, read_variant

    key = interrogation_of(set_name)
    read = [read_variant(text, registry) for text in variants]
    if not read:
        raise ExperimentRefused("name at least one variant")
    if len({one.name for one in read}) != len(read):
        raise ExperimentRefused("a variant is given twice")
    live = live_variant(key, registry)
    for gate in gates:
        try:
            parse_gate(gate)
        except BadGate as error:
            raise ExperimentRefused(str(error)) from None
    plan = ExperimentPlan(
        set_name=set_name,
        variants=(live, *read),
        gates=tuple(gates),
        repeats=repeats,
        cases=reading(GoldenCase.objects.filter(set_name=set_name).count),
    )
    if plan.jobs > MAX_JOBS:
        raise ExperimentRefused(f"that is {plan.jobs:,} jobs; at most {MAX_JOBS:,} are queued for an experiment")
    return plan


def open_experiment(
    plan: ExperimentPlan, *, actor: str, reason: str | None = None, experiment_id: UUID | None = None
) -> Experiment:
    """Record the experiment with its own copy of the cases, and return it; its jobs are not queued yet.

    With an ``experiment_id`` it is repeatable: one that is there already is returned as it is.
    Raises ExperimentRefused, QueueError.
    """
    queue = JobQueue()
    experiment_id = experiment_id or uuid4()
    known: Experiment | None = reading(Experiment.objects.filter(experiment_id=experiment_id).first)
    if known is not None:
        return known
    batch = queue.open_batch(
        BatchInput(name=f"experiment {experiment_id}"),
        actor=actor,
        reason=reason or f"evaluate {plan.set_name}",
        batch_id=uuid5(experiment_id, "batch"),
    )
    opened = queue.open_experiment(
        experiment_id,
        set_name=plan.set_name,
        batch_id=batch.batch_id,
        variants=[variant.model_dump(mode="json") for variant in plan.variants],
        gates=list(plan.gates),
        repeats=plan.repeats,
        actor=actor,
        reason=reason,
    )
    if not opened:
        queue.close_batch(batch.batch_id, actor=actor, reason="the golden set has no cases")
        raise ExperimentRefused(f"the golden set {plan.set_name!r} has no cases any more")
    return find_experiment(experiment_id)


def find_experiment(experiment_id: UUID) -> Experiment:
    """Return an experiment; raises ExperimentRefused if there is none, QueueError."""
    found: Experiment | None = reading(Experiment.objects.filter(experiment_id=experiment_id).first)
    if found is None:
        raise ExperimentRefused(f"there is no experiment {experiment_id}")
    return found


def variants_of(experiment: Experiment) -> tuple[Variant, ...]:
    """Return an experiment's variants, the live version first."""
    return tuple(Variant.model_validate(one) for one in parse_json(experiment.variants_json)["variants"])


def gates_of(experiment: Experiment) -> tuple[str, ...]:
    """Return an experiment's gates."""
    return tuple(parse_json(experiment.gates_json)["gates"])


def job_id_of(experiment_id: UUID, variant: int, case: int, repeat: int) -> UUID:
    """Return the id of the job that asks a variant about a case: the same whenever it is queued."""
    return uuid5(experiment_id, f"{variant}/{case}/{repeat}")


def is_filled(experiment: Experiment) -> bool:
    """Whether no more jobs will be queued: all are, or it was cancelled. Raises QueueError."""
    filled = Batch.objects.filter(batch_id=experiment.batch_id, filled_utc__isnull=False)
    return reading(filled.exists)


def queue_jobs(
    experiment: Experiment,
    *,
    actor: str,
    priority: int = PRIORITY,
    on_progress: Callable[[int], object] = lambda _: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> int:
    """Queue the jobs that are not queued yet, then fill the batch; return how many there were. Repeatable.

    A batch that is filled, or was cancelled, gets no more. ``stop_asked`` is looked at between steps of 500 jobs; what
    is left then is queued by the next call.
    """
    if is_filled(experiment):
        return 0
    queue = JobQueue()
    ids = Job.objects.filter(batch_id=experiment.batch_id).values_list("job_id", flat=True)
    there: set[UUID] = set(reading(partial(list, ids)))
    queued = 0
    for jobs in _chunks(experiment, there, priority):
        queue.enqueue_many(jobs, actor=actor, batch_id=experiment.batch_id)
        queued += len(jobs)
        on_progress(queued)
        if stop_asked():
            return queued
    queue.fill_batch(experiment.batch_id, actor=actor)
    return queued


def _chunks(experiment: Experiment, there: set[UUID], priority: int) -> Iterator[list[JobInput]]:
    variants = variants_of(experiment)
    chunk: list[JobInput] = []
    for case in cases_of(experiment.experiment_id):
        items = parse_json(case.evidence_json)["items"]
        for n, variant in enumerate(variants):
            for repeat in range(experiment.repeats):
                job_id = job_id_of(experiment.experiment_id, n, case.case_no, repeat)
                if job_id in there:
                    continue
                references = EvidenceRefs.model_validate({"items": items, "trial": variant.trial(repeat)})
                chunk.append(
                    JobInput(
                        job_id=job_id,
                        interrogation_key=variant.interrogation_key,
                        input_json=case.input_json,
                        evidence_ref_json=references.model_dump_json(exclude_none=True),
                        priority=priority,
                        model_hint=variant.model,
                        dedupe_key=f"experiment:{experiment.experiment_id}:{n}:{case.case_no}:{repeat}",
                    )
                )
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def cases_of(experiment_id: UUID) -> Iterator[ExperimentCase]:
    """Yield an experiment's own cases in order; raises QueueError."""
    cases = ExperimentCase.objects.filter(experiment_id=experiment_id).order_by("case_no")
    after = -1
    while True:
        page: list[ExperimentCase] = reading(partial(list, cases.filter(case_no__gt=after)[:_CHUNK]))
        yield from page
        if len(page) < _CHUNK:
            return
        after = page[-1].case_no
