"""The result of an experiment: scores with intervals, the comparison with the live version, and the gates."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from derive.experiments.answers import ScoredCase, read_answers, score_cases
from derive.experiments.opening import gates_of, is_filled, variants_of
from derive.experiments.variants import Variant
from derive.models import Experiment
from derive.queue import JobQueue
from derive.scoring.gates import GateResult, judge_gate, parse_gate
from derive.scoring.matching import plain_key
from derive.scoring.statistics import Interval, chance_of_drop, interval, resample
from derive.scoring.tallies import METRICS, NOTHING, Tally, TallyLayout, add, f1
from derive.strict_types import parse_json

MAX_KEYS = 30
"""Keys with scores of their own, those with the most expected facts."""
MAX_CASES_NAMED = 200
"""Cases that are listed as better or worse than live, those that differ most."""
_QUALITY = ("precision", "recall", "f1")
_COSTS = ("refusals", "tokens", "seconds")


def result_of(experiment: Experiment) -> dict[str, Any]:
    """Return the result as it is kept, or the one so far: ``state`` says which. Raises QueueError.

    Once every job has ended it is kept, so that it stays when the jobs are purged. If jobs were cancelled or purged
    before that (``missing``), no gate passes.
    """
    if experiment.result_json is not None:
        return kept_result(experiment)
    # Before the answers: once it is filled, all jobs are there.
    filled = is_filled(experiment)
    answers = read_answers(experiment)
    jobs = experiment.cases * len(variants_of(experiment)) * experiment.repeats
    ended = sum(answer.has_ended for answer in answers.values())
    # Nothing is kept while a job may still answer.
    is_done = filled and ended == len(answers)
    result = score(experiment, list(score_cases(experiment, answers, is_done=is_done)) if ended or is_done else [])
    result |= {"state": "done" if is_done else "running", "jobs": jobs, "ended": ended}
    if is_done:
        _count_missing(result, jobs - sum(not answer.is_cancelled for answer in answers.values()))
        JobQueue().record_experiment(experiment.experiment_id, result, is_passed=bool(result["passed"]))
    return result


def kept_result(experiment: Experiment) -> dict[str, Any]:
    """Return the result of an experiment that is scored."""
    return dict(parse_json(experiment.result_json or "{}"))


def _count_missing(result: dict[str, Any], missing: int) -> None:
    """Let no gate pass on answers that are not there: two variants without any would look the same."""
    result["missing"] = missing
    if missing:
        why = f"{missing:,} of {result['jobs']:,} jobs gave no answer, because they were cancelled or purged."
        result["passed"] = False
        result["gates"] = [{**gate, "passed": False, "why": f"{why} {gate['why']}"} for gate in result["gates"]]


def score(experiment: Experiment, cases: Sequence[ScoredCase]) -> dict[str, Any]:
    """Return scores, comparison and gates of these cases: a pure function of them."""
    variants = variants_of(experiment)
    live = next(n for n, variant in enumerate(variants) if variant.is_live)
    table = _Table.of(cases, len(variants))
    gates = [
        (variant, judge(table, gate, n, live))
        for n, variant in enumerate(variants)
        if not variant.is_live
        for gate in gates_of(experiment)
    ]
    return {
        "experiment": str(experiment.experiment_id),
        "set": experiment.set_name,
        "cases": experiment.cases,
        "scored": len(cases),
        "repeats": experiment.repeats,
        "variants": [_variant(table, variant, n, live) for n, variant in enumerate(variants)],
        "gates": [
            {"variant": variant.name, "gate": one.gate, "passed": one.passed, "why": one.why} for variant, one in gates
        ],
        "passed": all(one.passed for _variant_, one in gates),
    }


@dataclass(frozen=True)
class _Table:
    """All tallies, their totals, and resamples: the same cases are drawn for every variant and key."""

    cases: Sequence[ScoredCase]
    keys: tuple[str, ...]
    totals: list[Tally]
    drawn: list[list[Tally]]

    @classmethod
    def of(cls, cases: Sequence[ScoredCase], variants: int) -> "_Table":
        counts: Counter[str] = Counter()
        for case in cases:
            for by_key in case.by_key:
                counts.update({key: 1 + tally[0] + tally[2] for key, tally in by_key.items()})
        keys = tuple(sorted(key for key, _count in counts.most_common(MAX_KEYS)))
        layout = TallyLayout(variants * (1 + len(keys)))
        packed = [
            layout.pack(
                [
                    tally
                    for n in range(variants)
                    for tally in (case.overall[n], *(case.by_key[n].get(key, NOTHING) for key in keys))
                ]
            )
            for case in cases
        ]
        return cls(cases, keys, layout.unpack(sum(packed)), resample(packed, layout))

    def of_cases(self, variant: int, key: str | None = None) -> list[Tally]:
        if key is None:
            return [case.overall[variant] for case in self.cases]
        return [case.by_key[variant].get(key, NOTHING) for case in self.cases]

    def resamples(self, variant: int, key: str | None = None) -> list[Tally]:
        at = self._place(variant, key)
        return [sample[at] for sample in self.drawn]

    def _place(self, variant: int, key: str | None) -> int:
        return variant * (1 + len(self.keys)) + (0 if key is None else 1 + self.keys.index(key))

    def interval(self, metric: Callable[[Tally], float], variant: int, key: str | None = None) -> Interval:
        value = metric(self.totals[self._place(variant, key)])
        return interval(value, [metric(tally) for tally in self.resamples(variant, key)])


def judge(table: _Table, text: str, variant: int, live: int) -> GateResult:
    """Return whether a variant passes a gate."""
    gate = parse_gate(text)
    key = None if gate.key is None else plain_key(gate.key)
    if key is not None and key not in table.keys:
        return GateResult(text, passed=False, why=f"No answer and no case has the key {gate.key!r}.")
    pairs = list(zip(table.resamples(variant, key), table.resamples(live, key), strict=True))
    return judge_gate(gate, table.of_cases(variant, key), table.of_cases(live, key), pairs)


def _variant(table: _Table, variant: Variant, n: int, live: int) -> dict[str, Any]:
    told: dict[str, Any] = variant.model_dump(mode="json")
    told |= {name: _interval(table.interval(METRICS[name], n)) for name in (*_QUALITY, *_COSTS)}
    told["by_key"] = {
        key: {name: _interval(table.interval(METRICS[name], n, key)) for name in _QUALITY} for key in table.keys
    }
    told["stability"] = _stability(table.cases, n)
    told["against_live"] = None if variant.is_live else _against_live(table, n, live)
    return told


def _against_live(table: _Table, n: int, live: int) -> dict[str, Any]:
    ours, theirs = table.of_cases(n), table.of_cases(live)
    pairs = zip(table.resamples(n), table.resamples(live), strict=True)
    gains = [f1(one) - f1(other) for one, other in pairs]
    differing = sorted(
        ((f1(one) - f1(other), case) for one, other, case in zip(ours, theirs, table.cases, strict=True)),
        key=lambda pair: (-abs(pair[0]), pair[1].case_no),
    )
    better = [
        {"case_no": case.case_no, "case": case.case_key, "f1": round(gain, 4)} for gain, case in differing if gain > 0
    ]
    worse = [
        {"case_no": case.case_no, "case": case.case_key, "f1": round(gain, 4)} for gain, case in differing if gain < 0
    ]
    return {
        "f1": _interval(interval(f1(add(ours)) - f1(add(theirs)), gains)),
        "p_worse": round(chance_of_drop(ours, theirs, f1), 4) if ours else None,
        "better": len(better),
        "worse": len(worse),
        "same": len(table.cases) - len(better) - len(worse),
        "better_cases": better[:MAX_CASES_NAMED],
        "worse_cases": worse[:MAX_CASES_NAMED],
    }


def _stability(cases: Sequence[ScoredCase], n: int) -> dict[str, Any] | None:
    """Return how alike repeated answers are; None if nothing was repeated."""
    repeats = len(cases[0].repeats[n]) if cases else 0
    if repeats < 2:
        return None
    same = sum(len(set(case.said[n])) == 1 for case in cases)
    return {
        "same_answers": round(same / len(cases), 4),
        "f1_by_repeat": [round(f1(add([case.repeats[n][repeat] for case in cases])), 4) for repeat in range(repeats)],
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
