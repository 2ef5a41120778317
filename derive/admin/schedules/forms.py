"""The forms of plans: a cron expression, lists of choices, a job template that its interrogation accepts."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from typing_extensions import override
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from derive.admin.lists import suggestions
from derive.cron import BadCron, Cron
from derive.errors import ErrorKind, HolocronError, NextStep, RunError
from derive.models.schedules import WHEN_HELP, EscalationPolicy, RecurringInterrogation, RetentionPolicy, RetryPolicy
from derive.schedules.recurring import check_plan
from derive.schedules.retention_policies import MOST_JOBS as MOST_PURGED
from derive.schedules.retry_policies import MOST_JOBS, MOST_REQUEUES, RETRYABLE, lines_of
from derive.schedules.system_tasks import EVERY_MINUTE
from derive.strict_types import MAX_INT, check_storable

MOST_DAYS = 3_650
MOST_MINUTES = 525_600
MOST_ATTEMPTS = 1_000
SHORTEST_WAIT_SECONDS = 60
"""The scheduler looks once a minute."""
LONGEST_WAIT_SECONDS = 31_536_000
PAYLOADS = ("input_json", "evidence_ref_json")
_GIVEN_BACK = {error.kind for error in RunError.__subclasses__() if error.then is NextStep.GIVE_BACK}
ENDING_KINDS = tuple(kind.value for kind in ErrorKind if kind not in {*_GIVEN_BACK, ErrorKind.RELEASED})
"""Error kinds a job can end with; after the others it becomes ready again."""


class Lines(forms.MultipleChoiceField):
    """A multiple choice stored as one value per line."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    @override
    def prepare_value(self, value: Any) -> Any:
        return lines_of(value) if isinstance(value, str) else value

    @override
    def clean(self, value: Any) -> str:
        return "\n".join(super().clean(value))


def as_choices(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return values as a field's choices."""
    return [(value, value) for value in values]


class CronField(forms.CharField):
    """A valid cron expression that runs at most once a minute."""

    widget = UnfoldAdminTextInputWidget

    @override
    def clean(self, value: Any) -> str:
        try:
            return Cron.read(super().clean(value)).expression
        except BadCron as error:
            raise ValidationError(str(error)) from None


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's own is not generic when it runs
    """What all plan forms share."""

    cron = CronField(label="When", max_length=100, help_text=WHEN_HELP)

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name, value in values.items():
            if isinstance(value, str):
                try:
                    check_storable(value)
                except ValueError as error:
                    self.add_error(name, str(error))
        return values

    def _bound(self, name: str, low: int, high: int) -> None:
        value = self.cleaned_data.get(name)
        if value is not None and not low <= value <= high:
            self.add_error(name, f"Write a number from {low} to {high}.")


class RetryPolicyForm(PlanForm):
    """A retry policy."""

    statuses = Lines(label="States", choices=as_choices(RETRYABLE))
    error_kinds = Lines(
        label="Error kinds",
        choices=as_choices(ENDING_KINDS),
        required=False,
        help_text="None selected: any error.",
    )
    interrogation_keys = Lines(
        label="Interrogations", choices=(), required=False, help_text="None selected: every interrogation."
    )

    class Meta:
        model = RetryPolicy
        fields: ClassVar[Sequence[str]] = (
            *("name", "enabled", "cron", "statuses", "error_kinds", "interrogation_keys"),
            *("min_age_minutes", "max_age_days", "max_jobs", "max_requeues"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        keys: Any = self.fields["interrogation_keys"]
        # Keep the policy's interrogations selectable even if they no longer exist.
        stored = lines_of(self.instance.interrogation_keys)
        keys.choices = as_choices(sorted({*suggestions.interrogation_keys(), *stored}))

    @override
    def clean(self) -> dict[str, Any]:
        values = super().clean()
        self._bound("min_age_minutes", 0, MOST_MINUTES)
        self._bound("max_age_days", 1, MOST_DAYS)
        self._bound("max_jobs", 1, MOST_JOBS)
        self._bound("max_requeues", 1, MOST_REQUEUES)
        youngest, oldest = values.get("min_age_minutes"), values.get("max_age_days")
        if youngest is not None and oldest is not None and youngest >= oldest * 24 * 60:
            self.add_error("min_age_minutes", f"This is more than {oldest} days, so no job could match.")
        return values


class EscalationForm(PlanForm):
    """An escalation policy; one that can raise nothing is none."""

    interrogation_key = forms.ChoiceField(
        label="Interrogation",
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="None chosen: jobs of every interrogation.",
    )

    class Meta:
        model = EscalationPolicy
        fields: ClassVar[Sequence[str]] = (
            *("name", "enabled", "cron", "interrogation_key", "waiting_seconds", "raise_by", "max_priority"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["cron"].initial = EVERY_MINUTE
        field: Any = self.fields["interrogation_key"]
        stored = {self.instance.interrogation_key} - {""}
        field.choices = [("", "–"), *as_choices(sorted({*suggestions.interrogation_keys(), *stored}))]

    @override
    def clean(self) -> dict[str, Any]:
        values = super().clean()
        self._bound("waiting_seconds", SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._bound("raise_by", 1, MAX_INT)
        self._bound("max_priority", 1, MAX_INT)
        return values


class RetentionForm(PlanForm):
    """A retention policy; it must purge at least one state."""

    class Meta:
        model = RetentionPolicy
        fields: ClassVar[Sequence[str]] = (
            *("name", "enabled", "cron", "succeeded_days", "failed_days", "deadletter_days", "cancelled_days"),
            "max_jobs",
        )

    @override
    def clean(self) -> dict[str, Any]:
        values = super().clean()
        days = [name for name in self.Meta.fields if name.endswith("_days")]
        for name in days:
            # Keep jobs for a while, so that people can look at them.
            self._bound(name, 1, MOST_DAYS)
        self._bound("max_jobs", 1, MOST_PURGED)
        if not self.errors and all(values.get(name) is None for name in days):
            self.add_error(days[0], "Write a number of days for at least one state.")
        return values


class RecurringForm(PlanForm):
    """A recurring interrogation; an enabled one must be accepted by its interrogation."""

    interrogation_key = forms.ChoiceField(label="Interrogation", required=False, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = RecurringInterrogation
        fields: ClassVar[Sequence[str]] = (
            *("name", "enabled", "cron", "lake_path", "interrogation_key", "entity_type", "entity_id"),
            *("input_json", "evidence_ref_json", "model_hint", "priority", "max_attempts", "as_batch"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "interrogation_key" in self.fields:
            field: Any = self.fields["interrogation_key"]
            installed = {one.key for one in suggestions.registry().all()}
            stored = {self.instance.interrogation_key} - {""}
            field.choices = [("", "–"), *as_choices(sorted(installed | stored))]

    @override
    def clean(self) -> dict[str, Any]:
        values = super().clean()
        self._bound("priority", 0, MAX_INT)
        self._bound("max_attempts", 1, MOST_ATTEMPTS)
        if self.errors:
            return values
        template = [name for name in ("interrogation_key", *PAYLOADS) if values.get(name)]
        if values.get("lake_path") and template:
            self.add_error("lake_path", "Give either a file or the one job below, not both.")
        elif not values.get("lake_path") and not (values.get("interrogation_key") and values.get("input_json")):
            self.add_error("interrogation_key", "Choose an interrogation and write its input, or give a file.")
        elif values.get("enabled"):
            self._check_accepted(values)
        return values

    def _check_accepted(self, values: dict[str, Any]) -> None:
        named = {name: values[name] for name in self.Meta.fields if name in values}
        plan = RecurringInterrogation(**{"name": self.instance.name, **named})
        try:
            check_plan(plan)
        except HolocronError as error:
            self.add_error("lake_path" if values.get("lake_path") else "input_json", str(error))
