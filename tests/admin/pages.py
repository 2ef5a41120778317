"""The addresses of all pages that the URL configuration knows, for the rows there are."""

from collections.abc import Iterator

from django.contrib import admin
from django.db import models
from django.urls import reverse

from derive.models import ExperimentCase, Job, Run
from tests.admin.test_every_address import addresses

# Parts of pages, files of a row, and what leads elsewhere. What is no HTML, or answers to a form alone, says so itself.
NO_PAGES = {None, "search", "autocomplete", "logout", "login", "derive_dashboard", "derive_artifact_download"}
NO_PAGES |= {"derive_job_act_upload_bad_download", "derive_job_list_live", "derive_job_page_live"}
NO_PAGES |= {"derive_batch_live", "derive_batch_list_live", "derive_worker_live", "derive_palette"}
NO_PAGES |= {"derive_derivation_plan_live", "derive_experiment_live", "derive_experiment_case"}
OF_A_ROW = (
    *("_change", "_delete", "_history", "_password_change", "derive_batch_act"),
    *("derive_derivation_act", "derive_derivation_subjects", "derive_derivation_plan"),
)
ALIKE = ("_delete", "_history")
"""Of these there is one template for all kinds of rows: one kind will do."""


def pages(*, needs_rows: bool = True) -> Iterator[str]:
    """Yield the address of every page; those of rows for one row of each kind, of jobs for each."""
    for address, name in addresses():
        if name in NO_PAGES:
            continue
        if name == "password_change" or not str(name).endswith(OF_A_ROW):
            yield address
            continue
        if str(name).endswith(ALIKE) and not str(name).startswith("auth_group"):
            continue
        kind = kind_of(str(name))
        rows = kind._default_manager.order_by(oldest_first(kind))
        assert rows or not needs_rows, f"the test makes no row for {name}"
        yield from (reverse(f"admin:{name}", args=[row.pk]) for row in (rows if rows.model is Job else rows[:1]))
    if runs := Run.objects.order_by("run_seq")[:2]:
        yield f"{reverse('admin:derive_job_change', args=[runs[0].job_id])}?run={runs[0].run_id}"
        yield f"{reverse('admin:derive_run_compare')}?a={runs[0].run_id}&b={runs[len(runs) - 1].run_id}"
    if case := ExperimentCase.objects.first():
        yield reverse("admin:derive_experiment_case", args=[case.experiment_id, case.case_no, 1])
    yield f"{reverse('admin:derive_fact_entity')}?entity=tala-venn"


def oldest_first(kind: type[models.Model]) -> str:
    """Return the column that numbers the rows as they are made; many a primary key is drawn at random."""
    fields = [field.name for field in kind._meta.concrete_fields]
    return next((name for name in fields if name == f"{kind._meta.model_name}_seq"), "pk")


def kind_of(name: str) -> type[models.Model]:
    """Return the model whose rows an address is of, by the address's name."""
    kinds = {f"{kind._meta.app_label}_{kind._meta.model_name}_": kind for kind in admin.site._registry}
    return next(kind for prefix, kind in kinds.items() if name.startswith(prefix))
