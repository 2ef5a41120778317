"""The review page: one fact a screen, decided by a key; each answer brings the next fact."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.urls import path
from typing_extensions import override

from derive.admin.display.lake_files import lake
from derive.admin.lists.golden_offer import golden_offer
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.review.agreement import agreement_page
from derive.admin.review.policy import policy_page
from derive.admin.site import permissions
from derive.contracts import FactDecision, Reviewed
from derive.errors import BadArgument, LakeUnavailable
from derive.models import Fact, FactReview
from derive.queue import JobQueue
from derive.review.deciding import BadEntry, ReviewEntry, addition, correction
from derive.review.item import ReviewItem, evidence_of_run, review_item
from derive.review.quotes import NoSuchQuote
from derive.review.waiting import waiting_facts
from derive.states import ReviewDecision, ReviewStatus

logger = logging.getLogger(__name__)

MAX_REASON_CHARACTERS = 1_000
MAX_TRIES = 5
"""Facts that may vanish, by a purge, between their claim and the look at them."""
_DECIDED = frozenset({ReviewStatus.ACCEPTED, ReviewStatus.CORRECTED, ReviewStatus.REJECTED})
_PLAIN = frozenset({ReviewDecision.ACCEPTED, ReviewDecision.REJECTED, ReviewDecision.NOT_SURE, ReviewDecision.NONE})


@admin.register(FactReview)
class FactReviewAdmin(ReadOnlyAdmin):
    """The page of a reviewer; a review has no page of its own, it is told by its fact and in its job's history."""

    @override
    def get_urls(self) -> list[Any]:
        listed = [url for url in super().get_urls() if str(getattr(url, "name", "")).endswith("_changelist")]
        pages: dict[str, Callable[[HttpRequest], HttpResponse]] = {
            "next": self.next_view,
            "show": self.show_view,
            "decide": self.decide_view,
            "add": self.add_view,
            "agreement": agreement_page,
            "policy": policy_page,
        }
        own = [
            path(f"{name}/", self.admin_site.admin_view(view), name=f"derive_factreview_{name}")
            for name, view in pages.items()
        ]
        return [*own, *listed]

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_review(request) or super().has_view_permission(request, obj)

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the page without a fact: its script, or its button, asks for the first one."""
        _demand_review(request)
        return _page(request, item=None, is_start=True)

    def next_view(self, request: HttpRequest) -> HttpResponse:
        """Claim the next fact and show it."""
        return _posted(request) or _next(request)

    def show_view(self, request: HttpRequest) -> HttpResponse:
        """Show the named fact, claimed if it may be."""
        if refused := _posted(request):
            return refused
        fact_id = as_guid(request.POST.get("fact_id", ""))
        return _next(request) if fact_id is None else _named(request, fact_id)

    def decide_view(self, request: HttpRequest) -> HttpResponse:
        """Record a decision and show the next fact; after undo, the same one."""
        if refused := _posted(request):
            return refused
        fact_id = as_guid(request.POST.get("fact_id", ""))
        fact = None if fact_id is None else Fact.objects.filter(fact_id=fact_id).first()
        if fact is None:
            return _next(request, notice="That fact is gone; its job may have been purged.")
        try:
            decision = _decision(request, fact)
            answer = _record(request, decision)
        except (BadEntry, NoSuchQuote, BadArgument) as error:
            return _problem(request, fact.fact_id, str(error))
        if not answer.changed and answer.why and "give a reason" in answer.why:
            return _problem(request, fact.fact_id, f"{_sentence(answer.why)}.")
        if decision.decision is ReviewDecision.NONE:
            return _named(request, fact.fact_id, notice="" if answer.changed else _sentence(answer.why))
        decided = fact if answer.changed and not _has_open_facts(fact.run_id) else None
        return _next(request, notice="" if answer.changed else f"Not saved: {answer.why}.", decided=decided)

    def add_view(self, request: HttpRequest) -> HttpResponse:
        """Record a fact that the answer lacks, and show the same fact again."""
        if refused := _posted(request):
            return refused
        fact_id = as_guid(request.POST.get("fact_id", ""))
        fact = None if fact_id is None else Fact.objects.filter(fact_id=fact_id).first()
        if fact is None:
            return _next(request, notice="That answer is gone; its job may have been purged.")
        try:
            decision = addition(fact.run_id, _entry(request), evidence_of_run(fact.run_id, lake()).items)
            answer = _record(request, decision)
        except (BadEntry, NoSuchQuote, BadArgument) as error:
            return _problem(request, fact.fact_id, str(error))
        if not answer.changed:
            return _problem(request, fact.fact_id, f"{_sentence(answer.why)}.")
        return _named(request, fact.fact_id, notice=f"Added {decision.fact_key}.")


def may_review(request: HttpRequest) -> bool:
    """Whether this user may decide about facts: that needs the evidence as well."""
    return permissions.may(request, permissions.REVIEW_FACTS) and permissions.may(request, permissions.SEE_PAYLOADS)


def _demand_review(request: HttpRequest) -> None:
    permissions.demand(request, permissions.VIEW_FACTS, permissions.REVIEW_FACTS, permissions.SEE_PAYLOADS)


def _posted(request: HttpRequest) -> HttpResponse | None:
    """Return the refusal of a request that is no POST; raises Denied."""
    _demand_review(request)
    return None if request.method == "POST" else HttpResponseNotAllowed(["POST"])


def _decision(request: HttpRequest, fact: Fact) -> FactDecision:
    wanted = request.POST.get("decision", "")
    if wanted == ReviewDecision.CORRECTED.value:
        return correction(fact, _entry(request), evidence_of_run(fact.run_id, lake()).items)
    if wanted not in _PLAIN:
        raise BadEntry("Choose accept, reject, edit or not sure.")
    return FactDecision(decision=ReviewDecision(wanted), fact_id=fact.fact_id)


def _entry(request: HttpRequest) -> ReviewEntry:
    near = request.POST.get("near", "")
    return ReviewEntry(
        value=request.POST.get("value", ""),
        quote=request.POST.get("quote", "").replace("\r\n", "\n"),
        evidence_id=request.POST.get("evidence_id", ""),
        near=int(near) if near.isascii() and near.isdigit() and len(near) < 10 else 0,
        key=request.POST.get("key", ""),
    )


def _record(request: HttpRequest, decision: FactDecision) -> Reviewed:
    reason = request.POST.get("reason", "").strip()
    if len(reason) > MAX_REASON_CHARACTERS or "\x00" in reason:
        raise BadEntry(f"A reason has at most {MAX_REASON_CHARACTERS:,} characters.")
    actor = permissions.actor_of(request)
    (answer,) = JobQueue().review_facts([decision], actor=actor, reason=reason or None)
    extra = {"actor": actor, "fact_id": str(answer.fact_id), "decision": decision.decision.value}
    logger.info("fact.reviewed", extra={**extra, "changed": answer.changed})
    return answer


def _has_open_facts(run_id: UUID) -> bool:
    return Fact.objects.filter(run_id=run_id, review_status=ReviewStatus.OPEN).exists()


def _next(request: HttpRequest, *, notice: str = "", decided: Fact | None = None) -> HttpResponse:
    queue, actor = JobQueue(), permissions.actor_of(request)
    for _ in range(MAX_TRIES):
        claims = queue.claim_facts(actor=actor)
        if not claims:
            break
        try:
            item = review_item(claims[0].fact_id, lake())
        except LakeUnavailable as error:
            return _page(request, item=None, notice=f"The lake cannot be reached: {error}", status=503)
        if item is not None:
            return _page(request, item=item, notice=notice, decided=decided)
    return _page(request, item=None, notice=notice, decided=decided)


def _named(request: HttpRequest, fact_id: UUID, *, notice: str = "", status: int = 200) -> HttpResponse:
    actor = permissions.actor_of(request)
    claim = JobQueue().claim_fact(fact_id, actor=actor)
    try:
        item = None if claim is None else review_item(fact_id, lake())
    except LakeUnavailable as error:
        return _page(request, item=None, notice=f"The lake cannot be reached: {error}", status=503)
    if claim is None or item is None:
        return _next(request, notice="That fact is gone; its job may have been purged.")
    if claim.claimed_by != actor:
        notice = f"{claim.claimed_by} is reviewing this fact; your decision would not be saved."
    return _page(request, item=item, notice=notice, status=status)


def _problem(request: HttpRequest, fact_id: UUID, problem: str) -> HttpResponse:
    """Say what is wrong with an entry; a script keeps the form as it is, without one the page shows the fact again."""
    if "fragment" in request.POST:
        return JsonResponse({"problem": problem}, status=400)
    return _named(request, fact_id, notice=problem, status=400)


def _page(
    request: HttpRequest,
    *,
    item: ReviewItem | None,
    notice: str = "",
    is_start: bool = False,
    status: int = 200,
    decided: Fact | None = None,
) -> HttpResponse:
    """Show the page, or its moving part; ``decided`` is a fact with which all of its answer's facts are decided."""
    fact = decided or (item.row if item else None)
    context = {
        "golden": None
        if fact is None
        else golden_offer(request, fact.run_id, interrogation_key=fact.interrogation_key, of=fact.entity_id),
        "is_answer_decided": decided is not None,
        "item": item,
        "notice": notice,
        "is_start": is_start,
        "waiting": waiting_facts(),
        "is_decided": item is not None and item.row.review_status in _DECIDED,
        "may_set_policy": permissions.may(request, permissions.SET_REVIEW_POLICY),
    }
    if "fragment" in request.POST:
        return HttpResponse(render_to_string("admin/review/item.html", context, request=request), status=status)
    return show(request, "admin/review/page.html", title="Review", status=status, **context)


def _sentence(why: str | None) -> str:
    return f"{(why or '')[:1].upper()}{(why or '')[1:]}"
