"""Derivations as their tables have them: what is declared, and each subject's state."""

from django.db import models

from derive.models.queue import ReadingModel, choices_of
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import db_table
from derive.states import StaleBecause, SubjectState


class Derivation(ReadingModel):
    """A source and an interrogation, whose answers are kept current."""

    derivation_key = models.CharField("key", max_length=200, primary_key=True)
    derivation_seq = models.BigIntegerField("number", help_text="Ascending in the order of declaration.")
    declared_in = models.CharField("declared in", max_length=40, help_text="file or admin.")
    source_name = models.CharField("source", max_length=200)
    interrogation_key = models.CharField("interrogation", max_length=200)
    version = models.CharField("version", max_length=40, null=True, help_text="Pinned; empty: live.")  # noqa: DJ001 (the column's own null)
    model = models.CharField("model", max_length=200, null=True, help_text="Empty: the workers' own.")  # noqa: DJ001
    priority = models.IntegerField("priority")
    max_attempts = models.IntegerField("attempts")
    schedule = models.CharField("schedule", max_length=100, null=True)  # noqa: DJ001
    rate_per_minute = models.IntegerField("rate", null=True, help_text="Jobs started per minute.")
    depth_limit = models.IntegerField("depth limit", null=True, help_text="Unfinished jobs at once.")
    budget_tokens = models.BigIntegerField("budget, tokens", null=True)
    budget_model_seconds = models.BigIntegerField("budget, model seconds", null=True)
    retire_policy = models.CharField("when a subject is gone", max_length=40)
    created_utc = UtcField("created at")
    created_by = models.CharField("created by", max_length=200)
    changed_utc = UtcField("changed at")
    changed_by = models.CharField("changed by", max_length=200)
    paused_utc = UtcField("paused at", null=True)
    paused_by = models.CharField("paused by", max_length=200, null=True)  # noqa: DJ001
    pause_reason = models.TextField("why paused", null=True)  # noqa: DJ001
    planned_utc = UtcField("compared at", null=True)
    applied_utc = UtcField("applied at", null=True, help_text="The last time that nothing was left to queue.")
    next_utc = UtcField("next at", null=True)
    paced_until_utc = UtcField("paced until", null=True)
    target_json = models.TextField("target", null=True, help_text="The table that answers are delivered to, as JSON.")  # noqa: DJ001
    fill_after_seq = models.BigIntegerField("delivered anew after", null=True, help_text="Number of a subject.")

    class Meta(ReadingModel.Meta):
        db_table = db_table("derivation")
        verbose_name = "derivation"
        verbose_name_plural = "derivations"

    def __str__(self) -> str:
        return self.derivation_key


class Subject(ReadingModel):
    """One entity of one derivation: what its newest job was asked, and which answer is in use."""

    subject_seq = models.BigIntegerField("number", primary_key=True)
    derivation_seq = models.BigIntegerField("derivation")
    entity_type = models.CharField("entity type", max_length=200)
    entity_id = models.CharField("entity", max_length=400)
    state = models.CharField("state", max_length=40, choices=choices_of(SubjectState))
    stale_because = models.CharField("stale because", max_length=40, null=True, choices=choices_of(StaleBecause))  # noqa: DJ001
    why = models.CharField("why left out", max_length=400, null=True)  # noqa: DJ001
    change_token = models.CharField("change token", max_length=400, null=True)  # noqa: DJ001
    evidence_sha256 = models.CharField("fingerprint", max_length=64, null=True)  # noqa: DJ001
    definition_sha256 = models.CharField("definition", max_length=64, null=True)  # noqa: DJ001
    model = models.CharField("model", max_length=200, null=True)  # noqa: DJ001
    asks = models.IntegerField("asked again")
    job_id = GuidField("newest job", null=True)
    answer_job_id = GuidField("job of the answer", null=True)
    run_id = GuidField("run of the answer", null=True)
    changed_utc = UtcField("changed at")
    answered_utc = UtcField("answered at", null=True)

    class Meta(ReadingModel.Meta):
        db_table = db_table("subject")
        verbose_name = "subject"
        verbose_name_plural = "subjects"

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id}"


class PastAnswer(ReadingModel):
    """A job whose answer is no longer in use."""

    job_id = GuidField("job", primary_key=True)
    because = models.CharField("because", max_length=40, help_text="superseded or retired.")
    since_utc = UtcField("since")

    class Meta(ReadingModel.Meta):
        db_table = db_table("past_answer")
        verbose_name = "past answer"
        verbose_name_plural = "past answers"

    def __str__(self) -> str:
        return self.because


class Delivery(ReadingModel):
    """A change of a subject's answer that is to be delivered."""

    delivery_seq = models.BigIntegerField("number", primary_key=True)
    derivation_seq = models.BigIntegerField("derivation")
    subject_seq = models.BigIntegerField("subject")
    queued_utc = UtcField("queued at")
    refused_utc = UtcField("refused at", null=True, help_text="The target refused the row.")
    why = models.CharField("why", max_length=1000, null=True)  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("delivery")
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return str(self.delivery_seq)
