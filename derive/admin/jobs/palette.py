"""The command palette: pages and actions by a part of their title, jobs and entities by their exact ids."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, JsonResponse, QueryDict
from django.urls import reverse

from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.filters import JobFilter
from derive.admin.site import permissions
from derive.admin.site.navigation import pages_of
from derive.models import Job
from derive.states import STATE_NAMES

MAX_JOBS = 8
MAX_TERM = 400


def palette(request: HttpRequest) -> JsonResponse:
    """Return what the term finds, as a list of titles, descriptions and links; at most four statements."""
    term = request.GET.get("q", "").strip()[:MAX_TERM]
    found = [*_pages(request, term), *(_jobs(request, term) if term else ())]
    answer = JsonResponse({"found": found})
    answer["Cache-Control"] = "no-store"
    return answer


def _pages(request: HttpRequest, term: str) -> Iterator[dict[str, str]]:
    wanted = term.casefold()
    for entry, page in pages_of(request):
        if wanted in page.title.casefold() or wanted in entry.title.casefold():
            what = "" if entry.title == page.title else entry.title
            yield _found(page.title, what, reverse(f"admin:{page.name}"))


def _jobs(request: HttpRequest, term: str) -> Iterator[dict[str, str]]:
    """Yield the newest jobs whose id, run, entity or dedupe key is the term, and their entities."""
    if not permissions.may(request, permissions.VIEW_JOBS):
        return
    query = QueryDict(mutable=True)
    query["q"] = term
    numbers = JobFilter(query).walk().page(rows=MAX_JOBS).sequences
    columns = ("job_id", "status", "entity_type", "entity_id", "interrogation_key")
    jobs: list[Any] = list(Job.objects.filter(job_seq__in=numbers).only(*columns).order_by("-job_seq"))
    entities = {(job.entity_type, job.entity_id) for job in jobs if job.entity_id == term}
    if permissions.may(request, permissions.VIEW_FACTS):
        for kind, entity in sorted(entities, key=str):
            address = f"{reverse('admin:derive_fact_entity')}?{urlencode({'entity': entity})}"
            yield _found(cell(entity), f"facts of this {cell(kind) or 'entity'}", address)
    for job in jobs:
        what = f"job, {STATE_NAMES.get(job.status, job.status).lower()}, {cell(job.interrogation_key)}"
        title = cell(job.entity_id) or str(job.job_id)
        yield _found(title, what, reverse("admin:derive_job_change", args=(job.job_id,)))
    if len(numbers) == MAX_JOBS:
        address = f"{reverse('admin:derive_job_changelist')}?{urlencode({'q': term})}"
        yield _found(f"All jobs of {cell(term)}", "list", address)


def _found(title: str, what: str, link: str) -> dict[str, str]:
    return {"title": title, "what": what, "link": link}
