"""Which version of an interrogation is live, and how it came to be."""

from django.db import models

from derive.models.queue import ReadingModel
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import db_table


class InterrogationLive(ReadingModel):
    """The promoted version of an interrogation (null: none), and the gate that versions have to pass (null: none)."""

    interrogation_key = models.CharField("interrogation", max_length=200, primary_key=True)
    live_seq = models.BigIntegerField("number")
    definition_sha256 = models.CharField("definition", max_length=64, null=True)  # noqa: DJ001 (the columns' own nulls)
    version = models.CharField("version", max_length=40, null=True)  # noqa: DJ001
    promotion_seq = models.BigIntegerField("promotion", null=True, help_text="Its event.")
    promoted_utc = UtcField("promoted at", null=True)
    promoted_by = models.CharField("promoted by", max_length=200, null=True)  # noqa: DJ001
    gate_set = models.CharField("golden set of the gate", max_length=200, null=True)  # noqa: DJ001
    gates_json = models.TextField("gates", null=True, help_text="JSON.")  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("interrogation_live")
        verbose_name = "live version"
        verbose_name_plural = "live versions"
        permissions = (("promote_interrogations", "Can promote interrogations and set their gates"),)

    def __str__(self) -> str:
        return f"{self.interrogation_key} {self.version or '(none promoted)'}"


class InterrogationEvent(ReadingModel):
    """One promotion, rollback or change of a gate."""

    event_seq = models.BigIntegerField("number", primary_key=True)
    interrogation_key = models.CharField("interrogation", max_length=200)
    at_utc = UtcField("at")
    event = models.CharField("event", max_length=40)
    actor = models.CharField("actor", max_length=200)
    db_user = models.CharField("database login", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001 (the columns' own nulls)
    definition_sha256 = models.CharField("definition", max_length=64, null=True)  # noqa: DJ001
    version = models.CharField("version", max_length=40, null=True)  # noqa: DJ001
    replaces_seq = models.BigIntegerField("replaces", null=True, help_text="The promotion in force before.")
    experiment_id = GuidField("experiment", null=True, help_text="That passed the gate.")
    detail_json = models.TextField("details", null=True, help_text="JSON.")  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("interrogation_event")
        verbose_name = "interrogation event"
        verbose_name_plural = "interrogation events"

    def __str__(self) -> str:
        return f"{self.interrogation_key} {self.event} {self.version or ''}".rstrip()
