"""Upload: every line of a file of jobs is checked and shown, then all valid jobs are queued, or none.

``derive_job_act_upload`` receives the file and shows its progress. ``derive_job_act_upload_run`` checks for a while:
the page's script calls it until it is done; without the script a button does. ``derive_job_act_upload_queue`` queues
all valid jobs or none. All state of an upload is on disk, so any process can serve the next request, and a repeated one
queues nothing twice.
"""

import contextlib
import logging
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirectBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from typing_extensions import override

from derive.admin.display import units
from derive.admin.display.untrusted_text import cell
from derive.admin.jobs import long_action
from derive.admin.jobs.form_fields import ReasonField, StorableField, problems_of
from derive.admin.jobs.long_action import LongAction, Step, StepRefused
from derive.admin.jobs.upload.rejected_lines import as_csv
from derive.admin.jobs.upload.upload_handler import (
    FIELD,
    MAX_REQUEST_BYTES,
    MAX_UPLOAD_BYTES,
    ReceivedFile,
    UploadHandler,
    unreadable,
)
from derive.admin.lists.pages import show
from derive.admin.lists.suggestions import live_registry
from derive.admin.site import permissions
from derive.admin.site.refusals import wants_json
from derive.batch_contracts import BatchInput
from derive.errors import CommitUnanswered, QueueError
from derive.intake.line_format import LineFormat
from derive.intake.upload import Upload
from derive.intake.upload_state import MAX_JOBS, UploadRefused, UploadState
from derive.intake.uploads_folder import KEPT_SECONDS, UploadsFolder
from derive.queue import JobQueue

logger = logging.getLogger(__name__)

GOOD_SHOWN, BAD_SHOWN = 10, 20
"""Lines shown per page."""
_NEEDS = (permissions.VIEW_JOBS, permissions.ACT_ON_JOBS, permissions.SEE_PAYLOADS)
_SALT = "upload"
_FORMATS = {"csv": LineFormat.CSV, "jsonl": LineFormat.JSONL, "ndjson": LineFormat.JSONL}


class SeeOther(HttpResponseRedirectBase):
    """303: redirects to a page that is safe to reload."""

    status_code = 303


class QueueForm(forms.Form):
    """The confirmation form for queueing a file."""

    reason = ReasonField()
    skip_invalid = forms.BooleanField(required=False)
    batch = StorableField(label="Batch", required=False, max_length=200)


@dataclass(frozen=True)
class UploadRequest:
    """The upload of a request and its token."""

    upload: Upload
    token: str

    @classmethod
    def read(cls, request: HttpRequest, token: str) -> "UploadRequest":
        """Return the upload of a token; raise UploadRefused, or Denied for another user's."""
        try:
            claims = signing.loads(token, salt=_SALT, max_age=2 * KEPT_SECONDS)
            owner, import_id = int(claims["owner"]), UUID(str(claims["import"]))
        except (signing.BadSignature, KeyError, TypeError, ValueError):
            raise UploadRefused("This is not your upload, or it is no longer kept: upload the file again.") from None
        if owner != request.user.pk:
            raise permissions.Denied("owner")
        return cls(_folder().find(owner, import_id), token)

    @classmethod
    def of(cls, request: HttpRequest, upload: Upload) -> "UploadRequest":
        """Return this user's own upload with a new token."""
        return cls(upload, signing.dumps({"owner": request.user.pk, "import": upload.import_id.hex}, salt=_SALT))

    @property
    def query(self) -> str:
        """The query string that names this upload."""
        return urlencode({"upload": self.token})

    @property
    def address(self) -> str:
        """The URL of this upload's page."""
        return f"{reverse('admin:derive_job_act_upload')}?{self.query}"


# Django would read the whole body for the form's token before the sender is known; _received checks it instead.
@csrf_exempt
def upload(request: HttpRequest) -> HttpResponseBase:
    """Receive a file (POST); otherwise show an upload, or the form for a new one."""
    _demand(request)
    if request.method == "POST":
        return _receive(request)
    token = request.GET.get("upload", "")
    if not token:
        return _page(request)
    try:
        return _page_of(request, UploadRequest.read(request, token))
    except UploadRefused as error:
        return _page(request, problem=str(error), status=404)


class UploadCheck(LongAction):
    """Checks for a while, or to the end for a browser without JavaScript."""

    needs = _NEEDS
    asked: UploadRequest | None = None

    @override
    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        try:
            self.asked = UploadRequest.read(request, request.POST.get("upload", ""))
            before = self.asked.upload.state()
            after = self.asked.upload.check(live_registry(), sender=permissions.actor_of(request), seconds=seconds)
        except (UploadRefused, QueueError, OSError) as error:
            why, status = _fault(error)
            raise StepRefused(why, status=status) from error
        cursor = None if after.is_checked else str(after.next_line)
        return Step(changed=after.read_bytes - before.read_bytes, cursor=cursor)

    @override
    def done(self, request: HttpRequest, step: Step) -> HttpResponseBase:
        assert self.asked is not None  # noqa: S101 (a step that was done read it)
        return SeeOther(self.asked.address)

    @override
    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponseBase:
        return _page_with(request, self.asked, str(refusal), refusal.status)


def queue(request: HttpRequest) -> HttpResponseBase:
    """Queue all valid jobs of an upload, or none with the reason."""
    _demand(request)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    asked = None
    try:
        asked = UploadRequest.read(request, request.POST.get("upload", ""))
        _queue(request, asked.upload)
    except (ValueError, QueueError, OSError) as error:
        return _page_with(request, asked, *_why_not_queued(error))
    return SeeOther(asked.address)


def bad(request: HttpRequest) -> HttpResponseBase:
    """Send every invalid line with its error, as CSV that spreadsheets do not execute as formulas."""
    _demand(request)
    try:
        asked = UploadRequest.read(request, request.GET.get("upload", ""))
    except UploadRefused as error:
        return _page(request, problem=str(error), status=404)
    answer = StreamingHttpResponse(as_csv(asked.upload.bad_lines()), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="invalid-lines.csv"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def discard(request: HttpRequest) -> HttpResponseBase:
    """Delete an upload; jobs it queued stay queued."""
    _demand(request)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        _folder().discard(UploadRequest.read(request, request.POST.get("upload", "")).upload)
    except (UploadRefused, OSError) as error:
        why, status = _fault(error)
        return _page(request, problem=why, status=status)
    return SeeOther(reverse("admin:derive_job_act_upload"))


def _demand(request: HttpRequest) -> None:
    permissions.demand(request, *_NEEDS)


def _folder() -> UploadsFolder:
    return UploadsFolder(settings.UPLOADS_FOLDER)


def _receive(request: HttpRequest) -> HttpResponseBase:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
        return _page(request, problem=_too_large(), status=413)
    handler = UploadHandler(request, folder=_folder())
    request.upload_handlers = [handler]
    try:
        answer: HttpResponseBase = csrf_protect(_received)(request)
    except OSError as error:
        why, status = _fault(error)
        return _page(request, problem=why, status=status)
    return answer


def _received(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get(FIELD)
    if request.upload_handlers[0].is_too_large:  # type: ignore[attr-defined]
        return _page(request, problem=_too_large(), status=413)
    try:
        if not isinstance(file, ReceivedFile) or not file.name:
            raise UploadRefused("Choose a file.")
        state = UploadState(
            name=cell(file.name, 200),
            line_format=_format(request.POST.get("format", ""), file.name),
            size_bytes=file.size or 0,
            uploaded_utc=timezone.now(),
        )
        if why := unreadable(file.read(4_096)):
            raise UploadRefused(f"The file {why}.")
        asked = UploadRequest.of(
            request, _folder().keep(file.temporary_file_path(), owner=int(request.user.pk or 0), state=state)
        )
        # Keep the file; the next step reports the database's error.
        with contextlib.suppress(QueueError):
            asked.upload.check(live_registry(), sender=permissions.actor_of(request), seconds=long_action.STEP_SECONDS)
    except UploadRefused as error:
        return _page(request, problem=str(error), status=400)
    return SeeOther(asked.address)


def _format(chosen: str, name: str) -> LineFormat:
    form = _FORMATS.get(chosen) or _FORMATS.get(name.rpartition(".")[2].lower())
    if form is None:
        raise UploadRefused("The file's name does not end in .jsonl or .csv: choose its format.")
    return form


def _too_large() -> str:
    return f"The file is larger than {units.size(MAX_UPLOAD_BYTES)}: split it, or queue it with manage.py enqueue_jobs."


def _queue(request: HttpRequest, upload: Upload) -> None:
    form, actor = QueueForm(request.POST), permissions.actor_of(request)
    if problems := problems_of(form):
        raise ValueError(" ".join(problems))
    given = form.cleaned_data
    batch = BatchInput(name=given["batch"]) if given["batch"] else None
    reason, skip_invalid = given["reason"], given["skip_invalid"]
    done = upload.queue(JobQueue(), actor=actor, reason=reason, skip_invalid=skip_invalid, batch=batch)
    counts = {"queued": done.queued, "duplicates": done.duplicates, "bad": done.bad}
    logger.info("jobs.uploaded", extra={"actor": actor, "import_id": str(upload.import_id), **counts})


def _fault(error: Exception) -> tuple[str, int]:
    """Return an error's message and status code."""
    if isinstance(error, QueueError):
        return f"{cell(str(error), 500)}.", 503
    if isinstance(error, OSError):
        logger.error("uploads.unwritable", extra={"error": error.strerror or type(error).__name__})
        return f"The folder for uploads cannot be used ({error.strerror}): ask a maintainer.", 503
    return str(error), 409 if isinstance(error, UploadRefused) else 400


def _why_not_queued(error: Exception) -> tuple[str, int]:
    """Return the message and status code of an error that ended queueing, and of what happened to the file."""
    why, status = _fault(error)
    if isinstance(error, (CommitUnanswered, OSError)):
        return f"{why} Either all of the file was queued or nothing. It is safe to queue it again.", status
    if isinstance(error, QueueError):
        return f"Nothing was queued: {why} Queue the file again once that is fixed.", status
    return why, status


def _page(request: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    if problem and wants_json(request):
        return JsonResponse({"error": problem}, status=status)
    kept = [(UploadRequest.of(request, one), state) for one, state in _folder().of(int(request.user.pk or 0))]
    return show(
        request,
        "admin/jobs/upload.html",
        status=status,
        title="Upload",
        problem=problem,
        kept=kept,
        max_bytes=MAX_UPLOAD_BYTES,
        max_jobs=MAX_JOBS,
    )


def _page_with(request: HttpRequest, asked: UploadRequest | None, problem: str, status: int) -> HttpResponse:
    """Show a problem on the upload's page, or on the form's if the upload is gone."""
    if asked is not None:
        with contextlib.suppress(UploadRefused):
            return _page_of(request, asked, problem=problem, status=status)
    return _page(request, problem=problem, status=status)


def _page_of(request: HttpRequest, asked: UploadRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    state = asked.upload.state()
    return show(
        request,
        "admin/jobs/uploaded.html",
        status=status,
        title="Upload",
        problem=problem,
        asked=asked,
        state=state,
        bytes_left=state.size_bytes - state.read_bytes,
        good=asked.upload.first_good(GOOD_SHOWN) if state.is_checked else [],
        bad=list(asked.upload.bad_lines(BAD_SHOWN)),
        form=QueueForm(request.POST if "reason" in request.POST else None, auto_id=False),
        why_not=state.why_not(skip_invalid=True),
    )
