"""Error responses: an admin page for its users, a bare page for others, JSON for programs."""

import logging
from typing import Any

from django.contrib import admin
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

logger = logging.getLogger(__name__)

MAX_WHY_CHARACTERS = 500


def wants_json(request: HttpRequest) -> bool:
    """Whether the client asks for JSON, as scripts and programs do."""
    return "application/json" in request.headers.get("Accept", "")


def refuse(request: HttpRequest, *, status: int, title: str, why: str) -> HttpResponse:
    """Answer a request with a status and a one-sentence reason; needs no user, session or host."""
    why = why[:MAX_WHY_CHARACTERS]
    if wants_json(request):
        return JsonResponse({"error": why}, status=status)
    context: dict[str, Any] = {"title": title, "why": why, "status": status, "layout": "admin/refused_bare.html"}
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        context |= {**admin.site.each_context(request), "title": title, "layout": "admin/base_site.html"}
    return render(request, "admin/refused.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a bad request (``handler400``), with 413 if it is only too large."""
    if isinstance(exception, RequestDataTooBig | TooManyFieldsSent | TooManyFilesSent):
        why = "The request is too large for this page. Nothing was changed."
        return refuse(request, status=413, title="Too large", why=why)
    # Django's own message may quote the request.
    why = "The server cannot read this request; its log says why. Nothing was changed."
    return refuse(request, status=400, title="Bad request", why=why)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown URL (``handler404``)."""
    said = exception.args[0] if exception.args else ""
    # Django's resolver raises with a dictionary of all URLs.
    why = said if isinstance(said, str) and said else "There is no such page."
    return refuse(request, status=404, title="Not found", why=why)


def failed(request: HttpRequest) -> HttpResponse:
    """Answer a failed request (``handler500``) from a static file, since anything else may be broken."""
    why = "The server failed to answer this request; its log says why. Try again."
    if wants_json(request):
        return JsonResponse({"error": why}, status=500)
    return HttpResponse(render_to_string("admin/failed.html", {"why": why}), status=500)


def locked_out(request: HttpRequest, *_details: Any) -> HttpResponse:
    """Answer a log-in locked after too many wrong passwords (``AXES_LOCKOUT_CALLABLE``)."""
    why = "Five log-ins with this user name failed. Log-ins from your address are locked for 15 minutes."
    return refuse(request, status=429, title="Too many attempts", why=why)
