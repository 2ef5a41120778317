"""Facts: the list across all jobs, and the page of one entity."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.display.fact_links import fact_address
from derive.admin.display.untrusted_text import cell
from derive.admin.facts.entity import MAX_FACTS, known_of
from derive.admin.facts.filters import FactFilter
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import paging_of, show, without
from derive.admin.lists.query_params import as_guid
from derive.admin.site import permissions
from derive.fact_report.reading import facts_numbered
from derive.models import Fact


@admin.register(Fact)
class FactAdmin(KeysetAdmin):
    """All facts, newest first, paged by key."""

    filters = FactFilter
    columns = (
        *("fact_seq", "fact_id", "run_id", "job_id", "fact_index", "interrogation_key", "entity_type", "entity_id"),
        *("fact_key", "value", "quote", "verdict", "why", "is_current", "conflict_id", "review_status"),
        *("corrected_value", "confidence"),
    )
    template, title = "admin/facts/list.html", "Facts"

    @override
    def get_urls(self) -> list[URLPattern]:
        entity = self.admin_site.admin_view(self.entity)
        return [path("entity/", entity, name="derive_fact_entity"), *super().get_urls()]

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the fact within its answer, on its job's page."""
        permissions.demand(request, permissions.VIEW_FACTS)
        guid = as_guid(object_id)
        fact = None if guid is None else Fact.objects.filter(fact_id=guid).first()
        if fact is None:
            raise Http404("There is no such fact; its job may have been purged.")
        return HttpResponseRedirect(fact_address(fact))

    def entity(self, request: HttpRequest) -> HttpResponse:
        """Show the facts of one entity; superseded runs only on request."""
        permissions.demand(request, permissions.VIEW_FACTS)
        query = request.GET.copy()
        has_superseded = query.get("superseded") == "yes"
        query["current"] = "" if has_superseded else "yes"
        chosen = FactFilter(query)
        entity = cell(chosen.values["entity"], 400)
        context: dict[str, Any] = {"chosen": chosen, "entity": entity, "problems": chosen.problems}
        if entity and not chosen.problems:
            page = chosen.walk().page(older=query.get("older"), newer=query.get("newer"), rows=MAX_FACTS)
            context |= {
                "known": known_of(facts_numbered(page.sequences)),
                "has_superseded": has_superseded,
                "otherwise": without(query, "superseded", **({} if has_superseded else {"superseded": "yes"})),
                "every_key": without(query, "key"),
                "paging": paging_of(request.GET, page),
            }
        title = f"Facts about {entity}" if entity else "Facts about an entity"
        return show(request, "admin/facts/entity.html", title=title, **context)
