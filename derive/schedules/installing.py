"""Creates missing schedules of system tasks after every ``manage.py migrate``; keeps maintainers' changes."""

from typing import Any

from django.db import connections
from django_q.models import Schedule

from derive.cron import Cron
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now


def install_schedules(using: str = "default") -> list[str]:
    """Create the missing schedules, and return their names."""
    now = database_now()
    schedules = Schedule.objects.using(using)
    made = []
    for task in SYSTEM_TASKS.values():
        values = {"name": task.title, "schedule_type": Schedule.CRON, "cron": task.cron}
        # Existing ones keep their times, including "never" (repeats 0). Two schedules of one function are harmless.
        if not schedules.filter(func=task.func).exists():
            schedules.create(func=task.func, next_run=Cron(task.cron).after(now), **values)
            made.append(task.name)
    return made


def install_schedules_after_migrate(*, using: str, verbosity: int = 0, **_signal: Any) -> None:
    """Install them as a ``post_migrate`` handler; does nothing before django-q2's tables exist."""
    if Schedule._meta.db_table not in connections[using].introspection.table_names():  # noqa: SLF001 (Django's own word)
        return
    made = install_schedules(using)
    if made and verbosity >= 1:
        print(f"  Installed {len(made)} schedules.")  # noqa: T201 (migrate tells its progress on standard output)
