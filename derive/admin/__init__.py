"""The admin: a package for each area an operator opens, above the tools they share.

``alerts``, ``batches``, ``dashboard``, ``derivations``, ``evaluation``, ``jobs``, ``facts``, ``review``,
``language_models``, ``records``, ``schedules`` and ``sources`` are pages; ``lists`` pages through tables, ``display``
formats values, ``site`` holds permissions and navigation. Rows are read through ``derive.models`` and changed only
through ``JobQueue``. Importing this package registers every page.
"""

from derive.admin.alerts import overview as alerts
from derive.admin.alerts import rules as alert_rules
from derive.admin.batches import admin as batches
from derive.admin.derivations import admin as derivations
from derive.admin.evaluation import experiments, golden_cases
from derive.admin.facts import admin as facts
from derive.admin.jobs import admin as jobs
from derive.admin.language_models import admin as language_models
from derive.admin.records import artifacts, audit, deletions, interrogations, runs, seals, workers
from derive.admin.review import admin as review
from derive.admin.schedules import overview, plans, system_tasks
from derive.admin.site import accounts

__all__ = [
    "accounts",
    "alert_rules",
    "alerts",
    "artifacts",
    "audit",
    "batches",
    "deletions",
    "derivations",
    "experiments",
    "facts",
    "golden_cases",
    "interrogations",
    "jobs",
    "language_models",
    "overview",
    "plans",
    "review",
    "runs",
    "seals",
    "system_tasks",
    "workers",
]
