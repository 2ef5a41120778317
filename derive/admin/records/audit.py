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
    "purged",
)
"""Events caused by people; only these, of millions, are indexed by number and by actor."""
# Literals exactly as in the index: a parameter never matches a filtered index.
_IS_ACT = Condition("event IN ('" + "', '".join(ACTS) + "')")
_LABELS = {JobEventName.COMPLETED: "succeeded or failed"}
EXPORT_BATCH = 1_000
COLUMNS = (
    *("event_seq", "at_utc", "job_id", "run_id", "event", "from_status", "to_status", "actor", "db_user"),
    *("reason", "detail_json"),
)


class EventFilter(ListFilter):
    """The filters of the audit; by default only what people did to queued jobs."""

    rows_of, sequence, time = JobEvent, "event_seq", "at_utc"

    who = ChoiceFilter("Whose", [("all", "all events")], any_value="actions on queued jobs")
    event = ChoiceFilter("Event", [(name, _LABELS.get(name, name)) for name in JobEventName])
    actor = TextFilter("Actor")
    job = GuidFilter("Job id", is_wide=True)
    since = MomentFilter("Since", placeholder=TIMES)
    until = MomentFilter("Before")

    @property
    def is_everything(self) -> bool:
        """Whether all events are meant: filtering by a job or a worker's event implies it."""
        event = self.values["event"]
        return self.values["who"] == "all" or bool(self.query.get("job")) or (bool(event) and event not in ACTS)

    @override
    def arms(self) -> list[tuple[Condition, ...]]:
        job, actor = self.values["job"], self.values["actor"]
        whose = (equals("job_id", job),) if job else () if self.is_everything else (_IS_ACT,)
        return [(*whose, equals("actor", actor)) if actor and not self.is_everything else whose]

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
