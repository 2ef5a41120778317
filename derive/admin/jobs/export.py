"""Export of the answers of filtered jobs: a page with options, then the rows as a stream.

Any number of rows: some hundred jobs are read at a time and sent as they come. Who exported what, by which filter, and
how many rows were sent is recorded in Django's admin log (``django_admin_log``).
"""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase

from derive.admin.jobs.filters import JobFilter
from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.errors import ConfigurationError
from derive.export.columns import COLUMNS, Rows
from derive.export.forms import Csv, FileFormat, JsonLines, Writer
from derive.export.parquet import ParquetWriter
from derive.export.reading import read_jobs
from derive.models import Job

logger = logging.getLogger(__name__)

BATCH_JOBS = 500
MAX_SHOWN = 20
TITLE = "export of answers"
_KINDS = {
    FileFormat.JSONL: "application/x-ndjson",
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class ExportRequest:
    """What to export, from a form."""

    filter: str
    rows: Rows
    form: FileFormat
    is_exact: bool

    @classmethod
    def read(cls, form: QueryDict) -> "ExportRequest":
        """Parse a form; raise ValueError for values our form cannot send."""
        return cls(
            filter=JobFilter(QueryDict(form.get("filter", ""))).encoded(),
            rows=Rows(form.get("rows", Rows.OUTPUTS)),
            form=FileFormat(form.get("form", FileFormat.JSONL)),
            is_exact=form.get("exact") == "yes",
        )

    def jobs(self) -> JobFilter:
        """Return the filter, restricted to succeeded jobs: others have no answer."""
        return JobFilter(QueryDict(self.filter)).of_succeeded()

    def writer(self) -> Writer:
        """Return the writer of the rows; raise ConfigurationError if Parquet's package is missing."""
        columns = COLUMNS[self.rows]
        if self.form is FileFormat.PARQUET:
            return ParquetWriter(columns)
        return Csv(columns, is_exact=self.is_exact) if self.form is FileFormat.CSV else JsonLines(columns)


def export(request: HttpRequest) -> HttpResponseBase:
    """Show the options (GET), or send the rows (POST)."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.SEE_PAYLOADS)
    if request.method != "POST":
        return _ask(request, JobFilter(request.GET))
    try:
        order = ExportRequest.read(request.POST)
        writer = order.writer()
    except ValueError:
        return _ask(request, JobFilter(QueryDict()), problem="The form is invalid.", status=400)
    except ConfigurationError as error:
        return _ask(request, JobFilter(QueryDict(order.filter)), problem=str(error), status=400)
    if problems := order.jobs().problems:
        return _ask(request, order.jobs(), problem="; ".join(problems), status=400)
    name = f"{order.rows}-{datetime.now(UTC):%Y%m%d-%H%M%S}.{order.form}"
    answer = StreamingHttpResponse(_sent(request, order, writer), content_type=_KINDS[order.form])
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _ask(request: HttpRequest, chosen: JobFilter, *, problem: str = "", status: int = 200) -> HttpResponse:
    count, is_exact = chosen.of_succeeded().walk().count()
    # Only entries of jobs: other objects may have the same title.
    entries = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Job), object_repr=TITLE)
    logged = entries.select_related("user").order_by("-action_time")[:MAX_SHOWN]
    return show(
        request,
        "admin/jobs/export.html",
        status=status,
        title="Export answers",
        chosen=chosen,
        active=[(chosen[name].label, value) for name, value in chosen.in_words()],
        count=count,
        is_exact=is_exact,
        problems=[problem] if problem else chosen.problems,
        logged=[(entry, _read_log(entry)) for entry in logged],
    )


def _sent(request: HttpRequest, order: ExportRequest, writer: Writer) -> Iterator[bytes]:
    """Yield the file in chunks; logs what was sent, even if the client disconnects."""
    entry = LogEntry.objects.create(
        user_id=int(request.user.pk or 0),
        content_type=ContentType.objects.get_for_model(Job),
        object_repr=TITLE,
        action_flag=CHANGE,
        change_message=_log(order, rows=0, is_whole=False),
    )
    sent, is_whole = 0, False
    try:
        yield writer.head()
        walk = order.jobs().walk()
        with closing(walk.batches(rows=BATCH_JOBS, start=walk.start())) as pages:  # type: ignore[type-var]
            for page in pages:
                for batch in read_jobs(order.rows, page.sequences):
                    yield writer.rows(batch)
                    sent += len(batch)
        yield writer.tail()
        is_whole = True
    finally:
        LogEntry.objects.filter(pk=entry.pk).update(change_message=_log(order, rows=sent, is_whole=is_whole))
        fields = {"actor": permissions.actor_of(request), "filter": order.filter, "rows": sent, "is_whole": is_whole}
        logger.info("answers.exported", extra=fields)


def _log(order: ExportRequest, *, rows: int, is_whole: bool) -> str:
    fields = {"rows_of": order.rows, "form": order.form, "filter": order.filter, "rows": rows, "is_whole": is_whole}
    return json.dumps(fields)


def _read_log(entry: LogEntry) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(entry.change_message)
    return fields
