"""Models and endpoints: what waits for which model and why, who serves it, and the form that changes that."""

import logging
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from typing_extensions import override

from derive.admin.display.percentiles import percentile
from derive.admin.language_models.forms import LIMIT, PAUSE, ModelForm
from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.errors import QueueError
from derive.model_status import ModelStatus, SharedModelStatuses
from derive.models import LanguageModel
from derive.queue import JobQueue
from derive.sql.model_backlogs import COUNT_CAP

logger = logging.getLogger(__name__)

STATUSES = SharedModelStatuses()
SETTINGS = ("max_running", "max_starts_per_minute", "num_ctx", "num_predict")


@admin.register(LanguageModel)
class LanguageModelAdmin(ReadOnlyAdmin):
    """One page of all models and endpoints, and a form; a model has no page of its own."""

    @override
    def get_urls(self) -> list[Any]:
        listed = [url for url in super().get_urls() if str(getattr(url, "name", "")).endswith("_changelist")]
        return [path("act/", self.admin_site.admin_view(self.act_view), name="derive_languagemodel_act"), *listed]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what waits for each model, and every model server."""
        permissions.demand(request, permissions.VIEW_MODELS)
        statuses = STATUSES.get()
        may_see_endpoints = permissions.may(request, permissions.VIEW_ENDPOINTS)
        return show(
            request,
            "admin/models/list.html",
            title="Models",
            models=[(one, percentile(one.waits, 0.95), _limits(one)) for one in statuses.models],
            notices=statuses.notices(),
            endpoints=statuses.endpoints if may_see_endpoints else None,
            cap=COUNT_CAP,
        )

    def act_view(self, request: HttpRequest) -> HttpResponse:
        """Ask what is to become of a model, and do it."""
        permissions.demand(request, permissions.VIEW_MODELS, permissions.ACT_ON_JOBS)
        if request.method != "POST":
            return _page(request, ModelForm(initial=_initial(request.GET.get("model", "")[:200].strip())))
        form = ModelForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=400)
        try:
            changed = _act(form, permissions.actor_of(request))
        except QueueError as error:
            form.add_error(None, str(error))
            return _page(request, form, status=503)
        STATUSES.forget()
        model, action = form.cleaned_data["model"], form.cleaned_data["action"]
        extra = {"actor": permissions.actor_of(request), "model": model, "action": action, "changed": changed}
        logger.info("model.set", extra=extra)
        messages.success(request, f"{model}: {'done' if changed else 'it was so already'}.")
        return HttpResponseRedirect(reverse("admin:derive_languagemodel_changelist"))


def _act(form: ModelForm, actor: str) -> bool:
    values, queue = form.cleaned_data, JobQueue()
    model, reason = values["model"], values["reason"] or None
    if values["action"] == LIMIT:
        return queue.limit_model(model, form.limits, actor=actor, reason=reason)
    if values["action"] == PAUSE:
        return queue.pause_model(model, actor=actor, reason=reason)
    return queue.resume_model(model, actor=actor, reason=reason)


def _initial(model: str) -> dict[str, Any]:
    row = LanguageModel.objects.filter(model=model).values("paused_utc", *SETTINGS).first() or {}
    action = "" if not model else "resume" if row.get("paused_utc") else PAUSE
    return {"model": model, "action": action, **{name: row.get(name) for name in SETTINGS}}


def _limits(one: ModelStatus) -> list[str]:
    """Say which limits a model has."""
    row = one.settings
    if row is None:
        return []
    said = (
        (row.max_running, "{:,} running at most"),
        (row.max_starts_per_minute, "{:,} starts a minute at most"),
        (row.num_ctx, "context {:,} tokens"),
        (row.num_predict, "answers of {:,} tokens at most"),
    )
    return [words.format(value) for value, words in said if value is not None]


def _page(request: HttpRequest, form: ModelForm, *, status: int = 200) -> HttpResponse:
    return show(request, "admin/models/act.html", title="Pause or limit a model", form=form, status=status)
