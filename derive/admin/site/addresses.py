"""Removes U+0000, which database texts cannot hold, from every request's query string."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase

REPLACEMENT = "\ufffd"
"""Django's own replacement for bytes that are not UTF-8; it matches no stored value."""


class StripNullMiddleware:
    """Replaces U+0000 in a query string for every list, including Django's own; a path containing it is a 404."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle the request with its cleaned query string."""
        if "\x00" in request.path:
            raise Http404("There is no such page.")
        if "%00" in request.META.get("QUERY_STRING", ""):
            request.GET = _cleaned(request.GET)  # type: ignore[assignment]  # as Django's own, once it is immutable
        return self._get_response(request)


def _cleaned(query: QueryDict) -> QueryDict:
    cleaned = QueryDict(mutable=True)
    for name, values in query.lists():
        cleaned.setlistdefault(_clean(name)).extend(map(_clean, values))
    cleaned._mutable = False  # noqa: SLF001 - as every query string that Django reads
    return cleaned


def _clean(text: str) -> str:
    return text.replace("\x00", REPLACEMENT)
