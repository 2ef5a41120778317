"""Who may do what: the names of the permissions, and the one question every page asks.

Looking at a page is ``view_*`` of its model. What lies beyond is checked on the server wherever it is used, also where
the link to it was hidden.
"""

import logging

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

SEE_PAYLOADS = "derive.see_payloads"
ACT_ON_JOBS = "derive.act_on_jobs"

logger = logging.getLogger(__name__)


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the user of this request has a permission."""
    return bool(request.user.is_active and request.user.has_perm(permission))


def demand(request: HttpRequest, permission: str) -> None:
    """Raise PermissionDenied, which becomes a 403, and leave a line in the log, unless the user has the permission."""
    if may(request, permission):
        return
    logger.warning(
        "access.denied",
        extra={
            "actor": actor_of(request),
            "method": request.method,
            "path": request.path[:500],
            "permission": permission,
        },
    )
    raise PermissionDenied(f"needs the permission {permission}")


def actor_of(request: HttpRequest) -> str:
    """Return the name that events are to bear for this user, as long as the column takes it (200 characters)."""
    return request.user.get_username()[:200]
