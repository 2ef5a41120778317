"""The admin: a module a page. Rows are read through ``derive.models``, and change through ``JobQueue`` alone."""

from derive.admin import (
    accounts,
    artifacts,
    audit,
    deletions,
    house,
    interrogations,
    jobs,
    plans,
    runs,
    schedules,
    seals,
    workers,
)

__all__ = [
    "accounts",
    "artifacts",
    "audit",
    "deletions",
    "house",
    "interrogations",
    "jobs",
    "plans",
    "runs",
    "schedules",
    "seals",
    "workers",
]
