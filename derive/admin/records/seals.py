"""Seals: how far the history is sealed, link by link of its chain."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from typing_extensions import override

from derive.admin.lists.keyset import Condition, Walk, equals, within
from derive.admin.lists.pages import chips, paging, show
from derive.admin.lists.query_params import QueryReader
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.lists.sequence_for_time import Seeker
from derive.admin.site import permissions
from derive.models import JobEvent, Seal, TaskState

LABELS = {"q": "Head", "since": "Sealed since", "until": "Sealed before"}
"""The filters, by what the page calls them."""
COLUMNS = ("seal_seq", "first_event_seq", "last_event_seq", "event_count", "sha256", "created_utc", "db_user")
SEALING, VERIFYING = "seal", "verify_sample"
"""What seals and verifies by itself (``derive.schedules.system_tasks``)."""


@admin.register(Seal)
class SealAdmin(ReadOnlyAdmin):
    """The seals, newest first, paged by key."""

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the newest seals that match, and how the last sealing and the last verification went."""
        permissions.demand(request, permissions.VIEW_SEALS)
        asked = QueryReader(request.GET, LABELS)
        page = _walk(asked).page(older=request.GET.get("older"), newer=request.GET.get("newer"))
        last = Seal.objects.order_by("-seal_seq").only(*COLUMNS).first()
        tasks = TaskState.objects.in_bulk([SEALING, VERIFYING])
        return show(
            request,
            "admin/seals/list.html",
            title="Seals",
            seals=_rows(page.sequences),
            paging=paging(request.GET, page),
            query=request.GET,
            problems=asked.problems,
            chips=chips(request.GET, _active(request.GET), LABELS),
            labels=LABELS,
            last=last,
            waits=_waits(last),
            sealing=tasks.get(SEALING),
            verifying=tasks.get(VERIFYING),
            history=_history(request),
        )


def _history(request: HttpRequest) -> str:
    """Return where all times of the verification are told; empty for who may not see that."""
    if not permissions.may(request, permissions.VIEW_SCHEDULE_RUNS):
        return ""
    return f"{reverse('admin:derive_schedulerun_changelist')}?task={VERIFYING}#runs"


def _walk(asked: QueryReader) -> Walk:
    head, since, until = asked.text("q"), asked.moment("since"), asked.moment("until")
    if asked.problems:
        return Walk(Seal, "seal_seq", arms=())
    # A head is looked for row by row: there is one in a thousand events, and no index beside the key.
    rest = [equals("t.sha256", head.lower())] if head else []
    rest += within("t.created_utc", since=since, until=until)
    return Walk(Seal, "seal_seq", arms=(tuple(_numbers(since, until)),), rest=tuple(rest))


def _numbers(since: Any, until: Any) -> Iterator[Condition]:
    seeker = Seeker(Seal, sequence="seal_seq", time="created_utc")
    if since:
        yield Condition("seal_seq >= %s", (seeker.first_since(since),))
    if until:
        yield Condition("seal_seq <= %s", (seeker.last_before(until),))


def _rows(sequences: list[int]) -> list[tuple[Any, bool]]:
    """Return the seals, each with whether the lake has its document; the document itself is not read."""
    seals = Seal.objects.filter(seal_seq__in=sequences).only(*COLUMNS).order_by("-seal_seq")
    pending = set(
        Seal.objects.filter(seal_seq__in=sequences, pending_json__isnull=False).values_list("seal_seq", flat=True)
    )
    return [(seal, seal.seal_seq not in pending) for seal in seals]


def _active(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, str(query[name])) for name in LABELS if query.get(name)]


def _waits(last: Any) -> bool:
    """Whether something happened that no seal holds yet."""
    sealed = 0 if last is None else last.last_event_seq
    return JobEvent.objects.filter(event_seq__gt=sealed).exists()
