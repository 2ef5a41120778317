"""Filters whose choices are bounded, whatever stands in the tables."""

from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from typing_extensions import override

from derive.models import Interrogation

MAX_CHOICES = 100
SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}


class InterrogationFilter(SimpleListFilter):
    """By interrogation, of those on record."""

    title = "interrogation"
    parameter_name = "interrogation_key"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        keys = Interrogation.objects.order_by("interrogation_key").values_list("interrogation_key", flat=True)
        return [(key, key) for key in keys.distinct()[:MAX_CHOICES]]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(interrogation_key=self.value()) if self.value() else queryset


class SinceFilter(SimpleListFilter):
    """By how long ago something was; a subclass names the column."""

    column = ""

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hour", "last hour"), ("day", "last 24 hours"), ("week", "last 7 days"), ("older", "before that")]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "older":
            return queryset.filter(**{f"{self.column}__lt": timezone.now() - SPANS["week"]})
        if value in SPANS:
            return queryset.filter(**{f"{self.column}__gte": timezone.now() - SPANS[value]})
        return queryset


class QueuedFilter(SinceFilter):
    """By when a job was queued."""

    title, parameter_name, column = "queued", "queued", "created_utc"


class EndedFilter(SinceFilter):
    """By when a job ended."""

    title, parameter_name, column = "ended", "ended", "finished_utc"


class StartedFilter(SinceFilter):
    """By when a run started."""

    title, parameter_name, column = "started", "started", "started_utc"


class HappenedFilter(SinceFilter):
    """By when an event happened."""

    title, parameter_name, column = "at", "at", "at_utc"
