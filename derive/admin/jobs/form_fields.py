"""Form fields shared by the job pages."""

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from typing_extensions import override

from derive.admin.lists.query_params import read_moment
from derive.strict_types import check_storable

MAX_REASON = 1_000
TIME_PROBLEM = "Write a time such as now or 2026-01-31T12:00."


class StorableField(forms.CharField):
    """Text that a database can store."""

    @override
    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        try:
            return text and check_storable(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class ReasonField(StorableField):
    """The reason for an action."""

    widget = forms.Textarea(attrs={"rows": 2})

    def __init__(self, *, required: bool = True) -> None:
        why = f"Give a reason of at most {MAX_REASON} characters. It is saved to each job's history."
        problems = {"required": why, "max_length": why}
        super().__init__(label="Reason", required=required, max_length=MAX_REASON, error_messages=problems)


class WholeNumberField(forms.IntegerField):
    """A whole number from 0 to ``most`` in ASCII digits; ``problem`` is the error message."""

    def __init__(self, *, most: int, problem: str, **options: Any) -> None:
        problems = dict.fromkeys(("invalid", "required", "min_value", "max_value"), problem)
        super().__init__(min_value=0, max_value=most, error_messages=problems, **options)

    @override
    def to_python(self, value: Any) -> int | None:
        text = str(value or "").strip()
        if text and not (text.isascii() and text.isdigit()):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(text)


class MomentField(forms.Field):
    """A time in the active time zone; None if empty."""

    @override
    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        moment = timezone.now() if text == "now" else read_moment(text)
        if text and moment is None:
            raise ValidationError(TIME_PROBLEM)
        return moment


def problems_of(form: forms.BaseForm) -> list[str]:
    """Return a form's errors, in the order of its fields."""
    return [str(why) for reasons in form.errors.values() for why in reasons]
