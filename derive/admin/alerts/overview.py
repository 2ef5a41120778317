"""Alerts: what fires, what fired, and where it was said; a test message, and the end of what ends by hand."""

import logging
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Max, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from typing_extensions import override

from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.alerts.delivering import write_test
from derive.alerts.evaluation import CLOSABLE, end_alert
from derive.models import Alert, AlertDestination, AlertMessage
from derive.models.alerts import AlertKind, AlertState, DeliveryState
from derive.sql.clock import database_now
from derive.states import JobStatus

logger = logging.getLogger(__name__)

MAX_SHOWN = 100
MAX_TESTS = 5
MAX_DIGITS = 19
"""Of a number that bigint holds for sure."""


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """One page of all alerts, and a page for each."""

    @override
    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("test/", view(self.test_view), name="derive_alert_test"),
            path("<int:number>/close/", view(self.close_view), name="derive_alert_close"),
            *super().get_urls(),
        ]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show what fires now, where messages go, and the latest alerts."""
        permissions.demand(request, permissions.VIEW_ALERTS)
        alerts = _with_deliveries(Alert.objects.order_by("-id"))
        tests = AlertMessage.objects.filter(alert__isnull=True).order_by("-at_utc").prefetch_related("deliveries")
        return show(
            request,
            "admin/alerts/list.html",
            title="Alerts",
            firing=list(alerts.filter(state=AlertState.FIRING)[:MAX_SHOWN]),
            ended=list(alerts.filter(state=AlertState.RESOLVED)[:MAX_SHOWN]),
            tests=tests[:MAX_TESTS],
            destinations=AlertDestination.objects.order_by("name"),
            may_change=permissions.may(request, permissions.CHANGE_ALERT_RULES),
            max_shown=MAX_SHOWN,
        )

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one alert, its messages, and what became of each."""
        permissions.demand(request, permissions.VIEW_ALERTS)
        is_number = object_id.isdecimal() and len(object_id) < MAX_DIGITS
        alert = Alert.objects.filter(pk=object_id).first() if is_number else None
        if alert is None:
            raise Http404("There is no such alert.")
        sent = AlertMessage.objects.filter(alert=alert).order_by("-at_utc").prefetch_related("deliveries")
        may_change = permissions.may(request, permissions.CHANGE_ALERT_RULES)
        return show(
            request,
            "admin/alerts/alert.html",
            title=f"Alert {alert.pk}",
            alert=alert,
            sent=sent[:MAX_SHOWN],
            about=_page_about(alert),
            may_close=may_change and alert.state == AlertState.FIRING and alert.kind in CLOSABLE,
        )

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """Write a test message; the scheduler sends it, since only it knows where alerts go."""
        permissions.demand(request, permissions.CHANGE_ALERT_RULES)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        message = write_test(permissions.actor_of(request))
        logger.info("alert.test", extra={"actor": message.made_by, "message_id": str(message.pk)})
        messages.success(
            request, "The scheduler sends a test within a minute or two; this page shows what became of it."
        )
        return HttpResponseRedirect(reverse("admin:derive_alert_changelist"))

    def close_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """End an alert whose cause does not end by itself; something new fires again."""
        permissions.demand(request, permissions.CHANGE_ALERT_RULES)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        actor = permissions.actor_of(request)
        with transaction.atomic():
            alert = Alert.objects.filter(pk=number, state=AlertState.FIRING, kind__in=CLOSABLE).first()
            said = end_alert(alert, f"closed by {actor}", database_now(), by=actor) if alert else None
        if said:
            logger.info("alert.closed", extra={"actor": actor, "alert": number})
            messages.success(request, "Closed. It fires again if something new is found.")
        else:
            messages.warning(request, "Nothing was closed: the alert is resolved already, or resolves by itself.")
        return HttpResponseRedirect(reverse("admin:derive_alert_changelist"))


def _with_deliveries(alerts: Any) -> Any:
    """Say of each alert how many copies arrived, wait or were given up, and the last error."""
    of = "messages__deliveries__state"
    return alerts.annotate(
        arrived=Count("messages__deliveries", filter=Q(**{of: DeliveryState.DELIVERED})),
        waiting=Count("messages__deliveries", filter=Q(**{of: DeliveryState.WAITING})),
        given_up=Count("messages__deliveries", filter=Q(**{of: DeliveryState.GIVEN_UP})),
        last_error=Max("messages__deliveries__last_error"),
    )


def _page_about(alert: Alert) -> tuple[str, str]:
    """Return the name and the address of the page that shows what an alert is about."""
    jobs = reverse("admin:derive_job_changelist")
    of = {"interrogation": alert.subject} if alert.subject else {}
    runs = reverse("admin:derive_schedulerun_changelist")
    if alert.kind == AlertKind.VERIFICATION:
        is_history = alert.subject == "history"
        return ("Seals", reverse("admin:derive_seal_changelist")) if is_history else ("Tasks and runs", runs)
    return {
        AlertKind.DEAD_LETTERS: ("Dead letters", f"{jobs}?{urlencode({'status': JobStatus.DEADLETTER.value, **of})}"),
        AlertKind.OLDEST_WAIT: ("Ready jobs", f"{jobs}?{urlencode({'status': JobStatus.NEW.value, **of})}"),
        AlertKind.WORKER_GONE: ("Workers", reverse("admin:derive_worker_changelist")),
        AlertKind.ENDPOINT_DOWN: ("Models", reverse("admin:derive_languagemodel_changelist")),
        AlertKind.TASK_FAILING: ("Tasks and runs", f"{runs}?{urlencode({'task': alert.subject})}#runs"),
    }[AlertKind(alert.kind)]
