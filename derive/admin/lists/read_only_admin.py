"""The base of pages on ``llm`` tables: read-only, with bounded work on millions of rows.

No count exceeds ``COUNT_CAP``. Tables that grow without bound have keyset lists instead (``keyset_admin``).
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
"""The number of rows that paging reaches."""


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # Django's class takes no argument at run time
    """Counts only up to the cap, so a page's cost does not depend on the table's size."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most the cap."""
        rows: Any = self.object_list
        return int(rows[:COUNT_CAP].count()) if isinstance(rows, QuerySet) else len(rows)


class OrderedByNumber(PlainList):
    """A list in exactly the order its admin names: Django would append the key, which no index follows."""

    @override
    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.get_ordering(request))


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Lists and shows rows; they cannot be added, changed or deleted."""

    model: type[ReadingModel]
    opts: "Options[Any]"
    admin_site: AdminSite
    ordering: Sequence[str] = ("pk",)
    number: ClassVar[str] = ""
    """The identity column that orders the list, newest first; empty for a small table with another order."""
    payloads: ClassVar[frozenset[str]] = frozenset()
    """Fields shown only to users with ``derive.see_payloads``."""

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
        """Route only the reading views: there are no add, delete or change forms, and no edit history."""
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
        """Return the fields a user may see; long texts as bounded blocks, references as links."""
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
        """Return the method that shows a field as a block or link: ``shown_<field>``."""
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
    """Return a link to the page of a row by its key; a dash if there is none."""
    if key is None:
        return format_html("{}", "–")
    return format_html(
        '<a class="hc-link" href="{}">{}</a>', reverse(f"admin:derive_{model}_change", args=[key]), text or str(key)
    )
