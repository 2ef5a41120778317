"""An experiment's result as its page shows it: figures in words, and the jobs of the cases that differ."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from derive.experiments.opening import job_id_of
from derive.models import Experiment, Job
from derive.sql.reading import reading

MAX_CASES_SHOWN = 50
METRICS = ("f1", "precision", "recall", "refusals", "tokens", "seconds")
_ASKED_AT_ONCE = 1_000


class Shown(NamedTuple):
    """A figure and its interval, in words."""

    value: str
    interval: str


def shown_variants(experiment: Experiment, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each variant's texts for the tables. Raises QueueError."""
    told = result["variants"]
    live = next(n for n, variant in enumerate(told) if variant["is_live"])
    variants = [_variant(experiment, variant, n, live) for n, variant in enumerate(told)]
    cases = [case for variant in variants for _title, _amount, listed in variant["cases"] for case in listed]
    there = _existing([one[name] for one in cases for name in ("job", "live_job")])
    for one in cases:
        one["jobs"] = [(name, one[key], one[key] in there) for name, key in (("job", "job"), ("live", "live_job"))]
    return variants


def shown_name(variant: dict[str, Any]) -> str:
    """Return a variant's name, of the live one with its version."""
    return f"live ({variant['interrogation_key']}@{variant['version']})" if variant["is_live"] else str(variant["name"])


def _variant(experiment: Experiment, variant: dict[str, Any], n: int, live: int) -> dict[str, Any]:
    against, stability = variant["against_live"], variant["stability"]
    return {
        "name": shown_name(variant),
        "scores": [(name, _said(variant[name], name)) for name in METRICS],
        "by_key": [
            (key, [(name, _said(scores[name], name)) for name in METRICS[:3]])
            for key, scores in variant["by_key"].items()
        ],
        "stability": stability,
        "same_answers": _percent(stability["same_answers"]) if stability else "",
        "against": against,
        "gain": _said(against["f1"], "f1") if against else None,
        "cases": list(_cases(experiment, against, n, live)) if against else [],
    }


def _cases(
    experiment: Experiment, against: dict[str, Any], variant: int, live: int
) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Yield the cases that differ most, with the first job of each side."""
    key = experiment.experiment_id
    for kind, title in (("worse", "Worse than live"), ("better", "Better than live")):
        listed = [
            {
                "case": one["case"],
                "case_no": one["case_no"],
                "variant": variant,
                "gain": f"{100 * one['f1']:+.1f} %",
                "job": job_id_of(key, variant, one["case_no"], 0),
                "live_job": job_id_of(key, live, one["case_no"], 0),
            }
            for one in against[f"{kind}_cases"][:MAX_CASES_SHOWN]
        ]
        yield title, against[kind], listed


def _existing(job_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the jobs that are not purged."""
    found: set[UUID] = set()
    for start in range(0, len(job_ids), _ASKED_AT_ONCE):
        jobs = Job.objects.filter(job_id__in=job_ids[start : start + _ASKED_AT_ONCE])
        found.update(reading(partial(list, jobs.values_list("job_id", flat=True))))
    return found


def _said(found: dict[str, float], name: str) -> Shown:
    if name in {"tokens", "seconds"}:
        digits = 0 if name == "tokens" else 1
        return Shown(f"{found['value']:,.{digits}f}", f"{found['low']:,.{digits}f} to {found['high']:,.{digits}f}")
    return Shown(_percent(found["value"]), f"{100 * found['low']:.1f} to {100 * found['high']:.1f}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
