"""Two answers about one case of an experiment, side by side: what was expected and what each states."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from derive.admin.display.untrusted_text import cell, visible
from derive.admin.evaluation.result_shown import shown_name
from derive.admin.lists.pages import show
from derive.experiments.comparing import AnswerSide, CaseView, ComparedValue, compare_case
from derive.experiments.opening import variants_of
from derive.experiments.refused import ExperimentRefused
from derive.models import Experiment
from derive.states import JobStatus
from derive.strict_types import parse_json

_VALUE_CHARACTERS = 1_000
_ITEM_CHARACTERS = 20_000


def case_page(request: HttpRequest, experiment: Experiment, *, case_no: int, variant: int) -> HttpResponse:
    """Show the live version's answer beside a variant's; ``?repeat=`` chooses one of several, from 1.

    The caller has checked the rights. Raises Http404.
    """
    variants = variants_of(experiment)
    live = next(n for n, one in enumerate(variants) if one.is_live)
    wanted = request.GET.get("repeat", "1")
    repeat = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 4 else 1
    try:
        view = compare_case(experiment, case_no, (live, variant), repeat=repeat - 1)
    except ExperimentRefused as error:
        raise Http404(str(error)) from None
    return show(
        request,
        "admin/experiments/case.html",
        title=f"Case {cell(view.case.case_key)}",
        experiment=experiment,
        view=view,
        sides=[(shown_name(variants[side.variant].model_dump()), side, _missing_because(side)) for side in view.sides],
        rows=_rows(view),
        evidence=_evidence(view),
        repeat=repeat,
        repeats=range(1, experiment.repeats + 1) if experiment.repeats > 1 else (),
    )


def _missing_because(side: AnswerSide) -> str:
    """Say why there is no answer; empty if there is one."""
    if side.has_answer:
        return ""
    if not side.status:
        return "The job was purged, or is not queued yet."
    if not side.has_ended:
        return "The job has not ended yet."
    if side.status == JobStatus.CANCELLED:
        return "The job was cancelled."
    return f"No valid answer: {cell(side.error_kind) or 'the job failed'}."


def _rows(view: CaseView) -> list[dict[str, Any]]:
    return [
        {
            "key": cell(row.key, 200),
            "expected": [cell(text, _VALUE_CHARACTERS) for text in row.expected],
            "sides": [[_shown(value) for value in values] for values in row.sides],
        }
        for row in view.rows
    ]


def _shown(value: ComparedValue) -> tuple[str, str]:
    return cell(value.value, _VALUE_CHARACTERS), value.mark.value


def _evidence(view: CaseView) -> list[tuple[str, str]]:
    items = parse_json(view.case.evidence_json).get("items")
    return [
        (cell(str(item.get("evidence_id", "")), 200), visible(str(item.get("text", "")), _ITEM_CHARACTERS))
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    ]
