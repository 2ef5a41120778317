"""Judges whether a sample ended as expected, one judgement per expectation."""

from collections.abc import Iterator
from dataclasses import dataclass

from derive.demo.samples import JUDGEMENTS, Sample
from derive.errors import ErrorKind
from derive.plural import plural
from derive.states import JobStatus


@dataclass(frozen=True)
class SampleResult:
    """The result of a sample's job.

    ``answer_text`` is ``output_json``, ``evidence_text`` is ``evidence.json``; each is empty if there is none.
    ``fact_keys`` are those of the answer's facts, in order.
    """

    state: JobStatus
    error_kind: ErrorKind | None
    runs: int
    fact_keys: tuple[str, ...] = ()
    answer_text: str = ""
    evidence_text: str = ""
    cut_items: frozenset[str] = frozenset()
    redacted_items: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SampleJudgement:
    """The result of one expectation. ``counts`` is false for expectations that apply only to the stand-in."""

    name: str
    passed: bool
    counts: bool
    why: str


def judge(sample: Sample, seen: SampleResult, *, real_model: bool) -> tuple[SampleJudgement, ...]:
    """Compare a result with the sample's expectations; every judgement with ``counts`` must have passed."""
    whys = dict(_faults(sample, seen))
    return tuple(
        SampleJudgement(
            name=name,
            passed=name not in whys,
            counts=not (real_model and name in sample.expect.depends_on_model),
            why=whys.get(name, ""),
        )
        for name in JUDGEMENTS
    )


def _faults(sample: Sample, seen: SampleResult) -> Iterator[tuple[str, str]]:
    expect = sample.expect
    if seen.state != expect.state:
        yield "state", f"ended {seen.state}, expected {expect.state}"
    if seen.error_kind != expect.error_kind:
        yield "error_kind", f"was {seen.error_kind or 'none'}, expected {expect.error_kind or 'none'}"
    if seen.runs != expect.runs:
        yield "runs", f"took {plural(seen.runs, 'run')}, expected {expect.runs}"
    if missing := expect.fact_keys - set(seen.fact_keys):
        yield "fact_keys", f"found no {', '.join(sorted(missing))}"
    if expect.no_facts and seen.fact_keys:
        yield "no_facts", f"found {plural(len(seen.fact_keys), 'fact')} where there are none"
    searched = seen.answer_text + (seen.evidence_text if expect.redacted_items else "")
    if any(text in searched for text in expect.absent):
        yield "absent", "a text that must not be kept stands in what was kept"
    if missing := expect.cut_items - seen.cut_items:
        yield "cut_items", f"not cut: {', '.join(sorted(missing))}"
    if missing := expect.redacted_items - seen.redacted_items:
        yield "redacted_items", f"not redacted: {', '.join(sorted(missing))}"
