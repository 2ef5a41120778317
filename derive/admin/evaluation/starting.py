"""Starts an experiment: choose a set and what to compare, see how many jobs that makes, and queue them."""

import json
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4, uuid5

from django import forms
from django.contrib import messages
from django.forms import BaseFormSet, formset_factory
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from derive.admin.lists.pages import show
from derive.admin.lists.suggestions import live_registry, model_names, registry
from derive.admin.site import permissions
from derive.deadline import Deadline
from derive.errors import HolocronError
from derive.experiments.opening import (
    ExperimentPlan,
    interrogation_of,
    open_experiment,
    plan_experiment,
    queue_jobs,
)
from derive.experiments.refused import ExperimentRefused
from derive.experiments.variants import known_versions
from derive.golden.reading import list_sets

logger = logging.getLogger(__name__)

MAX_VARIANTS = 10
EMPTY_ROWS = 3
QUEUE_SECONDS = 20.0
"""How long the request queues jobs; the scheduler queues what is left."""


class StartForm(forms.Form):
    """What all variants share; ``form_id`` names this form, so that sent twice it starts one experiment."""

    form_id = forms.UUIDField(widget=forms.HiddenInput)
    repeats = forms.IntegerField(label="Repeats", min_value=1, max_value=100, initial=1)
    gates = forms.CharField(
        label="Gates, one per line",
        required=False,
        max_length=4_000,
        initial="f1>=live",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    reason = forms.CharField(label="Reason", required=False, max_length=1_000)


class VariantForm(forms.Form):
    """One variant; a row without a version is left out."""

    version = forms.CharField(label="Version", required=False, max_length=200)
    model = forms.CharField(label="Model", required=False, max_length=200)
    temperature = forms.CharField(label="Temperature", required=False, max_length=20)

    def variant(self, key: str) -> str | None:
        """Return the variant as the command takes it."""
        values = self.cleaned_data
        if not values.get("version"):
            return None
        model = f"/{values['model']}" if values["model"] else ""
        options = f"?temperature={values['temperature']}" if values["temperature"] else ""
        return f"{key}@{values['version']}{model}{options}"


def start_page(request: HttpRequest) -> HttpResponse:
    """Show the form, the preview of what it would queue, and start the experiment."""
    permissions.demand(request, permissions.VIEW_EXPERIMENTS, permissions.RUN_EXPERIMENTS)
    given = request.POST if request.method == "POST" else request.GET
    set_name = given.get("set_name", "").strip()[:200]
    if not set_name or "\x00" in set_name:
        return _choose(request)
    try:
        key = interrogation_of(set_name)
    except ExperimentRefused as error:
        return _choose(request, problem=f"{error}.")
    if request.method != "POST":
        return _form(request, set_name, key, StartForm(initial={"form_id": uuid4()}), _rows(None))
    return _submitted(request, set_name, key)


def _submitted(request: HttpRequest, set_name: str, key: str) -> HttpResponse:
    form, rows = StartForm(request.POST), _rows(request.POST)
    if not form.is_valid() or not rows.is_valid():
        return _form(request, set_name, key, form, rows, status=400)
    values, variants = form.cleaned_data, [text for row in rows if (text := row.variant(key)) is not None]
    gates = [line.strip() for line in values["gates"].splitlines() if line.strip()]
    try:
        plan = plan_experiment(set_name, variants, gates=gates, repeats=values["repeats"], registry=live_registry())
        if request.POST.get("action") == "start":
            return _start(request, plan, form, variants)
    except ExperimentRefused as error:
        return _form(request, set_name, key, form, rows, problem=f"{error}.", status=400)
    except HolocronError as error:
        return _form(request, set_name, key, form, rows, problem=str(error), status=503)
    return _form(request, set_name, key, form, rows, plan=plan)


def _start(request: HttpRequest, plan: ExperimentPlan, form: StartForm, variants: Sequence[str]) -> HttpResponse:
    actor, values = permissions.actor_of(request), form.cleaned_data
    asked = json.dumps([actor, plan.set_name, list(variants), list(plan.gates), plan.repeats, values["reason"]])
    experiment_id: UUID = uuid5(values["form_id"], asked)
    experiment = open_experiment(plan, actor=actor, reason=values["reason"] or None, experiment_id=experiment_id)
    deadline = Deadline(QUEUE_SECONDS)
    queued = queue_jobs(experiment, actor=actor, stop_asked=lambda: deadline.is_over)
    extra = {"actor": actor, "experiment_id": str(experiment.experiment_id), "queued": queued}
    logger.info("experiment.started", extra=extra)
    messages.success(request, f"Started; {queued:,} jobs queued.")
    return HttpResponseRedirect(reverse("admin:derive_experiment_change", args=[experiment.experiment_id]))


def _rows(data: Any) -> "BaseFormSet[VariantForm]":
    forms_of: Any = formset_factory(VariantForm, extra=EMPTY_ROWS, max_num=MAX_VARIANTS, absolute_max=MAX_VARIANTS)
    made: BaseFormSet[VariantForm] = forms_of(data, prefix="variant", auto_id=False)
    return made


def _choose(request: HttpRequest, *, problem: str = "") -> HttpResponse:
    return show(
        request,
        "admin/experiments/choose.html",
        title="Start an experiment",
        sets=[one for one in list_sets() if one.interrogation],
        problem=problem,
        status=400 if problem else 200,
    )


def _form(
    request: HttpRequest,
    set_name: str,
    key: str,
    form: StartForm,
    rows: "BaseFormSet[VariantForm]",
    *,
    plan: ExperimentPlan | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {"set_name": set_name, "interrogation": key, "form": form, "rows": rows, "plan": plan}
    context |= {"versions": known_versions(key, registry()), "models": model_names(), "problem": problem}
    return show(request, "admin/experiments/start.html", title="Start an experiment", status=status, **context)
