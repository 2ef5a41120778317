"""The agreement page: do reviewers agree, and how far can keys, rules, models and confidences be trusted?"""

from django.http import HttpRequest, HttpResponse

from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.review.agreement import GROUPINGS, MAX_REVIEWS, agreement

BECAUSE = {"": "All reviews", "sample": "Random checks only", "verdict": "Doubted by a rule", "conflict": "In conflict"}


def agreement_page(request: HttpRequest) -> HttpResponse:
    """Show agreement and acceptance over the newest reviews, by why the facts were reviewed."""
    permissions.demand(request, permissions.VIEW_REVIEWS)
    because = request.GET.get("because", "")
    interrogation = request.GET.get("interrogation", "")[:200].replace("\x00", "").strip()
    chosen = because if because in BECAUSE else ""
    found = agreement(because=chosen, interrogation=interrogation)
    return show(
        request,
        "admin/review/agreement.html",
        title="Agreement",
        found=found,
        tables=[(title, found.by[name], name == "confidence") for name, title in GROUPINGS.items()],
        choices=[(value, words, value == chosen) for value, words in BECAUSE.items()],
        because=chosen,
        interrogation=interrogation,
        most=MAX_REVIEWS,
    )
