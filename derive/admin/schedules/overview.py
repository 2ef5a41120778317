"""Automation: the scheduler's health, each task's last run, and the history of runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.text import capfirst
from typing_extensions import override

from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.cron import in_words
from derive.models import ScheduleRun, SystemSchedule, TaskState
from derive.models.schedules import TASK_CHARACTERS, Planned
from derive.schedules.health import PLANS, scheduler_health
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now

MAX_RUNS = 100
MAX_PLANS = 200


@dataclass(frozen=True)
class Row:
    """One task on the page; ``link`` is empty for users who may not edit it."""

    name: str
    title: str
    what: str
    when: str
    next_utc: datetime | None
    link: str
    state: TaskState | None
    is_running: bool


@admin.register(ScheduleRun)
class ScheduleRunAdmin(ReadOnlyAdmin):
    """The automation page; runs have no pages of their own."""

    @override
    def get_urls(self) -> list[Any]:
        return [url for url in super().get_urls() if str(getattr(url, "name", "")).endswith("_changelist")]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the scheduler's health, the tasks, and the latest runs."""
        permissions.demand(request, permissions.VIEW_SCHEDULE_RUNS)
        task = request.GET.get("task", "")[:TASK_CHARACTERS]
        runs = ScheduleRun.objects.order_by("-ended_utc", "-id")
        if task:
            runs = runs.filter(task=task)
        return show(
            request,
            "admin/schedules/overview.html",
            title="Automation",
            health=scheduler_health(),
            rows=[*_system_tasks(request), *_plans(request)],
            task=task and title_of(task),
            runs=[(run, title_of(run.task)) for run in runs[:MAX_RUNS]],
            max_runs=MAX_RUNS,
        )


def title_of(task: str) -> str:
    """Return a task's display name: a system task's title, or a plan's kind and name."""
    if task in SYSTEM_TASKS:
        return SYSTEM_TASKS[task].title
    kind, _colon, name = task.partition(":")
    plans = {model.KIND: str(model._meta.verbose_name) for model in PLANS}  # noqa: SLF001
    return f"{capfirst(plans[kind])} {name}" if kind in plans else task


def _system_tasks(request: HttpRequest) -> list[Row]:
    states, now = TaskState.objects.in_bulk(list(SYSTEM_TASKS)), database_now()
    schedules = {one.func: one for one in SystemSchedule.objects.exclude(repeats=0).order_by("-next_run")}
    may_edit = permissions.may(request, permissions.CHANGE_SCHEDULES)
    rows = []
    for task in SYSTEM_TASKS.values():
        schedule = schedules.get(task.func)
        link = reverse("admin:derive_systemschedule_change", args=[schedule.pk]) if may_edit and schedule else ""
        next_utc = None if schedule is None else schedule.next_run
        when = "off" if schedule is None else in_words(schedule.cron)
        state = states.get(task.name)
        rows.append(Row(task.name, task.title, task.what, when, next_utc, link, state, _is_running(state, now)))
    return rows


def _plans(request: HttpRequest) -> list[Row]:
    rows, now = [], database_now()
    for model in PLANS:
        if not permissions.may(request, f"derive.view_{model._meta.model_name}"):  # noqa: SLF001 (Django's own word)
            continue
        plans: list[Planned] = list(model.objects.order_by("name")[:MAX_PLANS])  # type: ignore[attr-defined]
        states = TaskState.objects.in_bulk([plan.task for plan in plans])
        for plan in plans:
            link = reverse(f"admin:derive_{model._meta.model_name}_change", args=[plan.pk])  # noqa: SLF001
            what = capfirst(str(model._meta.verbose_name))  # noqa: SLF001
            when, next_utc = (in_words(plan.cron), plan.next_utc) if plan.enabled else ("off", None)
            state = states.get(plan.task)
            rows.append(Row(plan.task, plan.name, what, when, next_utc, link, state, _is_running(state, now)))
    return rows


def _is_running(state: TaskState | None, now: datetime) -> bool:
    return state is not None and state.held_until_utc is not None and state.held_until_utc > now
