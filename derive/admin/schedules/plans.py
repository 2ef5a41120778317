"""Plans: retry policies, recurring interrogations and retention policies, previewed before they are saved."""

import logging
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Concat
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from derive.admin.display.units import moment
from derive.admin.display.untrusted_text import cell
from derive.admin.lists.columns import column
from derive.admin.schedules.forms import PAYLOADS, EscalationForm, RecurringForm, RetentionForm, RetryPolicyForm
from derive.admin.site import permissions
from derive.admin.site.model_admin import GuardedAdmin
from derive.cron import BadCron, Cron, in_words
from derive.errors import HolocronError
from derive.models import EscalationPolicy, RecurringInterrogation, RetentionPolicy, RetryPolicy, TaskState
from derive.models.schedules import Planned
from derive.plural import plural
from derive.schedules.escalation import count_aged
from derive.schedules.recurring import HEAD_BYTES, check_plan
from derive.schedules.retention_policies import count_old
from derive.schedules.retry_policies import preview_retries
from derive.sql.clock import database_now

logger = logging.getLogger(__name__)

TIMES_SHOWN = 5
OUTCOMES = {"done": "success", "idle": "default", "skipped": "warning", "failed": "danger", "": "default"}


class PlanAdmin(GuardedAdmin):
    """Pages of plans. A plan acts on or purges jobs, so editing one also requires the permission to do that."""

    list_display = ("name", "enabled", "words", "next_at", "outcome", "told")
    actions = ("run_soon",)
    change_form_after_template = "admin/schedules/preview_box.html"
    needs: tuple[str, ...] = (permissions.ACT_ON_JOBS,)

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and self._may_plan(request)

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_plan(request)

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_plan(request)

    def _may_plan(self, request: HttpRequest) -> bool:
        return all(permissions.may(request, right) for right in self.needs)

    @override
    def get_queryset(self, request: HttpRequest) -> Any:
        task = TaskState.objects.filter(name=Concat(Value(f"{self.model.KIND}:"), OuterRef("name")))
        last = {f"last_{name}": Subquery(task.values(name)[:1]) for name in ("outcome", "told")}
        return super().get_queryset(request).annotate(**last)

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else ["name"]

    @override
    def get_urls(self) -> list[Any]:
        preview = self.admin_site.admin_view(self.preview_view)
        name = self._preview_name.partition(":")[2]
        return [path("preview/", preview, name=name), *super().get_urls()]

    @property
    def _preview_name(self) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_preview"

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Preview what the submitted form would do; nothing is saved."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise permissions.Denied(f"derive.change_{self.opts.model_name}")
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = self.get_form(request, change=False)(request.POST)
        # When editing, the name is read-only and not in the form.
        form.fields["name"].required = False
        form.fields["name"].validators.clear()
        values = form.cleaned_data if form.is_valid() else {}
        problems = [str(error) for errors in form.errors.values() for error in errors]
        name = values.get("name") or self._name_of(request.GET.get("plan", ""))
        plan = self.model(**{**values, "name": name}) if not problems else None
        return render(request, "admin/schedules/preview.html", self._preview(plan, problems, request.POST.get("cron")))

    def _name_of(self, key: str) -> str:
        """Return the name of the plan being edited; its earlier requeues are recorded under it."""
        stored = self.model.objects.filter(pk=key).first() if key.isdecimal() and len(key) < 20 else None
        return stored.name if stored is not None else "preview"

    def _preview(self, plan: Any, problems: list[str], expression: str | None) -> dict[str, Any]:
        try:
            cron = Cron.read(expression or "")
        except BadCron as error:
            problem = str(error)
            return {"problems": [problem, *(one for one in problems if one != problem)]}
        would = ""
        if plan is not None:
            try:
                would = self.would(plan)
            except HolocronError as error:
                problems = [cell(str(error), 500)]
        times = cron.next_times(database_now(), TIMES_SHOWN)
        return {"problems": problems, "words": cron.words, "times": times, "would": would}

    def would(self, plan: Any) -> str:
        """Describe what a plan would do now."""
        raise NotImplementedError

    @override
    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        plan = context.get("original")
        more: dict[str, Any] = {"preview_url": reverse(self._preview_name)}
        if plan is not None:
            more["preview_url"] += f"?plan={plan.pk}"
            more |= {"state": TaskState.objects.filter(name=plan.task).first(), **self._preview(plan, [], plan.cron)}
        answer: HttpResponse = super().render_change_form(request, context | more, **kwargs)
        return answer

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        now = database_now()
        obj.changed_by, obj.changed_utc = permissions.actor_of(request), now
        # Other changes do not postpone a plan that is due.
        if obj.next_utc is None or {"cron", "enabled"} & set(form.changed_data):
            obj.next_utc = Cron(obj.cron).after(now)
        super().save_model(request, obj, form, change)
        logger.info(
            "plan.saved", extra={"actor": obj.changed_by, "plan": obj.task, "changed": ",".join(form.changed_data)}
        )

    @override
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._forget(request, [obj])
        super().delete_model(request, obj)

    @override
    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        self._forget(request, list(queryset))
        super().delete_queryset(request, queryset)

    def _forget(self, request: HttpRequest, plans: list[Planned]) -> None:
        # A later plan of the same name starts without this one's state.
        TaskState.objects.filter(name__in=[plan.task for plan in plans]).delete()
        for plan in plans:
            logger.info("plan.deleted", extra={"actor": permissions.actor_of(request), "plan": plan.task})

    @admin.action(description="Run at the scheduler's next check", permissions=["change"])
    def run_soon(self, request: HttpRequest, queryset: Any) -> None:
        """Make the selected plans due now; the scheduler runs them within a minute or two."""
        names = list(queryset.values_list("name", flat=True))
        due = queryset.filter(enabled=True).update(next_utc=database_now())
        TaskState.objects.filter(name__in=[f"{self.model.KIND}:{name}" for name in names]).update(failures=0)
        logger.info("plan.run_soon", extra={"actor": permissions.actor_of(request), "plans": ",".join(names)[:1_000]})
        self.message_user(request, f"{plural(due, 'plan')} will run within a minute or two. Disabled ones stay off.")

    @column("when (UTC)")
    def words(self, plan: Planned) -> str:
        """Return the expression in words."""
        return in_words(plan.cron)

    @column("next")
    def next_at(self, plan: Planned) -> SafeString:
        """Return when it runs next, in the viewer's time zone."""
        return moment(plan.next_utc if plan.enabled else None, "off")

    @column("last run", label=OUTCOMES)
    def outcome(self, plan: Planned) -> str:
        """Return the outcome of its last run."""
        return getattr(plan, "last_outcome", None) or ""

    @column("result")
    def told(self, plan: Planned) -> str:
        """Return the result of its last run."""
        return cell(getattr(plan, "last_told", None))


@admin.register(RetryPolicy)
class RetryPolicyAdmin(PlanAdmin):
    """Which ended jobs are requeued, and when."""

    form = RetryPolicyForm
    fields = RetryPolicyForm.Meta.fields

    @override
    def would(self, plan: RetryPolicy) -> str:
        found = preview_retries(plan)
        left = f" {found.exhausted:,} reached the limit and will be left alone." if found.exhausted else ""
        if not found.ready:
            return f"{'No job matches' if not left else 'No other job matches'} now: nothing would be requeued.{left}"
        match = "matches" if found.ready == 1 else "match"
        of = f"{'' if found.is_exact else 'more than '}{plural(found.ready, 'job')} that {match}"
        return f"It would requeue {min(found.ready, plan.max_jobs):,} of {of} now, oldest first.{left}"


@admin.register(EscalationPolicy)
class EscalationAdmin(PlanAdmin):
    """Which waiting jobs get a higher priority."""

    form = EscalationForm
    fields = EscalationForm.Meta.fields

    @override
    def would(self, plan: EscalationPolicy) -> str:
        count, is_exact = count_aged(plan)
        if not count:
            return "No job has waited for so long now: nothing would be raised."
        jobs = f"{'' if is_exact else 'more than '}{plural(count, 'job')}"
        return f"It would raise {jobs} by {plan.raise_by:,} now, to {plan.max_priority:,} at most."


@admin.register(RecurringInterrogation)
class RecurringAdmin(PlanAdmin):
    """Jobs that are queued repeatedly."""

    form = RecurringForm
    needs = (permissions.ACT_ON_JOBS, permissions.SEE_PAYLOADS)

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        seen = permissions.may(request, permissions.SEE_PAYLOADS)
        return [name for name in RecurringForm.Meta.fields if seen or name not in PAYLOADS]

    @override
    def would(self, plan: RecurringInterrogation) -> str:
        found = check_plan(plan)
        jobs = plural(found.jobs, "job")
        if found.is_whole:
            return f"It would queue {jobs} each time, unless earlier jobs are still live."
        return (
            f"The first {jobs} of the file would be accepted. The rest of a file over {HEAD_BYTES // 1024} KiB is "
            "checked when it runs; if any line is invalid then, nothing is queued."
        )


@admin.register(RetentionPolicy)
class RetentionAdmin(PlanAdmin):
    """How long ended jobs are kept."""

    form = RetentionForm
    fields = RetentionForm.Meta.fields
    needs = (permissions.PURGE_JOBS,)

    @override
    def would(self, plan: RetentionPolicy) -> str:
        count, is_exact = count_old(plan)
        if not count:
            return "No job is old enough now: nothing would be purged."
        are = f"{'is' if count == 1 else 'are'} old enough"
        of = f"{'' if is_exact else 'more than '}{plural(count, 'job')} that {are}"
        return f"It would permanently delete {min(count, plan.max_jobs):,} of {of} now. Held jobs are kept."
