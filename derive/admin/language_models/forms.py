"""The form that pauses, resumes or limits a model."""

from typing import Any

from django import forms
from typing_extensions import override

from derive.contracts import ModelLimits
from derive.strict_types import MAX_INT, check_storable

MAX_MODEL = 200
MAX_REASON = 1_000
PAUSE, RESUME, LIMIT = "pause", "resume", "limit"
ACTIONS = {
    PAUSE: "Pause: start no run of it",
    RESUME: "Resume: start its runs again",
    LIMIT: "Set its limits and context to what is written below",
}
_LIMITS = {
    "max_running": ("Running at most", "Runs at a time, over all workers. Empty: no limit."),
    "max_starts_per_minute": ("Starts a minute at most", "Over all workers. Empty: no limit."),
    "num_ctx": ("Context window", "Tokens. Empty: the workers' setting."),
    "num_predict": ("Answer at most", "Tokens. Empty: the workers' setting."),
}


class ModelForm(forms.Form):
    """What is to become of a model, and why."""

    model = forms.CharField(label="Model", max_length=MAX_MODEL)
    action = forms.ChoiceField(label="Action", choices=list(ACTIONS.items()), widget=forms.RadioSelect)
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Saved to the model's history; a pause needs one, and it is shown to whoever waits.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (label, help_text) in _LIMITS.items():
            self.fields[name] = forms.IntegerField(
                label=label, required=False, min_value=1, max_value=MAX_INT, help_text=help_text
            )

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The fields of the limits."""
        return [self[name] for name in _LIMITS]

    @property
    def limits(self) -> ModelLimits:
        """The limits as they were written; an empty one is removed."""
        return ModelLimits(**{name: self.cleaned_data[name] for name in _LIMITS})

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name, value in values.items():
            if isinstance(value, str):
                try:
                    check_storable(value)
                except ValueError as error:
                    self.add_error(name, str(error))
        if values.get("action") == PAUSE and not values.get("reason"):
            self.add_error("reason", "Say why: whoever waits for the model reads it.")
        return values
