"""Audit: every event of every job, filtered, paged by key, and exported whole."""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.lists.keyset import Condition, Page, Walk, equals, within
from derive.admin.lists.pages import chips, paging, show, without
from derive.admin.lists.query_params import QueryReader
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.lists.sequence_for_time import Seeker
from derive.admin.site import permissions
from derive.export.forms import csv_writer, unarmed
from derive.models import JobEvent
from derive.states import JobEventName

EVENTS = tuple(event.value for event in JobEventName)
ACTS = (
    *("cancel_requested", "cancelled", "requeued", "rescheduled", "reprioritized", "model_changed", "held", "unheld"),
    "purged",
)
"""What people do; of millions of events these alone are indexed by number and by actor."""
# Literals, in the index's own words: a parameter never matches a filtered index.
_IS_ACT = Condition("event IN ('" + "', '".join(ACTS) + "')")
LABELS = {
    "who": "Whose",
    "event": "Event",
    "actor": "Actor",
    "job": "Job id",
    "since": "Since",
    "until": "Before",
}
"""The filters, by what the page calls them."""
EVERY_EVENT = "every event"
EXPORT_BATCH = 1_000
COLUMNS = (
    *("event_seq", "at_utc", "job_id", "run_id", "event", "from_status", "to_status", "actor", "db_user"),
    *("reason", "detail_json"),
)


@dataclass(frozen=True)
class EventFilter:
    """The filters of the audit, as read from an address."""

    everything: bool
    event: str
    actor: str
    job: UUID | None
    since: datetime | None
    until: datetime | None
    problems: tuple[str, ...]

    @classmethod
    def read(cls, query: QueryDict) -> "EventFilter":
        """Read the filters; what cannot be understood is told in ``problems``, and then nothing matches."""
        asked = QueryReader(query, LABELS)
        who, event = asked.one_of("who", ("all",)), asked.one_of("event", EVENTS)
        return cls(
            # Who names a job or a worker's event wants those.
            everything=who == "all" or bool(query.get("job")) or (bool(event) and event not in ACTS),
            event=event,
            actor=asked.text("actor"),
            job=asked.guid("job"),
            since=asked.moment("since"),
            until=asked.moment("until"),
            problems=tuple(asked.problems),
        )

    def walk(self) -> Walk:
        """Return the walk over the events that match."""
        if self.problems:
            return Walk(JobEvent, "event_seq", arms=())
        served: list[Condition] = []
        rest = [equals("t.event", self.event)] if self.event else []
        if self.job is not None:
            served.append(equals("job_id", self.job))
        elif not self.everything:
            served.append(_IS_ACT)
        if self.actor and self.everything:
            rest.append(equals("t.actor", self.actor))
        elif self.actor:
            served.append(equals("actor", self.actor))
        rest += within("t.at_utc", since=self.since, until=self.until)
        return Walk(JobEvent, "event_seq", arms=((*served, *self._numbers()),), rest=tuple(rest))

    def _numbers(self) -> Iterator[Condition]:
        seeker = Seeker(JobEvent, sequence="event_seq", time="at_utc")
        if self.since:
            yield Condition("event_seq >= %s", (seeker.first_since(self.since),))
        if self.until:
            yield Condition("event_seq <= %s", (seeker.last_before(self.until),))


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    """The events, newest first."""

    @override
    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        return [path("export/<slug:form>/", export, name="derive_jobevent_export"), *super().get_urls()]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the newest events that match; by default what people did."""
        permissions.demand(request, permissions.VIEW_EVENTS)
        chosen = EventFilter.read(request.GET)
        page = chosen.walk().page(older=request.GET.get("older"), newer=request.GET.get("newer"))
        words = {"all": EVERY_EVENT} if chosen.everything else {}
        set_now = [(name, words.get(request.GET[name], request.GET[name])) for name in LABELS if request.GET.get(name)]
        return show(
            request,
            "admin/audit/list.html",
            title="Audit",
            events=_rows(page),
            paging=paging(request.GET, page),
            chosen=chosen,
            query=request.GET,
            chips=chips(request.GET, set_now, LABELS),
            labels=LABELS,
            every_event=EVERY_EVENT,
            event_names=EVENTS,
            export_query=without(request.GET, []),
        )

    def export(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Stream every event that matches, as CSV or JSONL; however many, in constant memory."""
        permissions.demand(request, permissions.VIEW_EVENTS)
        write = {"csv": _as_csv, "jsonl": _as_jsonl}.get(form)
        if write is None:
            return HttpResponse("csv or jsonl", status=404, content_type="text/plain")
        walk = EventFilter.read(request.GET).walk()
        rows = (event for page in walk.batches(rows=EXPORT_BATCH, start=walk.start()) for event in _rows(page))
        kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}[form]
        answer = StreamingHttpResponse(write(rows), content_type=kind)
        answer["Content-Disposition"] = f'attachment; filename="events-{datetime.now(UTC):%Y%m%d-%H%M%S}.{form}"'
        return answer


def _rows(page: Page) -> list[Any]:
    return list(JobEvent.objects.filter(event_seq__in=page.sequences).order_by("-event_seq"))


def _values(event: Any) -> dict[str, Any]:
    values = {name: getattr(event, name) for name in COLUMNS}
    values["at_utc"] = event.at_utc.astimezone(UTC).isoformat()
    return {name: str(value) if isinstance(value, UUID) else value for name, value in values.items()}


def _as_jsonl(events: Iterable[Any]) -> Iterator[str]:
    for event in events:
        yield json.dumps(_values(event), ensure_ascii=False) + "\n"


def _as_csv(events: Iterable[Any]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv_writer(line)
    writer.writerow(COLUMNS)
    for event in events:
        writer.writerow(unarmed(value) for value in _values(event).values())
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
