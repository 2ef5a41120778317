"""The form that pauses or resumes a derivation, or asks for new answers."""

from typing import Any

from django import forms
from typing_extensions import override

from derive.strict_types import check_storable

MAX_ENTITY = 400
MAX_REASON = 1_000
PAUSE, RESUME, ASK_FAILED, ASK_ALL, ASK_ONE = "pause", "resume", "ask-failed", "ask-all", "ask-one"
ACTIONS = {
    PAUSE: "Pause: queue nothing until it is resumed; queued jobs go on",
    RESUME: "Resume: let it be applied again",
    ASK_FAILED: "Ask again for all subjects that failed",
    ASK_ALL: "Ask again for all subjects whose answers are current or failed",
    ASK_ONE: "Ask again for the entity below",
}


class DerivationForm(forms.Form):
    """What is to become of a derivation, and why."""

    action = forms.ChoiceField(label="Action", choices=list(ACTIONS.items()), widget=forms.RadioSelect)
    entity = forms.CharField(label="Entity", required=False, max_length=MAX_ENTITY, help_text="To ask for one only.")
    reason = forms.CharField(
        label="Reason",
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="A pause shows it until the derivation is resumed.",
    )

    @override
    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in ("entity", "reason"):
            try:
                check_storable(values.get(name) or "")
            except ValueError as error:
                self.add_error(name, str(error))
        if values.get("action") == ASK_ONE and not values.get("entity"):
            self.add_error("entity", "Write the id of the entity to ask about.")
        return values
