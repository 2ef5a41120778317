"""Interrogations: every registered definition, its lint warnings, and statistics of its recent runs."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from typing_extensions import override

from derive.admin.display.untrusted_text import pretty, visible
from derive.admin.lists import suggestions
from derive.admin.lists.keyset import table_of
from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.records.promotions import live_version_of, promotion_view
from derive.admin.site import permissions
from derive.live_versions import promoted_versions
from derive.models import Interrogation, Run
from derive.registered_definitions import changed_definitions

MAX_DEFINITIONS = 500
RECENT_RUNS = 10_000
"""The statistics cover this many of the newest runs, so that their cost is constant."""


@dataclass(frozen=True)
class RunStatistics:
    """Statistics of a definition's recent runs; tokens and milliseconds per run."""

    runs: int
    succeeded: int
    prompt_tokens: int | None
    output_tokens: int | None
    total_ms: int | None

    @property
    def success_rate(self) -> str:
        """The share of ended runs that succeeded."""
        return f"{100 * self.succeeded / self.runs:.0f} %" if self.runs else "–"


@admin.register(Interrogation)
class InterrogationAdmin(ReadOnlyAdmin):
    """All definitions, by key, newest first."""

    @override
    def get_urls(self) -> list[Any]:
        promote = self.admin_site.admin_view(promotion_view)
        return [path("<str:sha256>/promotion/", promote, name="derive_interrogation_promote"), *super().get_urls()]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show every version with its statistics."""
        permissions.demand(request, permissions.VIEW_INTERROGATIONS)
        stored = Interrogation.objects.defer("prompt_template", "output_schema_json", "rubric")
        figures = recent_figures()
        promoted = set(promoted_versions().values())
        rows = [
            (
                one,
                figures.get(one.definition_sha256),
                _installed(one.definition_sha256),
                one.definition_sha256 in promoted,
            )
            for one in stored.order_by("interrogation_key", "-registered_utc")[:MAX_DEFINITIONS]
        ]
        context: dict[str, Any] = {"rows": rows, "recent_runs": RECENT_RUNS, "problems": _problems()}
        return show(request, "admin/interrogations/list.html", title="Interrogations", **context)

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one definition in full."""
        permissions.demand(request, permissions.VIEW_INTERROGATIONS)
        one = Interrogation.objects.filter(definition_sha256=object_id[:64].replace("\x00", "")).first()
        if one is None:
            raise Http404("There is no such definition.")
        installed = _installed(one.definition_sha256)
        return show(
            request,
            "admin/interrogations/detail.html",
            title=f"{one.interrogation_key} {one.version}",
            one=one,
            figures=recent_figures().get(one.definition_sha256),
            recent_runs=RECENT_RUNS,
            installed=installed,
            findings=installed.warnings if installed else (),
            constant=installed.definition.constant_tokens if installed else None,
            prompt=visible(one.prompt_template),
            schema=pretty(one.output_schema_json),
            rubric=visible(one.rubric),
            live=live_version_of(one),
            may_promote=permissions.may(request, permissions.PROMOTE_INTERROGATIONS),
        )


def recent_figures() -> dict[str, RunStatistics]:
    """Return the statistics of each definition among the newest runs."""
    sql = (
        "SELECT r.definition_sha256, COUNT(*), SUM(CASE WHEN r.status = 'SUCCEEDED' THEN 1 ELSE 0 END), "  # noqa: S608 (our own constants)
        # As bigint: SQL Server sums in the column's own type, which overflows.
        "AVG(CAST(r.prompt_tokens AS bigint)), AVG(CAST(r.output_tokens AS bigint)), AVG(r.total_ms) FROM "
        "(SELECT definition_sha256, status, "
        f"prompt_tokens, output_tokens, total_ms FROM {table_of(Run)} ORDER BY run_seq DESC "
        f"OFFSET 0 ROWS FETCH NEXT {RECENT_RUNS} ROWS ONLY) AS r "
        "WHERE r.definition_sha256 IS NOT NULL AND r.status <> 'RUNNING' GROUP BY r.definition_sha256"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return {
            sha256: RunStatistics(int(runs), int(succeeded), *(None if one is None else int(one) for one in averages))
            for sha256, runs, succeeded, *averages in cursor
        }


def _problems() -> list[str]:
    """Return what keeps interrogations of this machine's files from being used, in sentences."""
    registry = suggestions.registry()
    broken = [f"{key} cannot be used: {why}" for key, why in registry.broken.items()]
    return broken + list(changed_definitions(registry.all()).values())


def _installed(definition_sha256: str) -> Any:
    """Return the installed interrogation with this definition, or None."""
    found = (one for one in suggestions.registry().all() if one.definition.definition_sha256 == definition_sha256)
    return next(found, None)
