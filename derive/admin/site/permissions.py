"""Who may do what: the names of the permissions, and the one question every page asks.

Looking at a page is ``view_*`` of its model. What lies beyond is checked on the server wherever it is used, also where
the link to it was hidden.
"""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

SEE_PAYLOADS = "derive.see_payloads"
ACT_ON_JOBS = "derive.act_on_jobs"
PURGE_JOBS = "derive.purge_jobs"
VIEW_JOBS = "derive.view_job"
VIEW_RUNS = "derive.view_run"
VIEW_ARTIFACTS = "derive.view_artifact"
VIEW_FACTS = "derive.view_fact"
VIEW_EVENTS = "derive.view_jobevent"
VIEW_WORKERS = "derive.view_worker"
VIEW_INTERROGATIONS = "derive.view_interrogation"
VIEW_SCHEDULE_RUNS = "derive.view_schedulerun"
VIEW_SEALS = "derive.view_seal"
CHANGE_SCHEDULES = "django_q.change_schedule"
"""Whoever may is a maintainer: the row names what is called."""


class Denied(PermissionDenied):
    """Somebody asked for what they may not have; ``permission`` is what they lack."""

    def __init__(self, permission: str) -> None:
        super().__init__(f"needs the permission {permission}")
        self.permission = permission


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the user of this request has a permission."""
    return bool(request.user.is_active and request.user.has_perm(permission))


def demand(request: HttpRequest, *permissions: str) -> None:
    """Raise Denied, which becomes a 403 and an audit line, unless the user has all of these permissions."""
    for permission in permissions:
        if not may(request, permission):
            raise Denied(permission)


def actor_of(request: HttpRequest) -> str:
    """Return the name that events are to bear for this user, as long as the column takes it (200 characters)."""
    return request.user.get_username()[:200]
