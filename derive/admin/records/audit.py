"""Audit: every event of every job, filtered, paged by key, and exported."""

import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.lists.filters import TIMES, ChoiceFilter, GuidFilter, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import without
from derive.admin.site import permissions
from derive.export.forms import csv_writer, without_formula
from derive.models import JobEvent
from derive.states import JobEventName

ACTS = (
    *("cancel_requested", "cancelled", "requeued", "rescheduled", "reprioritized", "model_changed", "held", "unheld"),
    *("purged", "fact_reviewed"),
)
"""What people do to jobs that are queued; with enqueues, these alone of all events are indexed by number and actor."""
# Literals exactly as in the indexes: a parameter never matches a filtered index.
_IS_ACT = Condition("event IN ('" + "', '".join(ACTS) + "')")
_IS_ENQUEUE = Condition("event = 'enqueued'")
_LABELS = {JobEventName.COMPLETED: "succeeded or failed"}
EXPORT_BATCH = 1_000
COLUMNS = (
    *("event_seq", "at_utc", "job_id", "run_id", "event", "from_status", "to_status", "actor", "db_user"),
    *("reason", "detail_json"),
)


class EventFilter(ListFilter):
    """The filters of the audit; by default what people and schedules did, without what workers do."""

    rows_of, sequence, time = JobEvent, "event_seq", "at_utc"

    who = ChoiceFilter(
        "Show", [("acts", "actions on queued jobs"), ("all", "all events")], any_value="enqueues and actions"
    )
    event = ChoiceFilter("Event", [(name, _LABELS.get(name, name)) for name in JobEventName])
    actor = TextFilter("Actor")
    job = GuidFilter("Job id", is_wide=True)
    since = MomentFilter("Since", placeholder=TIMES)
    until = MomentFilter("Before")

    @property
    def is_everything(self) -> bool:
        """Whether all events are meant: filtering by a job or a worker's event implies it."""
        event = self.values["event"]
        of_workers = bool(event) and event not in {*ACTS, JobEventName.ENQUEUED}
        return self.values["who"] == "all" or bool(self.query.get("job")) or of_workers

    @override
    def arms(self) -> list[tuple[Condition, ...]]:
        job, actor = self.values["job"], self.values["actor"]
        if self.is_everything:
            return [(equals("job_id", job),) if job else ()]
        return [(kind, equals("actor", actor)) if actor else (kind,) for kind in self._indexed()]

    def _indexed(self) -> list[Condition]:
        """Return the conditions of the indexes that hold what is wanted."""
        event = self.values["event"]
        kinds = [_IS_ACT] if event != JobEventName.ENQUEUED else []
        return kinds if event in ACTS or self.values["who"] == "acts" else [*kinds, _IS_ENQUEUE]

    @override
    def rest(self) -> Iterator[Condition]:
        if self.values["event"]:
            yield equals("t.event", self.values["event"])
        if self.values["actor"] and self.is_everything:
            yield equals("t.actor", self.values["actor"])


@admin.register(JobEvent)
class JobEventAdmin(KeysetAdmin):
    """All events, newest first."""

    filters, columns = EventFilter, COLUMNS
    template, title = "admin/audit/list.html", "Audit"

    @override
    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        return [path("export/<slug:form>/", export, name="derive_jobevent_export"), *super().get_urls()]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"every_event": without(request.GET, "who", who="all")})

    def export(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Stream every matching event as CSV or JSONL, in constant memory."""
        permissions.demand(request, permissions.VIEW_EVENTS)
        write = {"csv": _as_csv, "jsonl": _as_jsonl}.get(form)
        if write is None:
            return HttpResponse("csv or jsonl", status=404, content_type="text/plain")
        walk = EventFilter(request.GET).walk()
        rows = (event for page in walk.batches(rows=EXPORT_BATCH, start=walk.start()) for event in self.rows(page))
        kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}[form]
        answer = StreamingHttpResponse(write(rows), content_type=kind)
        answer["Content-Disposition"] = f'attachment; filename="events-{datetime.now(UTC):%Y%m%d-%H%M%S}.{form}"'
        return answer


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
        writer.writerow(without_formula(value) for value in _values(event).values())
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
