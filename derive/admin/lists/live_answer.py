"""The answer to a page that asks for its live parts: what changed, or that nothing did."""

import hashlib
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

REFRESH_SECONDS = 3


def answer(request: HttpRequest, *, version: object, render: Callable[[], str], is_over: bool = False) -> HttpResponse:
    """Return the parts, or 304 without rendering them if the client has this version.

    ``is_over`` says that nothing will move any more, so that the client reads the whole page once and stops asking.
    """
    whole = f"{version} {timezone.get_current_timezone_name()} {request.get_full_path()} {request.user.pk}"
    tag = f'"{hashlib.sha256(whole.encode()).hexdigest()[:32]}"'
    known = request.headers.get("If-None-Match", "").removeprefix("W/")
    response = HttpResponse(status=304) if known == tag else HttpResponse(render())
    response["ETag"] = tag
    response["Cache-Control"] = "no-store"
    if is_over:
        response["X-Live"] = "over"
    return response
