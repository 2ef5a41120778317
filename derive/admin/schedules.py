"""django-q2's schedules and their results, on unfold's forms.

A schedule names any function there is: only those with its permissions (Maintainer) may look at or edit one. Nothing
here starts a task again: a schedule does.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_q import admin as q
from django_q.models import Failure, OrmQ, Schedule, Success
from typing_extensions import override

from derive.admin.guarded_admin import GuardedAdmin

for _model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(_model)


class _Results(GuardedAdmin):
    """What became of tasks; read only."""

    # "Resubmit" asks for no permission in django-q2, and would run whatever a result names.
    actions = ()

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Schedule)
class ScheduleAdmin(q.ScheduleAdmin, GuardedAdmin):  # type: ignore[misc]
    """What runs when."""


@admin.register(Success)
class SuccessAdmin(_Results, q.TaskAdmin):  # type: ignore[misc]  # nor does django-q2
    """Tasks that ended well."""


@admin.register(Failure)
class FailureAdmin(_Results, q.FailAdmin):  # type: ignore[misc]  # nor does django-q2
    """Tasks that failed."""


@admin.register(OrmQ)
class WaitingAdmin(_Results, q.QueueAdmin):  # type: ignore[misc]  # nor does django-q2
    """Tasks that wait for the cluster."""
