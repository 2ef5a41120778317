"""Golden cases: the list, and the page of one with its input, evidence and expected facts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from typing_extensions import override

from derive.admin.display.untrusted_text import cell, pretty
from derive.admin.evaluation.making import make_view
from derive.admin.lists.filters import TIMES, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Page, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.models import GoldenCase
from derive.strict_types import parse_json


class GoldenCaseFilter(ListFilter):
    """The filters of the list of golden cases."""

    rows_of, sequence, time = GoldenCase, "case_seq", "created_utc"

    set_name = TextFilter("Set", is_wide=True)
    case_key = TextFilter("Case")
    since = MomentFilter("Created since", placeholder=TIMES)
    until = MomentFilter("Created before")

    @override
    def arms(self) -> Sequence[tuple[Condition, ...]]:
        return ((equals("set_name", self.values["set_name"]),),) if self.values["set_name"] else ((),)

    @override
    def rest(self) -> Sequence[Condition]:
        wanted = self.values["case_key"]
        return (equals("t.case_key", wanted),) if wanted else ()


@admin.register(GoldenCase)
class GoldenCaseAdmin(KeysetAdmin):
    """All golden cases, newest first."""

    filters = GoldenCaseFilter
    columns = ("case_seq", "case_id", "set_name", "case_key", "interrogation_key", "expected_json", "changed_utc")
    template, title = "admin/golden/list.html", "Golden cases"

    @override
    def get_urls(self) -> list[Any]:
        make = path("make/", self.admin_site.admin_view(make_view), name="derive_goldencase_make")
        return [make, *super().get_urls()]

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the cases, each with the number of its expected facts."""
        cases = super().rows(page)
        for case in cases:
            case.expected = len(_members(case.expected_json, "facts"))
        return cases

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one case; its contents only to who may see payloads."""
        permissions.demand(request, permissions.VIEW_GOLDEN_CASES)
        try:
            case = GoldenCase.objects.filter(case_id=UUID(object_id)).first()
        except ValueError:
            case = None
        if case is None:
            raise Http404("There is no such golden case.")
        context: dict[str, Any] = {"case": case, "expected": len(_members(case.expected_json, "facts"))}
        if permissions.may(request, permissions.SEE_PAYLOADS):
            context["input"] = pretty(case.input_json)
            context["evidence"] = [_shown(item) for item in _members(case.evidence_json, "items")]
            context["facts"] = [_shown(fact) for fact in _members(case.expected_json, "facts")]
            context["matching"] = pretty(case.matching_json or "")
        return show(request, "admin/golden/page.html", title=f"Golden case {cell(case.case_key)}", **context)


def _members(text: str, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list in a JSON object; what is none is left out."""
    found = parse_json(text).get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _shown(item: dict[str, Any]) -> dict[str, str]:
    """Return an object with each member as text."""
    return {name: value if isinstance(value, str) else str(value) for name, value in item.items()}
