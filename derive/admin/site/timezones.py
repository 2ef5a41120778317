"""Times in the viewer's time zone: the browser sends it in a cookie (``holocron.js``), and pages are rendered in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone

COOKIE = "holocron_zone"
FIELD = "zone"
"""The hidden field beside each typed time (``admin/parts/when.html``) with the zone the page showed."""


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(form: QueryDict) -> str:
    """Return the time zone a form's times were typed in; empty if missing or unknown."""
    name = form.get(FIELD, "")
    return name if name in _known() else ""


def as_typed(form: QueryDict) -> AbstractContextManager[None]:
    """Parse times in the form's time zone, even if the viewer's has changed since it was shown."""
    name = zone_of(form)
    return timezone.override(ZoneInfo(name)) if name else nullcontext()


class ViewerTimeZoneMiddleware:
    """Activates the cookie's time zone for the request; UTC if it is missing or unknown."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Handle the request in the viewer's time zone."""
        name = request.COOKIES.get(COOKIE, "").replace("%2F", "/")
        # Checked against a list, since ZoneInfo would use the untrusted name as a path.
        if name not in _known():
            return self._get_response(request)
        with timezone.override(ZoneInfo(name)):
            return self._get_response(request)
