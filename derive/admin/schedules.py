"""django-q's schedules and their outcomes, in the admin's own looks."""

from django.contrib import admin
from django_q import admin as schedules
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin

for _model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


@admin.register(Schedule)
class ScheduleAdmin(schedules.ScheduleAdmin, ModelAdmin):  # type: ignore[misc]  # neither carries types
    """What is done regularly."""


@admin.register(Success)
class SuccessAdmin(schedules.TaskAdmin, ModelAdmin):  # type: ignore[misc]  # neither carries types
    """What was done."""


@admin.register(Failure)
class FailureAdmin(schedules.FailAdmin, ModelAdmin):  # type: ignore[misc]  # neither carries types
    """What could not be done."""


@admin.register(OrmQ)
class WaitingAdmin(schedules.QueueAdmin, ModelAdmin):  # type: ignore[misc]  # neither carries types
    """What waits to be done."""
