"""What a user chose of the list of jobs: further columns, its density, and whether keys act.

Kept in a cookie; a saved view has its own columns and density.
"""

from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.urls import reverse

from derive.admin.jobs.filters import JobFilter
from derive.admin.site import permissions
from derive.models import SavedView

COLUMNS = {
    "priority": "Priority",
    "waiting": "Waiting",
    "created_by": "Queued by",
    "worker": "Worker",
    "ended": "Ended",
    "job_id": "Job id",
}
"""The columns that can be added to those that are always shown."""
COMPACT, NO_KEYS = "compact", "nokeys"
COOKIE = "holocron_jobs"
MAX_AGE_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class ListPreferences:
    """How one user wants the list."""

    columns: frozenset[str] = frozenset()
    is_compact: bool = False
    has_keys: bool = True

    @classmethod
    def of(cls, request: HttpRequest, view: SavedView | None = None) -> "ListPreferences":
        """Read a request's cookie, except what a view says; what is unknown in either is ignored."""
        own = set(request.COOKIES.get(COOKIE, "").split("."))
        return cls._read(own if view is None else {*view.display.split("."), *(own & {NO_KEYS})})

    @classmethod
    def chosen(cls, form: QueryDict) -> "ListPreferences":
        """Read the form of the choices."""
        marks = {*form.getlist("column"), *({COMPACT} if form.get("density") == COMPACT else ())}
        return cls._read(marks if form.get("keys") == "on" else {*marks, NO_KEYS})

    @classmethod
    def _read(cls, marks: set[str]) -> "ListPreferences":
        return cls(frozenset(marks & COLUMNS.keys()), COMPACT in marks, NO_KEYS not in marks)

    def written(self) -> str:
        """Return the cookie's value."""
        marks = [*sorted(self.columns), *([COMPACT] if self.is_compact else []), *([] if self.has_keys else [NO_KEYS])]
        return ".".join(marks)

    def shared(self) -> str:
        """Return what a saved view keeps: not whether keys act, which is for each person to say."""
        return replace(self, has_keys=True).written()

    @property
    def choices(self) -> list[tuple[str, str, bool]]:
        """Each column that can be added: its name, its title, and whether it is."""
        return [(name, title, name in self.columns) for name, title in COLUMNS.items()]


def choose(request: HttpRequest) -> HttpResponse:
    """Keep a user's choices, and go back to the list as it was."""
    permissions.demand(request, permissions.VIEW_JOBS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    query = JobFilter(QueryDict(request.POST.get("filter", "")[:4_000])).encoded()
    jobs = reverse("admin:derive_job_changelist")
    answer = HttpResponseRedirect(f"{jobs}?{query}" if query else jobs)
    answer.set_cookie(
        COOKIE,
        ListPreferences.chosen(request.POST).written(),
        max_age=MAX_AGE_SECONDS,
        path=jobs,
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    return answer
