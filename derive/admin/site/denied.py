"""What a refused request gets: 403, a page that says which right is missing, and a line in the log."""

import logging

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from derive.admin.site.permissions import Denied

logger = logging.getLogger(__name__)


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request whose user may not do this. It is ``handler403``, so every view's refusal comes here."""
    permission = exception.permission if isinstance(exception, Denied) else "staff"
    return _refuse(request, permission)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a POST without the token of the user's own page (``CSRF_FAILURE_VIEW``)."""
    return _refuse(request, "csrf", why=reason)


def _refuse(request: HttpRequest, permission: str, why: str = "") -> HttpResponse:
    user = getattr(request, "user", None)
    logger.warning(
        "access.denied",
        extra={
            "actor": user.get_username() if user is not None and user.is_authenticated else "",
            "method": request.method,
            "path": request.path[:500],
            "permission": permission,
        },
    )
    if "application/json" in request.headers.get("Accept", ""):
        return HttpResponse('{"error": "forbidden"}', status=403, content_type="application/json")
    context = {**admin.site.each_context(request), "title": "Not allowed", "permission": permission, "why": why}
    return render(request, "admin/denied.html", context, status=403)
