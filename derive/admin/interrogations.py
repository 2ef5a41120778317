"""Interrogations: every definition on record."""

from django.contrib import admin

from derive.admin.reading import ReadingAdmin
from derive.models import Interrogation


@admin.register(Interrogation)
class InterrogationAdmin(ReadingAdmin):
    """The definitions, by key, newest first."""

    ordering = ("interrogation_key", "-registered_utc")
    list_display = ("interrogation_key", "version", "registered_utc", "definition_sha256")
