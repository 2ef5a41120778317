"""Derivations: the list, the page of one with its subjects, cost and batches, and the form that changes one."""

import logging
from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from typing_extensions import override

from derive.admin.derivations import forms, planning
from derive.admin.derivations.finding import every_declared, found
from derive.admin.derivations.forms import DerivationForm
from derive.admin.derivations.subjects import BECAUSE, STATES, list_subjects
from derive.admin.display.untrusted_text import cell
from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.batches.reading import state_of
from derive.deadline import Deadline
from derive.derivations.applying import ask_again, entities_named
from derive.derivations.declarations import Declared, record
from derive.derivations.status import newest_batches, read_bounded_standing
from derive.errors import HolocronError, QueueError
from derive.models import Derivation
from derive.queue import JobQueue
from derive.sql.subject_counts import COUNT_CAP
from derive.states import SubjectState

logger = logging.getLogger(__name__)

MAX_LISTED = 100
MAX_BATCHES = 20
COSTED_BATCHES = 1_000
"""The newest batches of a derivation, whose cost its page sums."""
ACT_SECONDS = 20.0
"""How long one request asks for new answers; the page says that more are left, and the same form goes on."""


@admin.register(Derivation)
class DerivationAdmin(ReadOnlyAdmin):
    """What is kept current: declared in the file of sources, or in the table."""

    @override
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:key>/subjects/", wrap(self.subjects_view), name="derive_derivation_subjects"),
            path("<str:key>/act/", wrap(self.act_view), name="derive_derivation_act"),
            path("<str:key>/plan/", wrap(planning.page), name="derive_derivation_plan"),
            path("<str:key>/plan/live/", wrap(planning.live), name="derive_derivation_plan_live"),
            path("<str:key>/act/plan/", wrap(planning.start_plan), name="derive_derivation_act_plan"),
            path("<str:key>/act/apply/", wrap(planning.start_application), name="derive_derivation_act_apply"),
            *super().get_urls(),
        ]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show every derivation with the share that is current, counting up to a bound."""
        permissions.demand(request, permissions.VIEW_DERIVATIONS)
        every, problem = every_declared(MAX_LISTED)
        return show(
            request,
            "admin/derivations/list.html",
            title="Derivations",
            standings=[read_bounded_standing(one) for one in every[:MAX_LISTED]],
            more=max(0, len(every) - MAX_LISTED),
            problem=problem,
            cap=COUNT_CAP,
        )

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one derivation."""
        permissions.demand(request, permissions.VIEW_DERIVATIONS)
        declared = found(object_id)
        title = f"Derivation {cell(declared.key)}"
        return show(request, "admin/derivations/page.html", title=title, **_context(declared))

    def subjects_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the subjects of one derivation."""
        permissions.demand(request, permissions.VIEW_DERIVATIONS)
        derivation = Derivation.objects.filter(derivation_key=key).first()
        if derivation is None:
            raise Http404("This derivation does not exist, or was never applied.")
        return list_subjects(request, derivation)

    def act_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Ask what is to become of a derivation, and do it."""
        permissions.demand(request, permissions.VIEW_DERIVATIONS, permissions.ACT_ON_JOBS)
        declared = found(key)
        if request.method != "POST":
            is_paused = declared.row is not None and declared.row.paused_utc is not None
            entity = request.GET.get("entity", "")[: forms.MAX_ENTITY]
            action = forms.ASK_ONE if entity else forms.RESUME if is_paused else forms.PAUSE
            return _form_page(request, declared, DerivationForm(initial={"action": action, "entity": entity}))
        form = DerivationForm(request.POST)
        if not form.is_valid():
            return _form_page(request, declared, form, status=400)
        actor = permissions.actor_of(request)
        try:
            words = _act(declared, form.cleaned_data, actor)
        except HolocronError as error:
            form.add_error(None, str(error))
            return _form_page(request, declared, form, status=503 if isinstance(error, QueueError) else 400)
        extra = {"actor": actor, "derivation": declared.key, "action": form.cleaned_data["action"]}
        logger.info("derivation.set", extra=extra)
        messages.success(request, words)
        return HttpResponseRedirect(reverse("admin:derive_derivation_change", args=[declared.key]))


def _context(declared: Declared) -> dict[str, Any]:
    standing = read_bounded_standing(declared)
    batches = newest_batches(declared.key, COSTED_BATCHES) if declared.row else []
    return {
        "declared": declared,
        "declaration": declared.declaration,
        "row": declared.row,
        "standing": standing,
        "states": [
            (state, standing.states[state], state in standing.capped, words)
            for state, words in STATES.items()
            if standing.states[state] or state is SubjectState.CURRENT
        ],
        "stale": [(because, amount, BECAUSE[because]) for because, amount in standing.stale.most_common()],
        "cap": COUNT_CAP,
        "tokens": sum(batch.spent_tokens for batch in batches),
        "model_seconds": sum(batch.spent_model_ms for batch in batches) / 1000,
        "batches": [(batch, state_of(batch).value) for batch in batches[:MAX_BATCHES]],
        "batch_count": len(batches),
        "is_costed_whole": len(batches) < COSTED_BATCHES,
    }


def _act(declared: Declared, values: dict[str, Any], actor: str) -> str:
    """Do it, for ``ACT_SECONDS`` at most; return what happened."""
    queue, action = JobQueue(), values["action"]
    if action in {forms.PAUSE, forms.RESUME}:
        if declared.row is None:
            record(declared, queue, actor=actor)
        is_pause = action == forms.PAUSE
        change = queue.pause_derivation(declared.key, actor=actor, paused=is_pause, reason=values["reason"])
        return ("Paused." if is_pause else "Resumed.") if change.changed else f"Nothing changed: {change.why}."
    deadline = Deadline(ACT_SECONDS)
    states = (SubjectState.FAILED,) if action == forms.ASK_FAILED else (SubjectState.CURRENT, SubjectState.FAILED)
    entities = iter(entities_named(declared, [values["entity"]])) if action == forms.ASK_ONE else None
    asked = ask_again(
        declared,
        queue,
        actor=actor,
        reason=values["reason"],
        entities=entities,
        states=states,
        stop_asked=lambda: deadline.is_over,
    )
    left = " More are left: do the same again to go on." if deadline.is_over and entities is None else ""
    return f"{asked:,} asked for; the next application queues them.{left}"


def _form_page(request: HttpRequest, declared: Declared, form: DerivationForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"declared": declared, "form": form, "status": status}
    return show(request, "admin/derivations/act.html", title=f"Change derivation {cell(declared.key)}", **context)
