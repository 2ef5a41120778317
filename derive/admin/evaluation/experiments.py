"""Experiments: the list with progress, and the page of one with its scores, gates and comparison with live."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from typing_extensions import override

from derive.admin.display.untrusted_text import cell
from derive.admin.lists.filters import TIMES, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Page, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.batches.reading import count_jobs
from derive.experiments.opening import gates_of, job_id_of, variants_of
from derive.experiments.progress import progress_of
from derive.experiments.result import result_of
from derive.models import Experiment
from derive.states import ENDED

MAX_JOBS_SCORED = 5_000
"""The page scores an experiment that has ended if it has at most so many jobs; of a larger one the command does."""
MAX_CASES_SHOWN = 50
METRICS = ("f1", "precision", "recall", "refusals", "tokens", "seconds")


class ExperimentFilter(ListFilter):
    """The filters of the list of experiments."""

    rows_of, sequence, time = Experiment, "experiment_seq", "created_utc"

    set_name = TextFilter("Set", is_wide=True)
    created_by = TextFilter("Created by")
    since = MomentFilter("Created since", placeholder=TIMES)
    until = MomentFilter("Created before")

    @override
    def rest(self) -> Sequence[Condition]:
        wanted = [(f"t.{name}", self.values[name]) for name in ("set_name", "created_by")]
        return tuple(equals(column, value) for column, value in wanted if value)


@admin.register(Experiment)
class ExperimentAdmin(KeysetAdmin):
    """All experiments, newest first."""

    filters = ExperimentFilter
    columns = (
        *("experiment_seq", "experiment_id", "set_name", "batch_id", "created_utc", "created_by", "variants_json"),
        *("gates_json", "repeats", "cases", "is_passed", "scored_utc"),
    )
    template, title = "admin/experiments/list.html", "Experiments"

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the experiments, each with its progress; one query for all."""
        experiments = super().rows(page)
        counted = count_jobs([one.batch_id for one in experiments])
        for one in experiments:
            variants = variants_of(one)
            one.variants = [variant.name for variant in variants if not variant.is_live]
            one.jobs = one.cases * len(variants) * one.repeats
            jobs = counted[one.batch_id]
            one.ended = one.jobs if one.scored_utc else sum(jobs[status] for status in ENDED)
            one.state = _state(one, is_ended=one.ended >= one.jobs)
        return experiments

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one experiment: its result, or how far it has come."""
        permissions.demand(request, permissions.VIEW_EXPERIMENTS)
        try:
            experiment = Experiment.objects.filter(experiment_id=UUID(object_id)).first()
        except ValueError:
            experiment = None
        if experiment is None:
            raise Http404("There is no such experiment.")
        progress = progress_of(experiment)
        result = result_of(experiment) if _is_scored_here(experiment, is_done=progress.is_done) else None
        if result is not None:
            experiment.refresh_from_db()
        context: dict[str, Any] = {
            "experiment": experiment,
            "progress": progress,
            "state": _state(experiment, is_ended=progress.is_done),
            "gates": gates_of(experiment),
            "result": result,
            "metrics": METRICS,
            "variants": _variants(experiment, result) if result else [],
            "names": [_name(variant.model_dump()) for variant in variants_of(experiment)],
            "cases_shown": MAX_CASES_SHOWN,
        }
        return show(
            request, "admin/experiments/page.html", title=f"Experiment on {cell(experiment.set_name)}", **context
        )


def _is_scored_here(experiment: Experiment, *, is_done: bool) -> bool:
    jobs = experiment.cases * len(variants_of(experiment)) * experiment.repeats
    return experiment.result_json is not None or (is_done and jobs <= MAX_JOBS_SCORED)


def _state(experiment: Experiment, *, is_ended: bool) -> str:
    if experiment.scored_utc is None:
        return "not scored yet" if is_ended else "running"
    if not gates_of(experiment):
        return "done"
    return "passed" if experiment.is_passed else "failed"


def _variants(experiment: Experiment, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each variant's texts for the tables."""
    told = result["variants"]
    live = next(n for n, variant in enumerate(told) if variant["is_live"])
    shown = []
    for n, variant in enumerate(told):
        against = variant["against_live"]
        shown.append(
            {
                "name": _name(variant),
                "scores": [(name, _said(variant[name], name)) for name in METRICS],
                "by_key": [
                    (key, [(name, _said(scores[name], name)) for name in METRICS[:3]])
                    for key, scores in variant["by_key"].items()
                ],
                "stability": variant["stability"],
                "same_answers": _percent(variant["stability"]["same_answers"]) if variant["stability"] else "",
                "against": against,
                "gain": _said(against["f1"], "f1") if against else "",
                "cases": [
                    (title, against[kind], _cases(experiment, against[f"{kind}_cases"], n, live))
                    for kind, title in (("worse", "Worse than live"), ("better", "Better than live"))
                ]
                if against
                else [],
            }
        )
    return shown


def _cases(experiment: Experiment, cases: list[dict[str, Any]], variant: int, live: int) -> list[dict[str, Any]]:
    """Return the cases that differ most, with the first job of each side."""
    key = experiment.experiment_id
    return [
        {
            "case": one["case"],
            "gain": f"{100 * one['f1']:+.1f} %",
            "job": job_id_of(key, variant, one["case_no"], 0),
            "live_job": job_id_of(key, live, one["case_no"], 0),
        }
        for one in cases[:MAX_CASES_SHOWN]
    ]


def _name(variant: dict[str, Any]) -> str:
    return f"live ({variant['interrogation_key']}@{variant['version']})" if variant["is_live"] else str(variant["name"])


def _said(found: dict[str, float], name: str) -> str:
    if name in {"tokens", "seconds"}:
        digits = 0 if name == "tokens" else 1
        return f"{found['value']:,.{digits}f} ({found['low']:,.{digits}f} to {found['high']:,.{digits}f})"
    return f"{_percent(found['value'])} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
