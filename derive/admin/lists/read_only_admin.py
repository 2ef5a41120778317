"""What the pages of the tables have in common: they only read, and a page is bounded work on millions of rows.

Nothing is counted beyond ``COUNT_CAP``. What may grow without bound has a list of its own, paged by key (``lists``).
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

from django.contrib.admin import AdminSite, ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet, TextField
from django.db.models.options import Options
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override
from unfold.admin import ModelAdmin

from derive.admin.display.untrusted_text import block
from derive.admin.site import permissions
from derive.admin.site.model_admin import PlainList
from derive.models import ReadingModel

COUNT_CAP = 5_000
"""Rows that paging reaches."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # Django's class takes no argument at run time
    """Counts no further than the cap, so that a page costs the same whatever stands behind it."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or the cap."""
        rows: Any = self.object_list
        return int(rows[:COUNT_CAP].count()) if isinstance(rows, QuerySet) else len(rows)


class OrderedByNumber(PlainList):
    """A list in the order its admin names and no other: Django would add the key, which no index follows."""

    @override
    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.get_ordering(request))


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Lists and shows rows; nobody adds, changes or deletes any."""

    model: type[ReadingModel]
    opts: "Options[Any]"
    admin_site: AdminSite
    ordering: Sequence[str] = ("pk",)
    number: ClassVar[str] = ""
    """The identity column, by which the list is ordered, newest first; empty: a small table, ordered otherwise."""
    payloads: ClassVar[frozenset[str]] = frozenset()
    """Fields that only somebody with ``derive.see_payloads`` is shown."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    sortable_by = ()
    list_fullwidth = True
    list_before_template = "admin/derive/bounds.html"
    actions: ClassVar[Sequence[Any]] = ()

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @override
    def get_urls(self) -> list[Any]:
        """Route what looks only: there is no form to add, delete or change with, and no history of edits."""
        closed = ("_add", "_delete", "_history")
        return [url for url in super().get_urls() if not str(getattr(url, "name", "")).endswith(closed)]

    @override
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OrderedByNumber

    @override
    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        return (f"-{self.number}",) if self.number else self.ordering

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer: HttpResponse = super().changelist_view(request, {"count_cap": COUNT_CAP, **(extra_context or {})})
        return answer

    @override
    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return the fields a person may see; long texts as bounded blocks, references as links."""
        seen = permissions.may(request, permissions.SEE_PAYLOADS)
        return [
            f"shown_{field.name}" if _is_long(field) or field.is_relation else field.name
            for field in self.opts.concrete_fields
            if seen or field.name not in self.payloads
        ]

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return self.get_fields(request, obj)

    def __getattr__(self, name: str) -> Callable[[Any], SafeString]:
        """Return what shows a field as a block or a link: ``shown_<field>``."""
        if not name.startswith("shown_"):
            raise AttributeError(name)
        field: Any = self.opts.get_field(name.removeprefix("shown_"))

        def shown(row: Any) -> SafeString:
            value = getattr(row, field.attname)
            return link_to(field.name, value) if field.is_relation else block(value)

        shown.short_description = field.verbose_name  # type: ignore[attr-defined]  # Django's way to label it
        return shown


def _is_long(field: Any) -> bool:
    return isinstance(field, TextField)


def link_to(model: str, key: Any, text: str | None = None) -> SafeString:
    """Return a link to the page of a row of ``derive``'s by its key; a dash without one."""
    if key is None:
        return format_html("{}", "–")
    return format_html(
        '<a class="hc-link" href="{}">{}</a>', reverse(f"admin:derive_{model}_change", args=[key]), text or str(key)
    )
