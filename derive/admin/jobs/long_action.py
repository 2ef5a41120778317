"""Actions too long for one request: each POST does a step and returns where the next one starts.

Our script (``acting.js``) requests JSON and repeats with the step's ``cursor`` until it is null. For a browser without
JavaScript one step takes longer and a page reports the result. No state is kept between steps beyond the form, the
database and the disk, so each step checks everything again.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views import View
from typing_extensions import override

from derive.admin.site import permissions
from derive.admin.site.refusals import wants_json

STEP_SECONDS = 1.5
"""How long a step keeps starting batches: short enough to show progress."""
ALONE_SECONDS = 25.0
"""The same without JavaScript, in one request; a button continues with the rest."""


@dataclass(frozen=True)
class Step:
    """What one step did, in the form the script reads."""

    changed: int = 0
    cursor: str | None = None
    """Where the next step starts; None when done."""
    error: str = ""
    """The error that ended the step; what was done before it remains done."""
    refused: tuple[dict[str, Any], ...] = ()
    undo: str = ""


class StepRefused(Exception):
    """Nothing was done; ``problems`` says why, ``status`` is the response's."""

    def __init__(self, *problems: str, status: int = 400) -> None:
        super().__init__(" ".join(problems))
        self.problems, self.status = problems, status


class LongAction(View):
    """View of a long action: its permission, its step, and its pages for browsers without JavaScript."""

    http_method_names = ["post"]  # noqa: RUF012 (Django's own word for it)
    needs: ClassVar[tuple[str, ...]] = (permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)

    @override
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        permissions.demand(request, *self.needs)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Do a step and return it as JSON or a page, as requested."""
        in_steps = wants_json(request)
        try:
            step = self.step(request, seconds=STEP_SECONDS if in_steps else ALONE_SECONDS)
        except StepRefused as refusal:
            if in_steps:
                return JsonResponse({"error": str(refusal)}, status=refusal.status)
            return self.refused(request, refusal)
        return JsonResponse(asdict(step)) if in_steps else self.done(request, step)

    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        """Do a step of about this many seconds; raise StepRefused if nothing is done."""
        raise NotImplementedError

    def done(self, request: HttpRequest, step: Step) -> HttpResponseBase:
        """Return the page that reports a step."""
        raise NotImplementedError

    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponseBase:
        """Return the page that says why nothing was done."""
        raise NotImplementedError
