"""The page of a derivation's plan with its price, and the two buttons: plan, and apply what was planned."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from typing_extensions import override

from derive.admin.derivations.background import DerivationWork, NotStarted
from derive.admin.derivations.finding import found
from derive.admin.derivations.forms import MAX_REASON
from derive.admin.display.units import duration
from derive.admin.display.untrusted_text import cell
from derive.admin.lists.live_answer import REFRESH_SECONDS, answer
from derive.admin.lists.pages import rights_of, show
from derive.admin.site import permissions
from derive.strict_types import MAX_INT, check_storable

TEMPLATE = "admin/derivations/plan.html"
COUNTS = {
    "new": "new",
    "changed": "changed: the evidence is another",
    "definition": "stale: the interrogation's definition is another",
    "model": "stale: the model is another",
    "asked": "stale: asked again",
    "gone": "gone from the source",
    "current": "current",
    "queued": "queued already",
    "failed": "failed; ask again to try them",
    "left_out": "left out by a rule",
    "unreadable": "cannot be read",
    "duplicates": "come twice; the first one counts",
}
_JOBS = ("new", "changed", "definition", "model", "asked")


class ApplyForm(forms.Form):
    """The confirmation of an application, bound to the plan that was looked at."""

    plan = forms.UUIDField(widget=forms.HiddenInput)
    max_jobs = forms.IntegerField(
        label="Queue at most", required=False, min_value=1, max_value=MAX_INT, help_text="Jobs. Empty: no limit."
    )
    reason = forms.CharField(
        label="Reason",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Saved to the history of the batch and its jobs.",
    )
    confirmed = forms.BooleanField(error_messages={"required": "Tick that the jobs are to be queued."})

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        try:
            check_storable(values.get("reason") or "")
        except ValueError as error:
            self.add_error("reason", str(error))
        return values


def page(request: HttpRequest, key: str) -> HttpResponse:
    """Show the newest plan, and what came of its application."""
    permissions.demand(request, permissions.VIEW_DERIVATIONS)
    return _page(request, key)


def live(request: HttpRequest, key: str) -> HttpResponse:
    """Return the moving part of the page, if it changed."""
    permissions.demand(request, permissions.VIEW_DERIVATIONS)
    found(key)
    context = _context(key)

    def render() -> str:
        own = {"layout": "admin/lists/live.html", "may": rights_of(request)}
        return render_to_string(TEMPLATE, {**context, **own}, request)

    version = (context["plan"], context["application"])
    return answer(request, version=version, render=render, is_over=not context["is_running"])


def start_plan(request: HttpRequest, key: str) -> HttpResponse:
    """Start a plan."""
    permissions.demand(request, permissions.VIEW_DERIVATIONS, permissions.ACT_ON_JOBS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found(key)
    try:
        _work(key).start_plan(actor=permissions.actor_of(request))
    except NotStarted as error:
        return _page(request, key, problem=str(error), status=409)
    return _back(key)


def start_application(request: HttpRequest, key: str) -> HttpResponse:
    """Apply what was planned: once for each plan, however often the form is sent."""
    permissions.demand(request, permissions.VIEW_DERIVATIONS, permissions.ACT_ON_JOBS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found(key)
    form = ApplyForm(request.POST)
    if not form.is_valid():
        return _page(request, key, form=form, status=400)
    values = form.cleaned_data
    try:
        _work(key).start_application(
            values["plan"],
            actor=permissions.actor_of(request),
            reason=values["reason"],
            max_jobs=values["max_jobs"],
        )
    except NotStarted as error:
        return _page(request, key, problem=str(error), status=409)
    return _back(key)


def _work(key: str) -> DerivationWork:
    return DerivationWork(settings.PLANS_FOLDER, key)


def _back(key: str) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:derive_derivation_plan", args=[key]))


def _page(
    request: HttpRequest, key: str, *, form: ApplyForm | None = None, problem: str = "", status: int = 200
) -> HttpResponse:
    declared = found(key)
    context: dict[str, Any] = {"problem": problem, "broken": declared.broken, **_context(key, form)}
    return show(request, TEMPLATE, title=f"Plan of {cell(declared.key)}", status=status, **context)


def _context(key: str, form: ApplyForm | None = None) -> dict[str, Any]:
    work = _work(key)
    plan, application = work.plan(), work.application()
    running = [one for one in (plan, application) if one is not None and one.ended_utc is None]
    context: dict[str, Any] = {
        "key": key,
        "plan": plan,
        "application": application,
        "is_running": bool(running),
        "refresh_seconds": REFRESH_SECONDS,
    }
    if plan is not None and plan.result is not None:
        counts = {**plan.result, **plan.result["stale"]}
        jobs = sum(counts[name] for name in _JOBS)
        is_applied = application is not None and application.plan_token == plan.token
        context |= {
            "jobs": jobs,
            "counts": [(counts[name], words) for name, words in COUNTS.items() if counts[name] or name == "current"],
            "has_work": bool(jobs or counts["gone"]),
            "prices": _prices(plan.result["price"]),
            "why_no_price": plan.result["price"]["why"] if jobs else "",
            "form": None if is_applied or running else form or ApplyForm(initial={"plan": plan.token}),
        }
    return context


def _prices(price: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is priced, what is expected, and the range."""
    shown = []
    for name, label in (("tokens", "Tokens"), ("model_seconds", "Model time"), ("wall_seconds", "Done in")):
        expected, low, high = (price[name][part] for part in ("expected", "low", "high"))
        if expected is None or not price["jobs"]:
            continue
        in_words = _tokens if name == "tokens" else duration
        shown.append((label, in_words(expected), f"{in_words(low)} to {in_words(high)}"))
    return shown


def _tokens(amount: float) -> str:
    return f"{amount:,.0f}"
