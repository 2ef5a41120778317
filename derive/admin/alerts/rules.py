"""Alert rules: what is watched."""

import logging
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from typing_extensions import override
from unfold.widgets import UnfoldAdminSelectWidget

from derive.admin.display.units import duration
from derive.admin.lists import suggestions
from derive.admin.lists.columns import column
from derive.admin.site import permissions
from derive.admin.site.model_admin import GuardedAdmin
from derive.alerts.measuring import in_words, measure
from derive.errors import HolocronError
from derive.models import AlertRule
from derive.models.alerts import AlertKind
from derive.sql.clock import database_now

logger = logging.getLogger(__name__)

MOST_MINUTES = 43_200
"""Thirty days."""
MOST_COUNT = 9_999
"""Fewer than the dead letters that are looked at."""
LEAST_REPEAT_MINUTES = 5
MAX_FOUND = 10
COUNTED = (AlertKind.DEAD_LETTERS, AlertKind.TASK_FAILING)
TIMED = (AlertKind.DEAD_LETTERS, AlertKind.OLDEST_WAIT, AlertKind.WORKER_GONE, AlertKind.ENDPOINT_DOWN)
OF_JOBS = (AlertKind.DEAD_LETTERS, AlertKind.OLDEST_WAIT)
LEAST_MINUTES = {AlertKind.WORKER_GONE: 2}
"""A worker's heartbeats may be late by a whole lease before it counts as gone."""


def _shown_for(kinds: tuple[AlertKind, ...]) -> str:
    return " || ".join(f"kind == '{kind.value}'" for kind in kinds)


class AlertRuleForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's own is not generic when it runs
    """A rule; what its kind has no use for is emptied."""

    interrogation_key = forms.ChoiceField(
        label="Interrogation",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="None chosen: jobs of every interrogation.",
    )

    class Meta:
        model = AlertRule
        fields: ClassVar = ("name", "enabled", "kind", "count", "minutes", "interrogation_key", "repeat_minutes")
        help_texts: ClassVar = {
            "count": "Dead letters within the minutes below, or failures in a row.",
            "minutes": "How long a job waits, a worker is silent or a server is down; for dead letters the time span.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "interrogation_key" in self.fields:
            field: Any = self.fields["interrogation_key"]
            stored = {self.instance.interrogation_key} - {""}
            field.choices = [("", "–"), *((key, key) for key in sorted({*suggestions.interrogation_keys(), *stored}))]

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if "kind" not in values:
            return values
        kind = AlertKind(values["kind"])
        least_minutes = LEAST_MINUTES.get(kind, 1)
        self._need("count", 0, MOST_COUNT, is_used=kind in COUNTED)
        self._need("minutes", least_minutes, MOST_MINUTES, is_used=kind in TIMED)
        if kind not in OF_JOBS:
            values["interrogation_key"] = ""
        repeat = values.get("repeat_minutes")
        if repeat is not None and not LEAST_REPEAT_MINUTES <= repeat <= MOST_MINUTES:
            text = f"Write a number from {LEAST_REPEAT_MINUTES} to {MOST_MINUTES}, or leave it empty."
            self.add_error("repeat_minutes", text)
        return values

    def _need(self, name: str, low: int, high: int, *, is_used: bool) -> None:
        if not is_used:
            # What was typed before another kind was chosen.
            self.cleaned_data[name] = None
            self.errors.pop(name, None)
        elif name not in self.errors:
            value = self.cleaned_data.get(name)
            if value is None or not low <= value <= high:
                self.add_error(name, f"Write a number from {low} to {high}.")


@admin.register(AlertRule)
class AlertRuleAdmin(GuardedAdmin):
    """Rules, each with what it finds now."""

    form = AlertRuleForm
    fields = AlertRuleForm.Meta.fields
    list_display = ("name", "enabled", "condition", "open_alerts", "repeats")
    change_form_after_template = "admin/alerts/finds_now.html"
    conditional_fields: ClassVar = {
        "count": _shown_for(COUNTED),
        "minutes": _shown_for(TIMED),
        "interrogation_key": _shown_for(OF_JOBS),
    }

    @override
    def get_queryset(self, request: HttpRequest) -> Any:
        opened = Count("alerts", filter=Q(alerts__ended_utc__isnull=True, alerts__isnull=False))
        return super().get_queryset(request).annotate(open_now=opened)

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else ["name"]

    @override
    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        obj.changed_by, obj.changed_utc = permissions.actor_of(request), database_now()
        super().save_model(request, obj, form, change)
        changed = ",".join(form.changed_data)
        logger.info("alert_rule.saved", extra={"actor": obj.changed_by, "rule": obj.name, "changed": changed})

    @override
    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        logger.info("alert_rule.deleted", extra={"actor": permissions.actor_of(request), "rule": obj.name})
        super().delete_model(request, obj)

    @override
    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        rule = context.get("original")
        found: dict[str, Any] = {} if rule is None else _finds_now(rule)
        answer: HttpResponse = super().render_change_form(request, context | found, **kwargs)
        return answer

    @column("alert when")
    def condition(self, rule: AlertRule) -> str:
        """Return the condition in words."""
        return in_words(rule)

    @column("open alerts")
    def open_alerts(self, rule: AlertRule) -> int:
        """Return how many alerts of the rule are firing or pending."""
        return int(getattr(rule, "open_now", 0))

    @column("repeats")
    def repeats(self, rule: AlertRule) -> str:
        """Return how often a firing alert is said again."""
        return f"every {duration(60 * rule.repeat_minutes)}" if rule.repeat_minutes else "never"


def _finds_now(rule: AlertRule) -> dict[str, Any]:
    try:
        found = [one.summary for one in measure(rule, database_now()).findings.values()]
    except HolocronError as error:
        return {"condition": in_words(rule), "problem": str(error)}
    return {"condition": in_words(rule), "found": found[:MAX_FOUND], "more": max(0, len(found) - MAX_FOUND)}
