"""The sidebar: the pages a user may see, and saved views of the jobs."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from derive.admin.site import permissions

SAVED_VIEWS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Ready", "play_circle", {"status": "NEW"}),
    ("Running", "sync", {"status": "RUNNING"}),
    ("Failed today", "error", {"status": "FAILED", "ended": "today"}),
    ("Gave up", "inbox", {"status": "DEADLETTER"}),
)
RECORDS = (
    ("Batches", "stacks", "derive_batch", "derive.view_batch"),
    ("Runs", "history", "derive_run", "derive.view_run"),
    ("Facts", "format_quote", "derive_fact", "derive.view_fact"),
    ("Artifacts", "draft", "derive_artifact", "derive.view_artifact"),
    ("Workers", "memory", "derive_worker", "derive.view_worker"),
    ("Models", "neurology", "derive_languagemodel", "derive.view_languagemodel"),
    ("Interrogations", "quiz", "derive_interrogation", "derive.view_interrogation"),
    ("Sources", "folder_open", "derive_source", "derive.view_interrogation"),
    ("Audit", "fact_check", "derive_jobevent", "derive.view_jobevent"),
    ("Seals", "verified", "derive_seal", "derive.view_seal"),
    ("Lake deletions", "delete_sweep", "derive_lakedeletion", "derive.view_lakedeletion"),
)
AUTOMATION = (
    ("Alerts", "notifications", "derive_alert", "derive.view_alert"),
    ("Alert rules", "notification_settings", "derive_alertrule", "derive.view_alertrule"),
    ("Tasks and runs", "autorenew", "derive_schedulerun", "derive.view_schedulerun"),
    ("Retry policies", "replay", "derive_retrypolicy", "derive.view_retrypolicy"),
    ("Escalation", "trending_up", "derive_escalationpolicy", "derive.view_escalationpolicy"),
    ("Recurring", "event_repeat", "derive_recurringinterrogation", "derive.view_recurringinterrogation"),
    ("Retention", "auto_delete", "derive_retentionpolicy", "derive.view_retentionpolicy"),
    ("Schedules", "schedule", "derive_systemschedule", "django_q.view_schedule"),
)
ADMINISTRATION = (
    ("Users", "person", "auth_user", "auth.view_user"),
    ("Groups", "group", "auth_group", "auth.view_group"),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return unfold's navigation for this request's user (``UNFOLD["SIDEBAR"]["navigation"]``)."""
    overview = _item("Overview", "dashboard", reverse("admin:index"), is_active=request.path == reverse("admin:index"))
    groups: list[dict[str, Any]] = [
        {"title": None, "items": [overview]},
        {"title": "Jobs", "items": _job_views(request), "separator": True},
        {"title": "Review", "items": _review_views(request), "separator": True},
        {"title": "Records", "items": _permitted(request, RECORDS), "separator": True},
        {"title": "Automation", "items": _permitted(request, AUTOMATION), "separator": True},
        {"title": "Administration", "items": _permitted(request, ADMINISTRATION), "separator": True},
    ]
    return [group for group in groups if group["items"]]


def _job_views(request: HttpRequest) -> list[dict[str, Any]]:
    if not permissions.may(request, "derive.view_job"):
        return []
    jobs = reverse("admin:derive_job_changelist")
    mine = ("Mine", "person", {"created_by": permissions.actor_of(request)})
    views = []
    for title, icon, query in (*SAVED_VIEWS, mine):
        link = f"{jobs}?{urlencode(query)}"
        views.append(_item(title, icon, link, is_active=request.get_full_path() == link))
    if permissions.may(request, permissions.ACT_ON_JOBS):
        form = reverse("admin:derive_job_act_enqueue")
        views.append(_item("Enqueue", "add_circle", form, is_active=request.path == form))
        if permissions.may(request, permissions.SEE_PAYLOADS):
            file = reverse("admin:derive_job_act_upload")
            views.append(_item("Upload", "upload_file", file, is_active=request.path.startswith(file)))
    if permissions.may(request, permissions.PURGE_JOBS):
        form = reverse("admin:derive_job_purge")
        views.append(_item("Purge", "auto_delete", form, is_active=request.path == form))
    is_elsewhere = any(view["active"] for view in views)
    return [_item("All jobs", "list", jobs, is_active=request.path.startswith(jobs) and not is_elsewhere), *views]


def _review_views(request: HttpRequest) -> list[dict[str, Any]]:
    views = []
    if permissions.may(request, permissions.REVIEW_FACTS) and permissions.may(request, permissions.SEE_PAYLOADS):
        page = reverse("admin:derive_factreview_changelist")
        views.append(_item("Review facts", "rate_review", page, is_active=request.path == page))
    if permissions.may(request, permissions.VIEW_REVIEWS):
        page = reverse("admin:derive_factreview_agreement")
        views.append(_item("Agreement", "handshake", page, is_active=request.path == page))
    if permissions.may(request, permissions.SET_REVIEW_POLICY):
        page = reverse("admin:derive_factreview_policy")
        views.append(_item("How much is reviewed", "tune", page, is_active=request.path == page))
    return views


def _permitted(request: HttpRequest, pages: tuple[tuple[str, str, str, str], ...]) -> list[dict[str, Any]]:
    items = []
    for title, icon, model, permission in pages:
        link = reverse(f"admin:{model}_changelist")
        if permissions.may(request, permission):
            items.append(_item(title, icon, link, is_active=request.path.startswith(link)))
    return items


def _item(title: str, icon: str, link: str, *, is_active: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": link, "active": is_active}
