"""What lists that page by key have in common: their pages' context and the addresses of their neighbours."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse

from derive.admin.lists import keyset
from derive.admin.lists.keyset import Page
from derive.admin.site import permissions

CURSORS = ("older", "newer")


def show(request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
    """Render a page of the admin; every page knows what its user may do."""
    may = {
        "see_payloads": permissions.may(request, permissions.SEE_PAYLOADS),
        "act": permissions.may(request, permissions.ACT_ON_JOBS),
        "purge": permissions.may(request, permissions.PURGE_JOBS),
    }
    everything = {**admin.site.each_context(request), "may": may, **context}
    return TemplateResponse(request, template, everything, status=status)


def paging(query: QueryDict, page: Page) -> dict[str, Any]:
    """Return what ``admin/parts/paging.html`` links to: the same filter, another cursor."""
    return {
        "first": _with(query),
        "older": _with(query, older=page.older) if page.older else None,
        "newer": _with(query, newer=page.newer) if page.newer else None,
        "stopped": page.stopped,
        "look_at": keyset.LOOK_AT,
    }


def chips(query: QueryDict, active: Iterable[tuple[str, str]], labels: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what ``admin/parts/filters.html`` shows: each filter by its field's label, and the list without it."""
    return [(labels[name], value, without(query, [name])) for name, value in active]


def without(query: QueryDict, names: Sequence[str]) -> str:
    """Return the address of the same list without some of its filters."""
    changed = query.copy()
    for name in (*names, *CURSORS):
        changed.pop(name, None)
    return f"?{changed.urlencode()}"


def _with(query: QueryDict, **cursor: str) -> str:
    changed = query.copy()
    for name in CURSORS:
        changed.pop(name, None)
    changed.update(cursor)
    return f"?{changed.urlencode()}"
