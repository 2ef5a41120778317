"""How many facts of an interrogation are reviewed, and by how many people: the policies, and the form to change one."""

import logging
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from typing_extensions import override

from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.errors import QueueError
from derive.models import ReviewPolicy
from derive.queue import JobQueue
from derive.strict_types import check_storable

logger = logging.getLogger(__name__)

MAX_POLICIES = 200


class PolicyForm(forms.Form):
    """The share and the number of reviewers of one interrogation."""

    interrogation = forms.CharField(label="Interrogation", max_length=200)
    sample_percent = forms.DecimalField(
        label="Share of admitted facts (%)", min_value=0, max_value=100, max_digits=5, decimal_places=2, initial=2
    )
    reviewers = forms.TypedChoiceField(
        label="Reviewers",
        choices=[(1, "One decides"), (2, "Two must agree; a third decides where they do not")],
        coerce=int,
    )
    reason = forms.CharField(label="Reason", max_length=1_000)

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in ("interrogation", "reason"):
            try:
                check_storable(values.get(name) or "")
            except ValueError as error:
                self.add_error(name, str(error))
        return values


def policy_page(request: HttpRequest) -> HttpResponse:
    """Show the policies, and change one."""
    permissions.demand(request, permissions.SET_REVIEW_POLICY)
    form = PolicyForm(request.POST if request.method == "POST" else None, initial={"reviewers": 1})
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                changed = _set(request, form.cleaned_data)
            except QueueError as error:
                form.add_error(None, str(error))
                status = 503
            else:
                messages.success(request, "Saved." if changed else "It was so already.")
                return HttpResponseRedirect(reverse("admin:derive_factreview_policy"))
        else:
            status = 400
    newest = ReviewPolicy.objects.values("interrogation_key").annotate(newest=Max("policy_seq")).values("newest")
    rows = ReviewPolicy.objects.filter(policy_seq__in=newest).order_by("interrogation_key")[:MAX_POLICIES]
    return show(
        request, "admin/review/policy.html", title="How much is reviewed", form=form, policies=rows, status=status
    )


def _set(request: HttpRequest, values: dict[str, Any]) -> bool:
    actor = permissions.actor_of(request)
    changed = JobQueue().set_review_policy(
        values["interrogation"],
        actor=actor,
        sample_percent=values["sample_percent"],
        reviewers=values["reviewers"],
        reason=values["reason"],
    )
    logger.info("review_policy.set", extra={"actor": actor, "interrogation": values["interrogation"]})
    return changed
