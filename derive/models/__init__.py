"""Every model: those that read the schema ``llm`` (``queue``), and Django's own of ``schedules``."""

from derive.models.queue import (
    Artifact,
    Interrogation,
    Job,
    JobEvent,
    LakeDeletion,
    ReadingModel,
    ReadingQuerySet,
    ReadingSideOnly,
    Run,
    SchemaScript,
    Seal,
    Worker,
)
from derive.models.schedules import (
    HouseSchedule,
    RecurringInterrogation,
    RetentionPolicy,
    RetryPolicy,
    SchedulerProcess,
    ScheduleRun,
    TaskState,
)

__all__ = [
    "Artifact",
    "HouseSchedule",
    "Interrogation",
    "Job",
    "JobEvent",
    "LakeDeletion",
    "ReadingModel",
    "ReadingQuerySet",
    "ReadingSideOnly",
    "RecurringInterrogation",
    "RetentionPolicy",
    "RetryPolicy",
    "Run",
    "ScheduleRun",
    "SchedulerProcess",
    "SchemaScript",
    "Seal",
    "TaskState",
    "Worker",
]
