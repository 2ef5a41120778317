"""The template context of every admin page, and the URLs of a list's neighbouring pages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse

from derive.admin.lists import keyset
from derive.admin.site import permissions

CURSORS = ("older", "newer")


def show(request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """Render an admin page with the user's permissions in its context."""
    everything = {**admin.site.each_context(request), "may": rights_of(request), **context}
    return TemplateResponse(request, template, everything, status=status)


def rights_of(request: HttpRequest) -> dict[str, bool]:
    """Return what templates ask of a user's permissions."""
    return {
        "see_payloads": permissions.may(request, permissions.SEE_PAYLOADS),
        "see_facts": permissions.may(request, permissions.VIEW_FACTS),
        "act": permissions.may(request, permissions.ACT_ON_JOBS),
        "run_experiments": permissions.may(request, permissions.RUN_EXPERIMENTS),
        "purge": permissions.may(request, permissions.PURGE_JOBS),
    }


def without(query: QueryDict, *names: str, **cursor: str) -> str:
    """Return the URL of the same list without some filters, at a cursor or at its start."""
    changed = query.copy()
    for name in (*names, *CURSORS):
        changed.pop(name, None)
    changed.update(cursor)
    return f"?{changed.urlencode()}"


def paging_of(query: QueryDict, page: keyset.Page) -> dict[str, Any]:
    """Return the context of ``admin/parts/paging.html`` for a page."""
    return {
        "first": without(query),
        "older": without(query, older=page.older) if page.older else None,
        "newer": without(query, newer=page.newer) if page.newer else None,
        "stopped": page.stopped,
        "look_at": keyset.LOOK_AT,
    }
