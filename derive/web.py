"""HTTP endpoints for programs: liveness, readiness and metrics. Public, so they never expose payloads or secrets."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from derive.errors import QueueError
from derive.health import Readiness
from derive.metrics.queue_metrics import QueueMetrics

_readiness = Readiness()
_numbers = QueueMetrics()


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """Report that the process responds, without checking anything else."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Report each check's state; 503 if one fails."""
    parts = _readiness.parts()
    ready = all(part.ok for part in parts)
    shown = {part.name: {"ok": part.ok, "reason": part.reason} for part in parts}
    return JsonResponse({"ready": ready, "parts": shown}, status=200 if ready else 503)


@never_cache
@require_safe
def metrics(_request: HttpRequest) -> HttpResponse:
    """Return the queue's metrics in Prometheus's text format; 503 if the database cannot be read."""
    try:
        return HttpResponse(_numbers.text(), content_type=CONTENT_TYPE_LATEST)
    except QueueError as error:
        return HttpResponse(f"the queue cannot be read ({type(error).__name__})", status=503, content_type="text/plain")
