"""Makes a golden case of an answer: for the review page's script as JSON, for a form without one as a redirect."""

import logging

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.urls import reverse

from derive.admin.display.lake_files import lake
from derive.admin.display.untrusted_text import cell
from derive.admin.lists.suggestions import live_registry
from derive.admin.site import permissions
from derive.errors import HolocronError
from derive.golden.checking import CaseRefused
from derive.golden.making import MadeCase, make_case
from derive.golden_contracts import SaveOutcome
from derive.models import Run
from derive.plural import plural
from derive.queue import JobQueue

logger = logging.getLogger(__name__)


class MakingForm(forms.Form):
    """The answer and the set."""

    run_id = forms.UUIDField()
    set_name = forms.CharField(
        label="Golden set", max_length=200, error_messages={"required": "Enter the name of a set."}
    )


def make_view(request: HttpRequest) -> HttpResponse:
    """Make a case of the answer that the form names."""
    permissions.demand(request, permissions.EDIT_GOLDEN_CASES, permissions.SEE_PAYLOADS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    form = MakingForm(request.POST)
    if not form.is_valid():
        problem = " ".join(str(why) for errors in form.errors.values() for why in errors)
        return _refused(request, form, problem, status=400)
    actor = permissions.actor_of(request)
    try:
        made = make_case(
            form.cleaned_data["run_id"],
            set_name=form.cleaned_data["set_name"],
            actor=actor,
            lake=lake(),
            registry=live_registry(),
            queue=JobQueue(),
        )
    except CaseRefused as error:
        return _refused(request, form, f"No golden case: {error}.", status=400)
    except HolocronError as error:
        return _refused(request, form, f"No golden case: {error}", status=503)
    extra = {"actor": actor, "set": made.set_name, "case_id": str(made.case_id), "outcome": made.outcome.value}
    logger.info("golden_case.made", extra=extra)
    if "fragment" in request.POST:
        return JsonResponse({"notice": _said(made)})
    messages.success(request, _said(made))
    return HttpResponseRedirect(reverse("admin:derive_goldencase_change", args=[made.case_id]))


def _said(made: MadeCase) -> str:
    words = {SaveOutcome.CREATED: "made", SaveOutcome.REPLACED: "updated"}
    facts = plural(made.expected, "expected fact")
    unreviewed = f", {made.unreviewed:,} of them without a review" if made.unreviewed else ""
    what = f"Golden case {cell(made.case_key)} in {cell(made.set_name)}"
    return f"{what} {words.get(made.outcome, 'is there already')}: {facts}{unreviewed}."


def _refused(request: HttpRequest, form: MakingForm, problem: str, *, status: int) -> HttpResponse:
    if "fragment" in request.POST:
        return JsonResponse({"problem": problem}, status=status)
    messages.error(request, problem)
    run_id = form.cleaned_data.get("run_id")
    job_id = None if run_id is None else Run.objects.filter(run_id=run_id).values_list("job_id", flat=True).first()
    if job_id is None:
        return HttpResponseRedirect(reverse("admin:derive_goldencase_changelist"))
    return HttpResponseRedirect(reverse("admin:derive_job_change", args=[job_id]))
