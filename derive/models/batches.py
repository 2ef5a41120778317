"""Batches as their tables have them: jobs queued together, with a counted end."""

from django.db import models

from derive.models.queue import ReadingModel, choices_of
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import db_table
from derive.states import BatchEventName


class Batch(ReadingModel):
    """Jobs queued together: what was asked for, and how far it has come."""

    batch_id = GuidField("batch id", primary_key=True)
    batch_seq = models.BigIntegerField("number", help_text="Ascending in the order of creation.")
    name = models.CharField("name", max_length=200)
    created_utc = UtcField("created at")
    created_by = models.CharField("created by", max_length=200)
    derivation_key = models.CharField("derivation", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    previous_batch_id = GuidField("follows", null=True, help_text="The batch whose end made this one.")
    queued_jobs = models.BigIntegerField("jobs")
    duplicate_jobs = models.BigIntegerField("duplicates", help_text="Not queued: another job holds the dedupe key.")
    filled_utc = UtcField("filled at", null=True, help_text="Until then it does not end.")
    paused_utc = UtcField("paused at", null=True)
    paused_by = models.CharField("paused by", max_length=200, null=True)  # noqa: DJ001
    pause_reason = models.TextField("why paused", null=True)  # noqa: DJ001
    marked_job_seq = models.BigIntegerField("paused or resumed up to job", null=True)
    cancelled_utc = UtcField("cancelled at", null=True)
    cancelled_by = models.CharField("cancelled by", max_length=200, null=True)  # noqa: DJ001
    budget_tokens = models.BigIntegerField("budget, tokens", null=True)
    budget_model_seconds = models.BigIntegerField("budget, model seconds", null=True)
    spent_tokens = models.BigIntegerField("spent, tokens")
    spent_model_ms = models.BigIntegerField("spent, model milliseconds")
    on_finish_json = models.TextField("queued when it ends", null=True, help_text="JSON.")  # noqa: DJ001
    continued_utc = UtcField("continued at", null=True)
    finished_utc = UtcField("ended at", null=True)
    is_watched = models.BooleanField("watched")
    counted_utc = UtcField("counted at", null=True)
    count_ms = models.IntegerField("time to count", help_text="Milliseconds.")

    class Meta(ReadingModel.Meta):
        db_table = db_table("batch")
        verbose_name = "batch"
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return self.name


class BatchEvent(ReadingModel):
    """What was done to a batch."""

    event_seq = models.BigIntegerField("number", primary_key=True)
    batch_id = GuidField("batch")
    at_utc = UtcField("at")
    event = models.CharField("event", max_length=40, choices=choices_of(BatchEventName))
    actor = models.CharField("actor", max_length=200)
    db_user = models.CharField("database login", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001
    detail_json = models.TextField("detail", null=True, help_text="JSON.")  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("batch_event")
        verbose_name = "batch event"
        verbose_name_plural = "batch events"

    def __str__(self) -> str:
        return self.event


class BatchCount(ReadingModel):
    """Jobs of a batch in one state, as last counted; rows of one state add up."""

    count_seq = models.BigIntegerField("number", primary_key=True)
    batch_id = GuidField("batch")
    status = models.CharField("status", max_length=40)
    error_kind = models.CharField("error kind", max_length=40)
    is_purged = models.BooleanField("purged")
    jobs = models.BigIntegerField("jobs")

    class Meta(ReadingModel.Meta):
        db_table = db_table("batch_count")
        verbose_name = "batch count"
        verbose_name_plural = "batch counts"

    def __str__(self) -> str:
        return f"{self.jobs} {self.status}"


class BatchProgress(ReadingModel):
    """A sample of a batch's pace."""

    progress_seq = models.BigIntegerField("number", primary_key=True)
    batch_id = GuidField("batch")
    at_utc = UtcField("at")
    ended_jobs = models.BigIntegerField("ended jobs")
    spent_tokens = models.BigIntegerField("spent, tokens")
    spent_model_ms = models.BigIntegerField("spent, model milliseconds")

    class Meta(ReadingModel.Meta):
        db_table = db_table("batch_progress")
        verbose_name = "batch progress"
        verbose_name_plural = "batch progress"

    def __str__(self) -> str:
        return f"{self.ended_jobs} at {self.at_utc}"
