"""Artifacts: the files that runs left in the lake."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin import rights
from derive.admin.asking import as_guid
from derive.admin.columns import column
from derive.admin.lake_reading import lake, read_shown
from derive.admin.lists import show
from derive.admin.reading import ReadingAdmin, link_to
from derive.admin.texts import pretty, visible
from derive.errors import LakeError, LakeUnavailable
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
    def get_urls(self) -> list[URLPattern]:
        raw = self.admin_site.admin_view(self.download)
        return [path("<uuid:key>/download/", raw, name="derive_artifact_download"), *super().get_urls()]

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a file as text, with what was recorded of it; its text only to whoever may see payloads."""
        rights.demand(request, rights.VIEW_ARTIFACTS)
        artifact = _found(as_guid(object_id))
        seen = read_shown(artifact) if rights.may(request, rights.SEE_PAYLOADS) else None
        context: dict[str, Any] = {"artifact": artifact, "shown": seen}
        if seen is not None:
            is_json = artifact.media_type.startswith("application/json")
            context["text"] = pretty(seen.text) if is_json else visible(seen.text)
            context["fault"] = visible(seen.fault, 500)
        return show(request, "admin/artifacts/detail.html", title=artifact.artifact_type, **context)

    def download(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """Send a file's bytes, held against their hash first; other bytes only to whoever insists."""
        rights.demand(request, rights.VIEW_ARTIFACTS, rights.SEE_PAYLOADS)
        artifact = _found(key)
        try:
            matches = lake().hash_file(artifact.lake_uri) == (artifact.content_sha256, artifact.byte_count)
            if not matches and request.GET.get("anyway") != "yes":
                return show(request, "admin/artifacts/mismatch.html", status=409, title="Not sent", artifact=artifact)
            stream = lake().open_file(artifact.lake_uri)
        except (LakeError, LakeUnavailable) as error:
            why = visible(str(error), 500)
            return show(
                request, "admin/artifacts/mismatch.html", status=502, title="Not sent", artifact=artifact, why=why
            )
        name = artifact.lake_uri.rsplit("/", 1)[-1]
        prefix = "" if matches else "UNVERIFIED-"
        # Plain bytes to be saved: no type that a browser would show, and nothing it may do should it show them.
        answer = FileResponse(
            stream,
            as_attachment=True,
            filename=f"{prefix}{str(artifact.run_id)[:8]}-{name}",
            content_type="application/octet-stream",
        )
        answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
        answer["X-Content-Type-Options"] = "nosniff"
        return answer

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


def _found(key: UUID | None) -> Artifact:
    artifact: Artifact | None = None if key is None else Artifact.objects.filter(artifact_id=key).first()
    if artifact is None:
        raise Http404("There is no such artifact; its job may have been purged.")
    return artifact
