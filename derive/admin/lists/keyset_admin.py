"""The view shared by all keyset lists: parses the filters, walks, and shows one page of rows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from typing_extensions import override

from derive.admin.lists import saved_views, suggestions
from derive.admin.lists.filters import ListFilter
from derive.admin.lists.keyset import Page
from derive.admin.lists.live_answer import REFRESH_SECONDS
from derive.admin.lists.pages import CURSORS, paging_of, rights_of, show, without
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions

_SUGGESTED = {"interrogations": suggestions.interrogation_keys, "models": suggestions.model_names}


class KeysetAdmin(ReadOnlyAdmin):
    """A list, newest first. Its template extends ``admin/lists/keyset.html`` and renders the rows."""

    filters: ClassVar[type[ListFilter]]
    columns: ClassVar[tuple[str, ...]]
    """The columns read for each row."""
    template: ClassVar[str]
    title: ClassVar[str]

    built_in_views: ClassVar[Mapping[str, dict[str, str]]] = MappingProxyType({})
    """Filters that are offered by a name, beside the views that people save."""

    @override
    def get_urls(self) -> list[URLPattern]:
        change = self.admin_site.admin_view(self.change_views)
        return [path("views/", change, name=f"derive_{self.opts.model_name}_views"), *super().get_urls()]

    def change_views(self, request: HttpRequest) -> HttpResponse:
        """Save, rename, share or remove a view of this list."""
        permissions.demand(request, f"{self.opts.app_label}.view_{self.opts.model_name}")
        page, display = str(self.opts.model_name), self.display_of(request)
        return saved_views.change(request, page=page, filters=self.filters, display=display)

    def display_of(self, _request: HttpRequest) -> str:
        """Return what a saved view keeps of how the list is displayed."""
        return ""

    def views_offered(self, _request: HttpRequest) -> Mapping[str, dict[str, str]]:
        """Return the filters that are offered by a name."""
        return self.built_in_views

    def live_context(self, request: HttpRequest, address: str) -> dict[str, Any]:
        """Return what a list needs that polls this address for its rows; only a first page is live."""
        is_first = not any(name in request.GET for name in CURSORS)
        named = {saved_views.PARAM: request.GET[saved_views.PARAM]} if saved_views.PARAM in request.GET else {}
        query = urlencode({**self.filters(request.GET).active(), **named})
        return {"live_from": f"{address}?{query}" if is_first else "", "refresh_seconds": REFRESH_SECONDS}

    def render_live(self, request: HttpRequest, rows: list[Any], **context: Any) -> str:
        """Return the moving part of the list."""
        everything = {
            **context,
            "layout": "admin/lists/live.html",
            "may": rights_of(request),
            "chosen": self.filters(request.GET),
            "rows": rows,
            "row_is": self.opts.verbose_name,
            "rows_are": self.opts.verbose_name_plural,
        }
        return render_to_string(self.template, everything, request)

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show one page of the matching rows, newest first."""
        permissions.demand(request, f"{self.opts.app_label}.view_{self.opts.model_name}")
        views = saved_views.read_views(request, str(self.opts.model_name))
        if (address := saved_views.default_address(request, views)) is not None:
            return HttpResponseRedirect(address)
        query, chosen = request.GET, self.filters(request.GET)
        page = chosen.walk().page(older=query.get("older"), newer=query.get("newer"))
        context: dict[str, Any] = {
            "title": self.title,
            "row_is": self.opts.verbose_name,
            "rows_are": self.opts.verbose_name_plural,
            "rows": self.rows(page),
            "paging": paging_of(query, page),
            "chosen": chosen,
            "problems": chosen.problems,
            "chips": [(chosen[name].label, words, without(query, name)) for name, words in chosen.in_words()],
            "views": saved_views.links(request, views, chosen, self.views_offered(request)),
            "views_url": reverse(f"admin:derive_{self.opts.model_name}_views"),
            "may_share": permissions.may(request, permissions.SHARE_VIEWS),
            "named_view": query.get(saved_views.PARAM, ""),
            "suggested": [(name, _SUGGESTED[name]()) for name in chosen.suggested()],
        }
        return show(request, self.template, **context, **(extra_context or {}))

    def rows(self, page: Page) -> list[Any]:
        """Return a page's rows in order, without those purged in the meantime."""
        rows = self.listed().filter(**{f"{self.filters.sequence}__in": page.sequences}).only(*self.columns)
        found = {getattr(row, self.filters.sequence): row for row in rows}
        return [found[number] for number in page.sequences if number in found]

    def listed(self) -> "QuerySet[Any]":
        """Return the queryset rows are read from."""
        return self.model._default_manager.all()  # noqa: SLF001 (Django's own word for it)
