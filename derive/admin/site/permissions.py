"""Permissions: their names, and the check that every page uses.

Viewing a page needs ``view_*`` of its model. Everything else is checked on the server wherever it is used, even if the
link to it is hidden.
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
VIEW_REVIEWS = "derive.view_factreview"
REVIEW_FACTS = "derive.review_facts"
SET_REVIEW_POLICY = "derive.set_review_policy"
VIEW_EVENTS = "derive.view_jobevent"
VIEW_WORKERS = "derive.view_worker"
VIEW_BATCHES = "derive.view_batch"
VIEW_DERIVATIONS = "derive.view_derivation"
VIEW_GOLDEN_CASES = "derive.view_goldencase"
EDIT_GOLDEN_CASES = "derive.edit_golden_cases"
VIEW_EXPERIMENTS = "derive.view_experiment"
RUN_EXPERIMENTS = "derive.run_experiments"
VIEW_MODELS = "derive.view_languagemodel"
VIEW_ENDPOINTS = "derive.view_endpoint"
VIEW_INTERROGATIONS = "derive.view_interrogation"
PROMOTE_INTERROGATIONS = "derive.promote_interrogations"
VIEW_SCHEDULE_RUNS = "derive.view_schedulerun"
VIEW_SEALS = "derive.view_seal"
VIEW_ALERTS = "derive.view_alert"
CHANGE_ALERT_RULES = "derive.change_alertrule"
SHARE_VIEWS = "derive.share_views"
MANAGE_SHARED_VIEWS = "derive.manage_shared_views"
CHANGE_SCHEDULES = "django_q.change_schedule"
"""Effectively makes a user a maintainer: the row names the function to call."""


class Denied(PermissionDenied):
    """The user lacks ``permission``."""

    def __init__(self, permission: str) -> None:
        super().__init__(f"needs the permission {permission}")
        self.permission = permission


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the request's user has a permission."""
    return bool(request.user.is_active and request.user.has_perm(permission))


def demand(request: HttpRequest, *permissions: str) -> None:
    """Raise Denied, which becomes a 403 and an audit log line, unless the user has all of these permissions."""
    for permission in permissions:
        if not may(request, permission):
            raise Denied(permission)


def actor_of(request: HttpRequest) -> str:
    """Return the actor recorded in events for this user, limited to the column's 200 characters."""
    return request.user.get_username()[:200]
