"""The sidebar: a few entries, each with its pages as tabs; only what a user may see."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from derive.admin.site import permissions
from derive.admin.site.permissions import ACT_ON_JOBS, REVIEW_FACTS, SEE_PAYLOADS


@dataclass(frozen=True)
class PageLink:
    """A page: its title, the name of its address, and the permissions that it needs."""

    title: str
    name: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class SidebarEntry:
    """An entry of the sidebar: it opens the first of its pages that the user may see; all are tabs on each."""

    title: str
    icon: str
    pages: tuple[PageLink, ...]


def _list_of(title: str, model: str, permission: str = "") -> PageLink:
    return PageLink(title, f"{model}_changelist", (permission or f"derive.view_{model.removeprefix('derive_')}",))


GROUPS: tuple[tuple[str | None, tuple[SidebarEntry, ...]], ...] = (
    (None, (SidebarEntry("Overview", "dashboard", (PageLink("Overview", "index", ()),)),)),
    (
        "Jobs",
        (
            SidebarEntry("All jobs", "list", (_list_of("Jobs", "derive_job"),)),
            SidebarEntry("Batches", "stacks", (_list_of("Batches", "derive_batch"),)),
            SidebarEntry("Enqueue", "add_circle", (PageLink("Enqueue", "derive_job_act_enqueue", (ACT_ON_JOBS,)),)),
            SidebarEntry(
                "Upload",
                "upload_file",
                (PageLink("Upload", "derive_job_act_upload", (ACT_ON_JOBS, SEE_PAYLOADS)),),
            ),
        ),
    ),
    (
        "Answers",
        (
            SidebarEntry("Facts", "format_quote", (_list_of("Facts", "derive_fact"),)),
            SidebarEntry(
                "Review",
                "rate_review",
                (
                    PageLink("Review facts", "derive_factreview_changelist", (REVIEW_FACTS, SEE_PAYLOADS)),
                    PageLink("Agreement", "derive_factreview_agreement", (permissions.VIEW_REVIEWS,)),
                    PageLink("How much is reviewed", "derive_factreview_policy", (permissions.SET_REVIEW_POLICY,)),
                ),
            ),
            SidebarEntry("Runs", "history", (_list_of("Runs", "derive_run"), _list_of("Artifacts", "derive_artifact"))),
        ),
    ),
    (
        "Setup",
        (
            SidebarEntry(
                "Interrogations",
                "quiz",
                (
                    _list_of("Interrogations", "derive_interrogation"),
                    _list_of("Golden cases", "derive_goldencase"),
                    _list_of("Experiments", "derive_experiment"),
                ),
            ),
            SidebarEntry(
                "Sources",
                "folder_open",
                (
                    _list_of("Sources", "derive_source", permissions.VIEW_INTERROGATIONS),
                    _list_of("Derivations", "derive_derivation"),
                ),
            ),
            SidebarEntry("Models", "neurology", (_list_of("Models", "derive_languagemodel"),)),
            SidebarEntry("Workers", "memory", (_list_of("Workers", "derive_worker"),)),
        ),
    ),
    (
        "Operations",
        (
            SidebarEntry(
                "Automation",
                "autorenew",
                (
                    _list_of("Tasks and runs", "derive_schedulerun"),
                    _list_of("Retry policies", "derive_retrypolicy"),
                    _list_of("Escalation", "derive_escalationpolicy"),
                    _list_of("Recurring", "derive_recurringinterrogation"),
                    _list_of("Retention", "derive_retentionpolicy"),
                    _list_of("Schedules", "derive_systemschedule", "django_q.view_schedule"),
                ),
            ),
            SidebarEntry(
                "Alerts",
                "notifications",
                (_list_of("Alerts", "derive_alert"), _list_of("Alert rules", "derive_alertrule")),
            ),
            SidebarEntry(
                "Audit",
                "fact_check",
                (
                    _list_of("Audit", "derive_jobevent"),
                    _list_of("Seals", "derive_seal"),
                    _list_of("Lake deletions", "derive_lakedeletion"),
                ),
            ),
            SidebarEntry("Purge", "auto_delete", (PageLink("Purge", "derive_job_purge", (permissions.PURGE_JOBS,)),)),
            SidebarEntry(
                "Users",
                "person",
                (_list_of("Users", "auth_user", "auth.view_user"), _list_of("Groups", "auth_group", "auth.view_group")),
            ),
        ),
    ),
)


def pages_of(request: HttpRequest) -> Iterator[tuple[SidebarEntry, PageLink]]:
    """Yield the pages that a user may see, each with its entry."""
    for _title, entries in GROUPS:
        for entry in entries:
            for page in entry.pages:
                if all(permissions.may(request, permission) for permission in page.needs):
                    yield entry, page


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return unfold's navigation for this request's user (``UNFOLD["SIDEBAR"]["navigation"]``)."""
    links = {page.name: reverse(f"admin:{page.name}") for _entry, page in pages_of(request)}
    # The page that is open is the one whose address is the longest beginning of this one; all begin as the overview's.
    index = links["index"]
    begun = [
        link for link in links.values() if request.path.startswith(link) and (link != index or request.path == index)
    ]
    opened = max(begun, key=len, default="")
    groups = [
        {"title": title, "items": [item for entry in entries if (item := _item(entry, links, opened))]}
        for title, entries in GROUPS
    ]
    return [group for group in groups if group["items"]]


def _item(entry: SidebarEntry, links: dict[str, str], opened: str) -> dict[str, Any] | None:
    tabs = [
        {"title": page.title, "link": links[page.name], "active": links[page.name] == opened}
        for page in entry.pages
        if page.name in links
    ]
    if not tabs:
        return None
    is_active = any(tab["active"] for tab in tabs)
    return {"title": entry.title, "icon": entry.icon, "link": tabs[0]["link"], "active": is_active, "tabs": tabs}
