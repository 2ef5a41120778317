"""403 responses: users without a permission, and forms from other sites, get an explanation and a log line."""

import logging
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse

from derive.admin.site.permissions import Denied
from derive.admin.site.refusals import refuse

logger = logging.getLogger(__name__)

_WHY = {
    "owner": "This belongs to another user; only they may see or use it.",
    "staff": "Your account has no access to this page. Ask an administrator for one of the groups Viewer, Operator or "
    "Maintainer.",
}


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request without permission. Every view's refusal comes here, as ``handler403``."""
    permission = exception.permission if isinstance(exception, Denied) else "staff"
    why = _WHY.get(permission, f"This needs the permission {permission}. Ask an administrator for a group that has it.")
    return _deny(request, permission, why)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a POST that failed the CSRF check (``CSRF_FAILURE_VIEW``), naming the setting to change, if any."""
    if reason.startswith(("Origin checking failed", "Referer checking failed")):
        return _deny(request, "csrf", _why_not_trusted(request))
    if reason == "CSRF cookie not set.":
        return _deny(
            request,
            "csrf",
            "Your browser sent no CSRF cookie. Allow cookies for this site, reload the page and try again. Where "
            "CSRF_TRUSTED_ORIGINS names an https:// address, cookies are sent over https only.",
        )
    return _deny(request, "csrf", "This page is out of date: your session changed since it was loaded. Reload it.")


def _why_not_trusted(request: HttpRequest) -> str:
    sender = urlsplit(request.headers.get("Origin") or request.headers.get("Referer") or "")
    if sender.scheme not in {"http", "https"} or not sender.netloc:
        return "Your browser sent no Origin or Referer header. Allow it to send one to this site."
    origin = f"{sender.scheme}://{sender.netloc}"[:200]
    return (
        f"This form was sent from {origin}, which this server does not trust. If that is Holocron's own address, for "
        f"example behind a TLS proxy, an administrator sets CSRF_TRUSTED_ORIGINS={origin} and restarts the web server."
    )


def _deny(request: HttpRequest, permission: str, why: str) -> HttpResponse:
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
    return refuse(request, status=403, title="Not allowed", why=why)
