"""Actions too long for one answer: a POST does a step, and says where the next begins.

Our script (``acting.js``) asks for JSON and calls again with the step's ``cursor`` until there is none. For a browser
without it, one step goes on for longer and a page tells what became of it. Nothing is kept between the steps but what
the form says and what stands in the database or on disk, so each step checks everything anew.
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
"""How long a step goes on beginning batches: short enough to show progress."""
ALONE_SECONDS = 25.0
"""So without the script, in one request; then the rest is offered by a button."""


@dataclass(frozen=True)
class Step:
    """What one step did, as the script reads it."""

    changed: int = 0
    cursor: str | None = None
    """Where the next step begins; None: there is nothing left to go on with."""
    error: str = ""
    """The fault that ended the step; what was done before it stands."""
    refused: tuple[dict[str, Any], ...] = ()
    undo: str = ""


class StepRefused(Exception):
    """Nothing was done; ``problems`` say why, ``status`` is the answer's."""

    def __init__(self, *problems: str, status: int = 400) -> None:
        super().__init__(" ".join(problems))
        self.problems, self.status = problems, status


class LongAction(View):
    """The view of a long action: who may, what a step does, and the pages for a browser without our script."""

    http_method_names = ["post"]  # noqa: RUF012 (Django's own word for it)
    needs: ClassVar[tuple[str, ...]] = (permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)

    @override
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        permissions.demand(request, *self.needs)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Do a step, and tell of it in the form that was asked for."""
        in_steps = wants_json(request)
        try:
            step = self.step(request, seconds=STEP_SECONDS if in_steps else ALONE_SECONDS)
        except StepRefused as refusal:
            if in_steps:
                return JsonResponse({"error": str(refusal)}, status=refusal.status)
            return self.refused(request, refusal)
        return JsonResponse(asdict(step)) if in_steps else self.done(request, step)

    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        """Act for about so long; raise StepRefused when nothing is done."""
        raise NotImplementedError

    def done(self, request: HttpRequest, step: Step) -> HttpResponseBase:
        """Return the page that tells of a step."""
        raise NotImplementedError

    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponseBase:
        """Return the page that says why nothing was done."""
        raise NotImplementedError
