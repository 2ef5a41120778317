"""The answers of an experiment's jobs, scored case by case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from derive.errors import ConfigurationError
from derive.experiments.opening import cases_of, job_id_of, variants_of
from derive.facts.rules import FactRules
from derive.models import Experiment, ExperimentCase, Interrogation, Job, Run
from derive.scoring.matching import CaseComparison, Matching, compare, plain_key
from derive.scoring.stated import StatedFact, statements_of
from derive.scoring.tallies import Tally, add
from derive.sql.reading import reading
from derive.states import ENDED, JobStatus, RunStatus
from derive.strict_types import parse_json

_PAGE = 2_000
_NO_RULES = FactRules({})


@dataclass(slots=True)
class TriedAnswer:
    """What one job said: its output (None: it was refused, failed or is not there), and what all its runs cost."""

    has_ended: bool = False
    is_cancelled: bool = False
    output_json: str | None = None
    tokens: int = 0
    milliseconds: int = 0
    run_id: UUID | None = None


@dataclass(slots=True)
class ScoredCase:
    """A case's tallies of each variant: overall, by key, and of each repeat; ``said`` is what each repeat stated."""

    case_no: int
    case_key: str
    overall: list[Tally]
    by_key: list[dict[str, Tally]]
    repeats: list[list[Tally]]
    said: list[list[frozenset[tuple[str, str]]]] = field(default_factory=list)


def read_answers(experiment: Experiment) -> dict[UUID, TriedAnswer]:
    """Return the answers so far by job; raises QueueError."""
    jobs = Job.objects.filter(batch_id=experiment.batch_id).values_list("job_id", "status")
    statuses: list[tuple[UUID, str]] = reading(partial(list, jobs))
    answers = {
        job_id: TriedAnswer(has_ended=status in ENDED, is_cancelled=status == JobStatus.CANCELLED)
        for job_id, status in statuses
    }
    columns = ("run_seq", "run_id", "job_id", "status", "output_json", "prompt_tokens", "output_tokens", "total_ms")
    runs = Run.objects.filter(job__batch_id=experiment.batch_id).order_by("run_seq").values_list(*columns)
    after = 0
    while True:
        page: list[tuple[Any, ...]] = reading(partial(list, runs.filter(run_seq__gt=after)[:_PAGE]))
        for _seq, run_id, job_id, status, output_json, prompt_tokens, output_tokens, total_ms in page:
            answer = answers.get(job_id)
            if answer is None:
                continue
            answer.tokens += (prompt_tokens or 0) + (output_tokens or 0)
            answer.milliseconds += total_ms or 0
            if status == RunStatus.SUCCEEDED:
                answer.output_json, answer.run_id = output_json, run_id
        if len(page) < _PAGE:
            return answers
        after = page[-1][0]


def rules_of(hashes: Sequence[str]) -> list[FactRules]:
    """Return the rules for the facts of each definition's answers; of an unknown one, none. Raises QueueError."""
    stored = Interrogation.objects.filter(definition_sha256__in=hashes).values_list(
        "definition_sha256", "output_schema_json"
    )
    schemas: dict[str, str] = dict(reading(partial(list, stored)))
    found = []
    for sha256 in hashes:
        try:
            found.append(FactRules.of_schema(parse_json(schemas[sha256])))
        except (KeyError, ValueError, TypeError, ConfigurationError):
            found.append(_NO_RULES)
    return found


def score_cases(
    experiment: Experiment, answers: Mapping[UUID, TriedAnswer], *, is_done: bool = True
) -> Iterator[ScoredCase]:
    """Yield the cases that every variant has answered or failed to, scored; raises QueueError.

    A job that is not there counts as one that was refused if the experiment ``is_done``; before, it may yet come.
    """
    variants = variants_of(experiment)
    rules = rules_of([variant.definition_sha256 for variant in variants])
    for case in cases_of(experiment.experiment_id):
        said = [
            [
                answers.get(job_id_of(experiment.experiment_id, n, case.case_no, repeat))
                for repeat in range(experiment.repeats)
            ]
            for n in range(len(variants))
        ]
        if all(is_done if answer is None else answer.has_ended for of_variant in said for answer in of_variant):
            yield score_answers(case, said, rules)


def score_answers(case: ExperimentCase, said: list[list[TriedAnswer | None]], rules: list[FactRules]) -> ScoredCase:
    """Return a case with the answers of each variant scored, one answer for each repeat."""
    expected, matching = expected_of(case)
    scored = ScoredCase(case.case_no, case.case_key, [], [], [])
    for of_variant, rule in zip(said, rules, strict=True):
        tallies: list[Tally] = []
        by_key: dict[str, Tally] = {}
        stated = []
        for answer in of_variant:
            found = stated_by(answer, rule)
            comparison = compare(expected, found, matching)
            for key, counts in comparison.by_key.items():
                tally, before = (*counts, 1, 0, 0, 0), by_key.get(key)
                by_key[key] = tally if before is None else add((before, tally))
            tallies.append(_tally(comparison, answer))
            stated.append(frozenset((plain_key(one.key), str(one.value)) for one in found))
        scored.overall.append(add(tallies))
        scored.by_key.append(by_key)
        scored.repeats.append(tallies)
        scored.said.append(stated)
    return scored


def expected_of(case: ExperimentCase) -> tuple[tuple[StatedFact, ...], dict[str, Matching]]:
    """Return a case's expected facts, and how they are compared."""
    facts = parse_json(case.expected_json)["facts"]
    matching = parse_json(case.matching_json) if case.matching_json else {}
    return (
        tuple(StatedFact(fact["key"], fact["value"]) for fact in facts),
        {key: Matching(way) for key, way in matching.items()},
    )


def stated_by(answer: TriedAnswer | None, rules: FactRules) -> tuple[StatedFact, ...]:
    """Return what a job's answer states; nothing if it has none."""
    return () if answer is None else statements_in(answer.output_json, rules)


def statements_in(output_json: str | None, rules: FactRules) -> tuple[StatedFact, ...]:
    """Return what an output states; nothing if it is none."""
    try:
        output: Any = parse_json(output_json or "null")
    except ValueError:
        return ()
    return statements_of(output, rules)


def _tally(comparison: CaseComparison, answer: TriedAnswer | None) -> Tally:
    counts = [sum(column) for column in zip(*comparison.by_key.values(), strict=True)] or [0, 0, 0]
    is_refused = answer is None or answer.output_json is None
    return (*counts, 1, int(is_refused), answer.tokens if answer else 0, answer.milliseconds if answer else 0)
