"""The view shared by all keyset lists: parses the filters, walks, and shows one page of rows."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from typing_extensions import override

from derive.admin.lists import suggestions
from derive.admin.lists.filters import ListFilter
from derive.admin.lists.keyset import Page
from derive.admin.lists.pages import paging_of, show, without
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

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show one page of the matching rows, newest first."""
        permissions.demand(request, f"{self.opts.app_label}.view_{self.opts.model_name}")
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
