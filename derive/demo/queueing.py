"""Queues the demo's samples, each once for each model."""

from collections.abc import Sequence
from uuid import NAMESPACE_OID, UUID, uuid5

from derive.demo.samples import Sample
from derive.models import Job
from derive.queue import JobQueue

ACTOR = "demo"


def queue_samples(samples: Sequence[Sample], *, model: str) -> tuple[dict[UUID, Sample], int]:
    """Queue each sample without checks, as plain SQL would; return their jobs, and how many were there before.

    A sample's job has the same id at each start while its content and the model stay the same.
    """
    jobs = [sample.job.model_copy(update={"job_id": _id_of(sample, model)}) for sample in samples]
    known = Job.objects.filter(job_id__in=[job.job_id for job in jobs]).count()
    answers = JobQueue().enqueue_many(jobs, actor=ACTOR)
    return {answer.job_id: sample for answer, sample in zip(answers, samples, strict=True)}, known


def _id_of(sample: Sample, model: str) -> UUID:
    return uuid5(NAMESPACE_OID, f"holocron.demo {sample.sample_id} {model} {sample.job.model_dump_json()}")
