"""The filters of a list, as a form that parses the URL: bounded, typed, and with an error for invalid values."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from typing_extensions import override

from derive.admin.lists.keyset import Condition, Walk, within
from derive.admin.lists.query_params import as_guid, read_moment
from derive.admin.lists.sequence_for_time import SequenceSearch
from derive.strict_types import check_storable

MAX_CHARACTERS = 400
_SELECTED = SafeString(" selected")
TIMES = "today, 24h, 2026-01-31T12:00"


class TextFilter(forms.Field):
    """Text without surrounding spaces; empty if there is none or it could not match any column.

    ``suggest`` names the suggestions on the page: ``interrogations`` or ``models``.
    """

    empty: ClassVar[Any] = ""

    def __init__(
        self, label: str, *, max_length: int = 200, placeholder: str = "", suggest: str = "", is_wide: bool = False
    ) -> None:
        super().__init__(label=label, required=False)
        self.suggest = suggest
        self.look = {"max_length": max_length, "placeholder": placeholder, "suggest": suggest, "is_wide": is_wide}

    @override
    def __deepcopy__(self, memo: Any) -> "TextFilter":
        # Immutable, so all forms share one.
        return self

    @override
    def to_python(self, value: Any) -> Any:
        """Parse the value; raise ValidationError with the reason."""
        text = str(value or "").strip()
        if len(text) > MAX_CHARACTERS:
            raise ValidationError(f"is longer than {MAX_CHARACTERS} characters")
        try:
            return self.read(check_storable(text)) if text else self.empty
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def read(self, text: str) -> Any:
        """Parse a text; raise ValueError."""
        return text

    def shown(self, name: str, typed: str) -> dict[str, Any]:
        """Return the context of ``admin/parts/filter.html``, with what was typed."""
        return {"name": name, "label": self.label, "typed": typed, **self.look}

    def in_words(self, value: str) -> str:
        """Return the text of the filter's chip."""
        return value


class ChoiceFilter(TextFilter):
    """One of some values, each with a label; empty if none is set."""

    def __init__(self, label: str, values: Iterable[str | tuple[str, str]], *, any_value: str = "any") -> None:
        super().__init__(label)
        self.choices = dict((one, one) if isinstance(one, str) else one for one in values)
        self.any_value = any_value

    @override
    def read(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"is not one of {', '.join(sorted(self.choices))}")
        return text

    @override
    def shown(self, name: str, typed: str) -> dict[str, Any]:
        options = [
            format_html('<option value="{}"{}>{}</option>', one, _SELECTED if one == typed else "", words)
            for one, words in [("", self.any_value), *self.choices.items()]
        ]
        return {**super().shown(name, typed), "options": SafeString("".join(options))}

    @override
    def in_words(self, value: str) -> str:
        return self.choices.get(value, value)


class GuidFilter(TextFilter):
    """A guid."""

    empty = None

    def __init__(self, label: str, *, placeholder: str = "", is_wide: bool = False) -> None:
        super().__init__(label, max_length=40, placeholder=placeholder, is_wide=is_wide)

    @override
    def read(self, text: str) -> Any:
        if (guid := as_guid(text)) is None:
            raise ValueError("is not an id")
        return guid


class MomentFilter(TextFilter):
    """A time: ``today``, ``24h`` (ago), or a date and time in the viewer's time zone."""

    empty = None

    def __init__(self, label: str, *, placeholder: str = "") -> None:
        super().__init__(label, max_length=40, placeholder=placeholder)

    @override
    def read(self, text: str) -> datetime:
        if (moment := read_moment(text)) is None:
            raise ValueError("is not a time such as today, 24h or 2026-01-31T12:00")
        return moment


class ListFilter(forms.Form):
    """The filters of a list, and the query for the matching rows; an invalid filter matches nothing."""

    rows_of: ClassVar[type[models.Model]]
    sequence: ClassVar[str]
    time: ClassVar[str]
    """The column of times, which ascend with the sequence."""
    more: ClassVar[frozenset[str]] = frozenset()
    """Filters that the page hides under "More filters" unless one is set."""

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query)
        self.query = query
        # Validates the form.
        faults = self.errors.items()
        self.problems = [f"{self.fields[name].label} {why}" for name, reasons in faults for why in reasons]
        self.values: dict[str, Any] = {
            name: self.cleaned_data.get(name, field.empty)  # type: ignore[attr-defined]  # a TextFilter
            for name, field in self.fields.items()
        }

    def active(self) -> dict[str, str]:
        """Return the filters that are set, by name."""
        return {name: str(self.query[name]) for name in self.fields if self.query.get(name)}

    def encoded(self) -> str:
        """Return only the filters as a query string."""
        return urlencode(self.active())

    def in_words(self) -> list[tuple[str, str]]:
        """Return the filters that are set, as texts for the page."""
        return [(name, self.fields[name].in_words(value)) for name, value in self.active().items()]  # type: ignore[attr-defined]

    def suggested(self) -> list[str]:
        """Return the suggestions for all fields that have some."""
        return sorted({field.suggest for field in self.fields.values() if field.suggest})  # type: ignore[attr-defined]

    @property
    def is_set(self) -> bool:
        """Whether any filter is set."""
        return bool(self.active())

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The fields always shown on the page."""
        return self._shown(name for name in self.fields if name not in self.more)

    @property
    def folded(self) -> list[dict[str, Any]]:
        """The fields under "More filters"."""
        return self._shown(name for name in self.fields if name in self.more)

    def _shown(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [self.fields[name].shown(name, self.query.get(name, "")) for name in names]  # type: ignore[attr-defined]

    @property
    def is_unfolded(self) -> bool:
        """Whether a filter under "More filters" is set."""
        return not self.more.isdisjoint(self.active())

    def walk(self) -> Walk:
        """Return the walk over the matching rows."""
        return Walk(self.rows_of, self.sequence, arms=()) if self.problems else self.matching()

    def matching(self) -> Walk:
        """Return the walk for filters that are all valid."""
        since, until = self.values["since"], self.values["until"]
        numbers = self.numbers(since, until)
        arms = tuple((*arm, *numbers) for arm in self.arms())
        rest = (*self.rest(), *within(f"t.{self.time}", since=since, until=until))
        return Walk(self.rows_of, self.sequence, arms=arms, rest=rest, may_overlap=len(arms) > 1)

    def arms(self) -> Sequence[tuple[Condition, ...]]:
        """Return the ranges that indexes serve."""
        return ((),)

    def rest(self) -> Iterable[Condition]:
        """Return the conditions checked row by row."""
        return ()

    def numbers(self, since: datetime | None, until: datetime | None) -> tuple[Condition, ...]:
        """Return the range of sequence numbers that covers the times."""
        seeker = SequenceSearch(self.rows_of, sequence=self.sequence, time=self.time)
        low = (Condition(f"{self.sequence} >= %s", (seeker.first_since(since),)),) if since else ()
        high = (Condition(f"{self.sequence} <= %s", (seeker.last_before(until),)),) if until else ()
        return low + high
