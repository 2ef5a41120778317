"""Reads the samples' results from SQL and the lake, and compares them with what was expected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from derive.demo.judging import SampleJudgement, SampleResult, judge
from derive.demo.samples import Sample
from derive.errors import ErrorKind
from derive.evidence.contracts import EvidenceBundle
from derive.lake import Lake
from derive.models import Artifact, Job, Run
from derive.states import ENDED, JobStatus
from derive.strict_types import parse_json

MAX_EVIDENCE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class SampleOutcome:
    """A sample's outcome. ``seconds`` is the time from its first claim to the completion of its last run."""

    sample: Sample
    job_id: UUID
    seen: SampleResult
    judgements: tuple[SampleJudgement, ...]
    prompt_tokens: int
    output_tokens: int
    seconds: float
    fact_count: int

    @property
    def as_expected(self) -> bool:
        """Whether every judgement that counts passed."""
        return all(one.passed or not one.counts for one in self.judgements)

    @property
    def faults(self) -> tuple[str, ...]:
        """The failed expectations, as text."""
        return tuple(
            f"{one.why}{'' if one.counts else ' (depends on the model)'}" for one in self.judgements if one.why
        )


def count_ended(job_ids: Iterable[UUID]) -> int:
    """Return the number of jobs that have ended."""
    return int(Job.objects.filter(job_id__in=list(job_ids), status__in=[one.value for one in ENDED]).count())


def read_outcomes(jobs: Mapping[UUID, Sample], *, lake: Lake, real_model: bool) -> list[SampleOutcome]:
    """Read the current results of the samples' jobs, in the order of the samples."""
    found = {job.job_id: job for job in Job.objects.filter(job_id__in=list(jobs))}
    return [_outcome(found[job_id], sample, lake=lake, real_model=real_model) for job_id, sample in jobs.items()]


def _outcome(job: Job, sample: Sample, *, lake: Lake, real_model: bool) -> SampleOutcome:
    runs = list(Run.objects.filter(job_id=job.job_id).order_by("attempt"))
    output = next((run.output_json for run in reversed(runs) if run.output_json), None)
    facts = parse_json(output).get("facts", []) if output else []
    bundle = _read_bundle(runs[-1], lake) if runs else None
    seen = SampleResult(
        state=JobStatus(job.status),
        error_kind=ErrorKind(job.error_kind) if job.error_kind else None,
        # A released run, as when another worker stops, is not an attempt.
        runs=sum(run.counted for run in runs),
        fact_keys=tuple(fact["fact_key"] for fact in facts),
        answer_text=output or "",
        evidence_text=bundle.model_dump_json() if bundle else "",
        cut_items=frozenset(cut.evidence_id for cut in bundle.cuts) if bundle else frozenset(),
        redacted_items=frozenset(one.evidence_id for one in bundle.redactions) if bundle else frozenset(),
    )
    ended = [run.completed_utc for run in runs if run.completed_utc]
    return SampleOutcome(
        sample=sample,
        job_id=job.job_id,
        seen=seen,
        judgements=judge(sample, seen, real_model=real_model),
        prompt_tokens=sum(run.prompt_tokens or 0 for run in runs),
        output_tokens=sum(run.output_tokens or 0 for run in runs),
        seconds=(max(ended) - runs[0].started_utc).total_seconds() if ended else 0.0,
        fact_count=len(facts),
    )


def _read_bundle(run: Run, lake: Lake) -> EvidenceBundle | None:
    uri = Artifact.objects.filter(run_id=run.run_id, artifact_type="evidence_bundle").values_list("lake_uri", flat=True)
    stored = uri.first()
    if stored is None:
        return None
    return EvidenceBundle.model_validate_json(lake.read(stored, max_bytes=MAX_EVIDENCE_BYTES))
