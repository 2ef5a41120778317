"""Sources: which are declared, and the first subjects of one with their evidence as a model will see it."""

import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from derive.admin.display.untrusted_text import visible
from derive.admin.lists.pages import show
from derive.admin.lists.suggestions import live_registry, registry
from derive.admin.site import permissions
from derive.contracts import Bounds
from derive.errors import ConfigurationError, HolocronError
from derive.evidence.redaction import Redactor
from derive.evidence.redaction_file import read_redactor
from derive.sources.previewing import PreviewedSubject, SourcePreview, preview_source
from derive.sources.registry import SourceRegistry, load_sources

MOST_SECONDS = 10
"""A statement, and the preview as a whole, may take so long: a person waits for the page."""
ITEM_CHARACTERS = 4_000
SHOWN_FAULTS = 50


def list_view(request: HttpRequest) -> HttpResponse:
    """Show the declared sources, and what is wrong with which."""
    permissions.demand(request, permissions.VIEW_INTERROGATIONS)
    sources, problem = _sources()
    return show(
        request,
        "admin/sources/list.html",
        title="Sources",
        sources=sources.all(),
        broken=sources.broken,
        problem=problem,
        is_declared=settings.SOURCES_FILE is not None,
    )


def preview_view(request: HttpRequest) -> HttpResponse:
    """Show ten subjects of a source with their evidence."""
    permissions.demand(request, permissions.VIEW_INTERROGATIONS, permissions.SEE_PAYLOADS)
    name, key = request.GET.get("name", "")[:60], request.GET.get("interrogation", "")[:200]
    preview, problem = _preview(name, key) if name else (None, "Choose a source from the list.")
    context: dict[str, Any] = {"name": name, "problem": problem, "preview": preview, "shown_faults": SHOWN_FAULTS}
    context |= {"interrogation": key, "keys": sorted({one.key for one in registry().all()})}
    if preview is not None:
        context["subjects"] = [(one, _items(one)) for one in preview.subjects]
    return show(request, "admin/sources/preview.html", title=f"Source {visible(name)}" if name else "Source", **context)


def _sources() -> tuple[SourceRegistry, str]:
    try:
        return load_sources(most_seconds=MOST_SECONDS), ""
    except ConfigurationError as error:
        return SourceRegistry(()), str(error)


def _preview(name: str, interrogation_key: str) -> tuple[SourcePreview | None, str]:
    try:
        return (
            preview_source(
                load_sources(most_seconds=MOST_SECONDS).get(name),
                bounds=live_registry().get(interrogation_key).bounds if interrogation_key else Bounds(),
                redactor=_redactor(),
                delimiter_key=settings.DELIMITER_KEY,
                until=time.monotonic() + MOST_SECONDS,
            ),
            "",
        )
    except HolocronError as error:
        return None, str(error)


def _items(one: PreviewedSubject) -> list[tuple[str, str, int, str]]:
    """Return id, source, bytes and text of each item, sanitised for display."""
    return [
        (item.evidence_id, item.source_uri or "", len(item.text.encode()), visible(item.text, ITEM_CHARACTERS))
        for item in one.bundle.items
    ]


@lru_cache(maxsize=1)
def _redactor() -> Redactor:
    return read_redactor(settings.REDACTION_FILE)
