"""Addresses as every page may take them: without U+0000, which no text of the database can hold."""

from collections.abc import Callable

from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase

REPLACEMENT = "\ufffd"
"""Django itself puts it where an address holds bytes that are not UTF-8: it equals nothing that is stored."""


class CleanAddress:
    """Replaces U+0000 in a query string, for every list there is, Django's own included; a path with it is a 404."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request by its cleaned address."""
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
