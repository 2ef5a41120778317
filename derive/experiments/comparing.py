"""Two answers about one case of an experiment, key by key: what was expected, and what each states instead."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from derive.experiments.answers import expected_of, rules_of, statements_in
from derive.experiments.opening import job_id_of, variants_of
from derive.experiments.refused import ExperimentRefused
from derive.models import Experiment, ExperimentCase, Job, Run
from derive.scoring.matching import Mark, compare, plain_key
from derive.scoring.stated import StatedFact
from derive.sql.reading import reading
from derive.states import ENDED, JobStatus, RunStatus


class ValueMark(StrEnum):
    """What a value of an answer is, compared with the expected facts."""

    RIGHT = "right"
    WRONG = "wrong"
    """The key is expected with another value."""
    EXTRA = "extra"
    """The key is not expected."""
    MISSING = "missing"
    """Expected, and not in the answer."""
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A value of an answer, and its mark."""

    value: str
    mark: ValueMark


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One key: the expected values, and those of each side."""

    key: str
    expected: tuple[str, ...]
    sides: tuple[tuple[ComparedValue, ...], ...]


@dataclass(frozen=True, slots=True)
class AnswerSide:
    """One answer: its variant and job; ``status`` is empty if the job was purged, or is not queued yet."""

    variant: int
    job_id: UUID
    status: str
    error_kind: str
    has_answer: bool

    @property
    def has_ended(self) -> bool:
        """Whether the job is there and will say no more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case with the answers to it."""

    case: ExperimentCase
    sides: tuple[AnswerSide, ...]
    rows: tuple[ComparedRow, ...]


def compare_case(experiment: Experiment, case_no: int, variants: Sequence[int], *, repeat: int = 0) -> CaseView:
    """Return the answers of these variants about a case. Raises ExperimentRefused if there is none, QueueError."""
    known = variants_of(experiment)
    case = reading(ExperimentCase.objects.filter(experiment_id=experiment.experiment_id, case_no=case_no).first)
    if case is None or not 0 <= repeat < experiment.repeats or not all(0 <= n < len(known) for n in variants):
        raise ExperimentRefused("the experiment has no such case, variant or repeat")
    expected, matching = expected_of(case)
    rules = rules_of([known[n].definition_sha256 for n in variants])
    sides: list[AnswerSide] = []
    said: list[tuple[StatedFact, ...]] = []
    marks = []
    for n, rule in zip(variants, rules, strict=True):
        side, output_json = _side(n, job_id_of(experiment.experiment_id, n, case_no, repeat))
        sides.append(side)
        said.append(statements_in(output_json, rule))
        compared = compare(expected, said[-1], matching)
        marks.append((compared.expected, compared.found))
    return CaseView(case, tuple(sides), tuple(_rows(expected, said, marks, [side.has_answer for side in sides])))


def _side(variant: int, job_id: UUID) -> tuple[AnswerSide, str | None]:
    jobs = Job.objects.filter(job_id=job_id).values_list("status", "error_kind")
    status, error_kind = reading(jobs.first) or ("", "")
    output_json: str | None = None
    if status == JobStatus.SUCCEEDED:
        runs = Run.objects.filter(job_id=job_id, status=RunStatus.SUCCEEDED).order_by("-run_seq")
        output_json = reading(runs.values_list("output_json", flat=True).first)
    return AnswerSide(variant, job_id, status, error_kind or "", output_json is not None), output_json


def _rows(
    expected: Sequence[StatedFact],
    said: Sequence[Sequence[StatedFact]],
    marks: Sequence[tuple[Sequence[Mark], Sequence[Mark]]],
    have_answers: Sequence[bool],
) -> list[ComparedRow]:
    keys: dict[str, str] = {}
    for fact in (*expected, *(fact for facts in said for fact in facts)):
        keys.setdefault(plain_key(fact.key), fact.key)
    wanted = {plain_key(fact.key) for fact in expected}
    rows = []
    for plain, key in keys.items():
        sides = []
        for facts, (of_expected, of_found), has_answer in zip(said, marks, have_answers, strict=True):
            values = [
                ComparedValue(_text(fact.value), _mark(mark, is_expected=plain in wanted))
                for fact, mark in zip(facts, of_found, strict=True)
                if plain_key(fact.key) == plain
            ]
            missing = [
                ComparedValue(_text(fact.value), ValueMark.MISSING)
                for fact, mark in zip(expected, of_expected, strict=True)
                if plain_key(fact.key) == plain and mark is Mark.MISSED
            ]
            sides.append(tuple(values + missing if has_answer else ()))
        texts = tuple(_text(fact.value) for fact in expected if plain_key(fact.key) == plain)
        rows.append(ComparedRow(key, texts, tuple(sides)))
    return rows


def _mark(mark: Mark, *, is_expected: bool) -> ValueMark:
    if mark is Mark.WRONG:
        return ValueMark.WRONG if is_expected else ValueMark.EXTRA
    return ValueMark.RIGHT if mark is Mark.MATCHED else ValueMark.IGNORED


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
