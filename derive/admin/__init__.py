"""The admin: a package for each thing an operator opens, and below them the tools that they share.

``dashboard``, ``jobs``, ``facts``, ``records`` and ``schedules`` are pages; ``lists`` pages through tables, ``display``
formats what is shown, ``site`` knows who may do what. Rows are read through ``derive.models``, and change through
``JobQueue`` alone. Importing this package registers every page.
"""

from derive.admin.facts import admin as facts
from derive.admin.jobs import admin as jobs
from derive.admin.records import artifacts, audit, deletions, interrogations, runs, seals, workers
from derive.admin.schedules import overview, plans, system_tasks
from derive.admin.site import accounts

__all__ = [
    "accounts",
    "artifacts",
    "audit",
    "deletions",
    "facts",
    "interrogations",
    "jobs",
    "overview",
    "plans",
    "runs",
    "seals",
    "system_tasks",
    "workers",
]
