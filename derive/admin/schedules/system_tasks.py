"""django-q2's schedules: when the system tasks run. Only listed functions can be scheduled.

django-q2 would call any function a row names and unpickle stored results, so its own admin pages are unregistered;
``derive_schedulerun`` shows the results of tasks.
"""

import logging
from typing import Any, ClassVar

import django_q.admin  # noqa: F401 - must register before its pages are unregistered below
from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success
from typing_extensions import override
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from derive.admin.display.units import moment
from derive.admin.lists.columns import column
from derive.admin.schedules.forms import CronField
from derive.admin.site import permissions
from derive.admin.site.model_admin import GuardedAdmin
from derive.cron import Cron, in_words
from derive.models import SystemSchedule
from derive.models.schedules import WHEN_HELP
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now

logger = logging.getLogger(__name__)

for _model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(_model)

_TITLES = {task.func: task.title for task in SYSTEM_TASKS.values()}


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's own is not generic when it runs
    """Which system task runs, and when; hides django-q2's other fields."""

    func = forms.ChoiceField(label="Task", choices=list(_TITLES.items()), widget=UnfoldAdminSelectWidget)
    cron = CronField(label="When", max_length=100, help_text=WHEN_HELP)
    enabled = forms.BooleanField(
        label="Enabled",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="If off, this schedule does not run the task.",
    )

    class Meta:
        model = SystemSchedule
        fields = ("name", "func", "cron")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["enabled"].initial = self.instance.repeats != 0


@admin.register(SystemSchedule)
class ScheduleAdmin(GuardedAdmin):
    """When the system tasks run; only for users with django-q2's own permissions (Maintainer)."""

    form = ScheduleForm
    fields = ("name", "func", "cron", "enabled")
    list_display = ("name", "runs", "words", "next_at")
    ordering: ClassVar = ["name"]

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.may(request, "django_q.view_schedule") or self.has_change_permission(request)

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.may(request, "django_q.add_schedule")

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.may(request, permissions.CHANGE_SCHEDULES)

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.may(request, "django_q.delete_schedule")

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.schedule_type, obj.repeats = Schedule.CRON, -1 if form.cleaned_data["enabled"] else 0
        # Clear what may have been written without this form.
        obj.args = obj.kwargs = obj.hook = obj.cluster = obj.intended_date_kwarg = None
        obj.next_run = Cron(obj.cron).after(database_now())
        super().save_model(request, obj, form, change)
        fields = {"schedule": obj.name or "", "func": obj.func, "cron": obj.cron, "enabled": bool(obj.repeats)}
        logger.info("schedule.saved", extra={"actor": permissions.actor_of(request), **fields})

    @override
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        logger.info("schedule.deleted", extra={"actor": permissions.actor_of(request), "schedule": obj.name or ""})
        super().delete_model(request, obj)

    @column("task")
    def runs(self, schedule: Any) -> str:
        """Return what it runs."""
        return _TITLES.get(schedule.func, "not a system task; never run")

    @column("when (UTC)")
    def words(self, schedule: Any) -> str:
        """Return the expression in words."""
        return in_words(schedule.cron)

    @column("next")
    def next_at(self, schedule: Any) -> SafeString:
        """Return when it runs next, in the viewer's time zone."""
        return moment(schedule.next_run if schedule.repeats else None, "off")
