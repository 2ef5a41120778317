"""Artifacts: the files of runs in the lake."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.display.lake_files import lake, read_shown
from derive.admin.display.untrusted_text import pretty, visible
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid
from derive.admin.records.filters import ArtifactFilter
from derive.admin.site import permissions
from derive.errors import LakeError, LakeUnavailable
from derive.models import Artifact


@admin.register(Artifact)
class ArtifactAdmin(KeysetAdmin):
    """All artifacts, newest first, paged by key."""

    filters = ArtifactFilter
    columns = (
        *("artifact_id", "artifact_seq", "run_id", "artifact_type", "media_type", "byte_count", "lake_uri"),
        "created_utc",
    )
    template, title = "admin/artifacts/list.html", "Artifacts"

    @override
    def get_urls(self) -> list[URLPattern]:
        raw = self.admin_site.admin_view(self.download)
        return [path("<uuid:key>/download/", raw, name="derive_artifact_download"), *super().get_urls()]

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a file as text with its recorded metadata; the text only to users who may see payloads."""
        permissions.demand(request, permissions.VIEW_ARTIFACTS)
        artifact = _found(as_guid(object_id))
        seen = read_shown(artifact) if permissions.may(request, permissions.SEE_PAYLOADS) else None
        context: dict[str, Any] = {"artifact": artifact, "shown": seen}
        if seen is not None:
            is_json = artifact.media_type.startswith("application/json")
            context["text"] = pretty(seen.text) if is_json else visible(seen.text)
            context["fault"] = visible(seen.fault, 500)
        return show(request, "admin/artifacts/detail.html", title=artifact.artifact_type, **context)

    def download(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """Send a file after checking its hash; bytes that differ only on explicit request."""
        permissions.demand(request, permissions.VIEW_ARTIFACTS, permissions.SEE_PAYLOADS)
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
        # Force a download: no type that a browser would render, and a sandbox in case it does.
        answer = FileResponse(
            stream,
            as_attachment=True,
            filename=f"{prefix}{str(artifact.run_id)[:8]}-{name}",
            content_type="application/octet-stream",
        )
        answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
        answer["X-Content-Type-Options"] = "nosniff"
        return answer


def _found(key: UUID | None) -> Artifact:
    artifact: Artifact | None = None if key is None else Artifact.objects.filter(artifact_id=key).first()
    if artifact is None:
        raise Http404("There is no such artifact; its job may have been purged.")
    return artifact
