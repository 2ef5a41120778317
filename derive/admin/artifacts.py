"""Artifacts: the files that runs left in the lake."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from typing_extensions import override

from derive.admin.asking import as_guid
from derive.admin.columns import column
from derive.admin.reading import ReadingAdmin, link_to
from derive.models import Artifact

TYPES = (
    "request_json",
    "response_stream",
    "response_json",
    "evidence_bundle",
    "prompt_text",
    "parsed_output",
    "validation_report",
    "model_snapshot",
    "correction",
    "manifest",
)


class TypeFilter(admin.SimpleListFilter):
    """By what a file is."""

    title = parameter_name = "artifact_type"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.replace("_", " ")) for name in TYPES]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(artifact_type=self.value()) if self.value() in TYPES else queryset


@admin.register(Artifact)
class ArtifactAdmin(ReadingAdmin):
    """The files, newest first."""

    number = "artifact_seq"
    list_display = ("artifact_type", "of_run", "size", "media_type", "lake_uri", "created_utc")
    list_filter = (TypeFilter,)
    search_fields = ("artifact_id",)
    search_help_text = "The whole of a run id or artifact id"

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by exactly what an index knows."""
        if not search_term.strip():
            return queryset, False
        guid = as_guid(search_term.strip())
        return (queryset.none() if guid is None else queryset.filter(Q(run_id=guid) | Q(artifact_id=guid))), False

    @column("run")
    def of_run(self, row: Artifact) -> Any:
        """Return the link to its run."""
        return link_to("run", row.run_id, f"{row.run_id}"[:8])

    @column("size")
    def size(self, row: Artifact) -> str:
        """Return the size as people read it."""
        return filesizeformat(row.byte_count)
