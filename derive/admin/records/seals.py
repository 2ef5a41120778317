"""Seals: how far the history is sealed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from typing_extensions import override

from derive.admin.lists.columns import column
from derive.admin.lists.filters import TIMES, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Page, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.site import permissions
from derive.models import JobEvent, Seal, TaskState

SEALING, VERIFYING = "seal", "verify_sample"
"""The tasks that seal and verify on schedule (``derive.schedules.system_tasks``)."""


class SealFilter(ListFilter):
    """The filters of the list of seals."""

    rows_of, sequence, time = Seal, "seal_seq", "created_utc"

    q = TextFilter("Head", placeholder="a complete head, 64 digits", max_length=64, is_wide=True)
    since = MomentFilter("Sealed since", placeholder=TIMES)
    until = MomentFilter("Sealed before")

    @override
    def rest(self) -> list[Condition]:
        # A head is searched row by row: there is one per thousand events, and no index on it.
        return [equals("t.sha256", self.values["q"].lower())] if self.values["q"] else []


@admin.register(Seal)
class SealAdmin(KeysetAdmin):
    """All seals, newest first, paged by key, with the last scheduled sealing and verification."""

    filters = SealFilter
    columns = ("seal_seq", "first_event_seq", "last_event_seq", "event_count", "sha256", "created_utc", "db_user")
    template, title = "admin/seals/list.html", "Seals"

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Name where the document is; while it waits for the lake, show it."""
        fields = [name for name in super().get_fields(request, obj) if name != "shown_pending_json"]
        return [*fields, "stored_in", *(["shown_pending_json"] if obj is not None and obj.pending_json else [])]

    @column("document is")
    def stored_in(self, seal: Seal) -> str:
        """Return where the seal's document is, in the words of the list."""
        return "in SQL; waits for the lake" if seal.pending_json else "in the lake"

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the seals and whether the lake has their documents; the documents are not read."""
        seals = super().rows(page)
        pending = Seal.objects.filter(seal_seq__in=page.sequences, pending_json__isnull=False)
        waiting = set(pending.values_list("seal_seq", flat=True))
        for seal in seals:
            seal.is_stored = seal.seal_seq not in waiting
        return seals

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        permissions.demand(request, permissions.VIEW_SEALS)
        last = Seal.objects.order_by("-seal_seq").only(*self.columns).first()
        tasks = TaskState.objects.in_bulk([SEALING, VERIFYING])
        facts = {
            "last": last,
            "waits": _waits(last),
            "sealing": tasks.get(SEALING),
            "verifying": tasks.get(VERIFYING),
            "history": _history(request),
        }
        return super().changelist_view(request, facts)


def _history(request: HttpRequest) -> str:
    """Return the URL of the verification's history; empty for users who may not see it."""
    if not permissions.may(request, permissions.VIEW_SCHEDULE_RUNS):
        return ""
    return f"{reverse('admin:derive_schedulerun_changelist')}?task={VERIFYING}#runs"


def _waits(last: Any) -> bool:
    """Whether there are events not yet sealed."""
    sealed = 0 if last is None else last.last_event_seq
    return JobEvent.objects.filter(event_seq__gt=sealed).exists()
