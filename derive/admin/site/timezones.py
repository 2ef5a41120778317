"""Times in the viewer's own zone: the browser tells it in a cookie (``holocron.js``), pages are rendered in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone

COOKIE = "holocron_zone"
FIELD = "zone"
"""Beside each time that is typed (``admin/parts/when.html``): the zone that the page said it would be read in."""


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(form: QueryDict) -> str:
    """Return the zone that a form's times were typed in; empty when it does not say, or nobody knows it."""
    name = form.get(FIELD, "")
    return name if name in _known() else ""


def as_typed(form: QueryDict) -> AbstractContextManager[None]:
    """Read times in the zone that the form said, whatever the viewer's has become since it was shown."""
    name = zone_of(form)
    return timezone.override(ZoneInfo(name)) if name else nullcontext()


class ViewerTimeZoneMiddleware:
    """Activates the zone of the cookie while a request is answered; UTC when there is none or nobody knows it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request in the viewer's zone."""
        name = request.COOKIES.get(COOKIE, "").replace("%2F", "/")
        # A list decides, not ZoneInfo: the name comes from outside and would become a path.
        if name not in _known():
            return self._get_response(request)
        with timezone.override(ZoneInfo(name)):
            return self._get_response(request)
