"""The form that changes a batch."""

from typing import Any

from django import forms
from typing_extensions import override

from derive.batch_contracts import MAX_BUDGET
from derive.strict_types import MAX_INT, check_storable

MAX_REASON = 1_000
PAUSE, RESUME, CANCEL, RETRY, PRIORITY, BUDGET, FILL = (
    *("pause", "resume", "cancel", "retry", "priority", "budget", "fill"),
)
ACTIONS = {
    PAUSE: "Pause: start none of its jobs; running ones finish",
    RESUME: "Resume: let its jobs start again",
    RETRY: "Retry: requeue its failed and dead-lettered jobs",
    PRIORITY: "Set the priority of its unfinished jobs",
    BUDGET: "Set its budgets to what is written below",
    FILL: "Close: all its jobs are queued, so that it can end",
    CANCEL: "Cancel: take no more jobs, cancel those that wait, stop those that run",
}


class BatchForm(forms.Form):
    """What is to become of a batch, and why."""

    action = forms.ChoiceField(label="Action", choices=list(ACTIONS.items()), widget=forms.RadioSelect)
    priority = forms.IntegerField(
        label="Priority", required=False, min_value=0, max_value=MAX_INT, help_text="Higher runs first."
    )
    budget_tokens = forms.IntegerField(
        label="Budget, tokens", required=False, min_value=1, max_value=MAX_BUDGET, help_text="Empty: none."
    )
    budget_model_seconds = forms.IntegerField(
        label="Budget, model seconds", required=False, min_value=1, max_value=MAX_BUDGET, help_text="Empty: none."
    )
    reason = forms.CharField(
        label="Reason",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Saved to the history of the batch and of each job that changes.",
    )

    @property
    def number_fields(self) -> list[forms.BoundField]:
        """The fields that some actions take."""
        return [self["priority"], self["budget_tokens"], self["budget_model_seconds"]]

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        try:
            check_storable(values.get("reason") or "")
        except ValueError as error:
            self.add_error("reason", str(error))
        if values.get("action") == PRIORITY and values.get("priority") is None:
            self.add_error("priority", "Give a priority: a whole number from 0.")
        return values
