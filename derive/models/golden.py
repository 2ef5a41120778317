"""Golden cases and experiments as their tables have them."""

from django.db import models

from derive.models.queue import ReadingModel
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import db_table


class GoldenCase(ReadingModel):
    """A question with its evidence and the facts that a right answer has."""

    case_id = GuidField("case id", primary_key=True)
    case_seq = models.BigIntegerField("number", help_text="Ascending in the order of creation.")
    set_name = models.CharField("set", max_length=200)
    case_key = models.CharField("case", max_length=200)
    interrogation_key = models.CharField("interrogation", max_length=200)
    input_json = models.TextField("input", help_text="JSON.")
    evidence_json = models.TextField("evidence", help_text="JSON.")
    expected_json = models.TextField("expected facts", help_text="JSON.")
    matching_json = models.TextField("matching", null=True, help_text="JSON.")  # noqa: DJ001 (the column's own null)
    from_run_id = GuidField("from run", null=True)
    from_review_id = GuidField("from review", null=True)
    created_utc = UtcField("created at")
    created_by = models.CharField("created by", max_length=200)
    changed_utc = UtcField("changed at")
    changed_by = models.CharField("changed by", max_length=200)

    class Meta(ReadingModel.Meta):
        db_table = db_table("golden_case")
        verbose_name = "golden case"
        verbose_name_plural = "golden cases"
        permissions = (("edit_golden_cases", "Can make golden cases"),)

    def __str__(self) -> str:
        return f"{self.set_name}: {self.case_key}"


class Experiment(ReadingModel):
    """Variants of a question, asked about the cases of a golden set."""

    experiment_id = GuidField("experiment id", primary_key=True)
    experiment_seq = models.BigIntegerField("number", help_text="Ascending in the order of creation.")
    set_name = models.CharField("set", max_length=200)
    batch_id = GuidField("batch")
    created_utc = UtcField("created at")
    created_by = models.CharField("created by", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001 (the column's own null)
    variants_json = models.TextField("variants", help_text="JSON.")
    gates_json = models.TextField("gates", help_text="JSON.")
    repeats = models.IntegerField("repeats")
    cases = models.IntegerField("cases")
    result_json = models.TextField("result", null=True, help_text="JSON.")  # noqa: DJ001
    is_passed = models.BooleanField("passed", null=True)
    scored_utc = UtcField("scored at", null=True)

    class Meta(ReadingModel.Meta):
        db_table = db_table("experiment")
        verbose_name = "experiment"
        verbose_name_plural = "experiments"
        permissions = (("run_experiments", "Can run experiments"),)

    def __str__(self) -> str:
        return f"{self.set_name} {self.experiment_seq}"


class ExperimentCase(ReadingModel):
    """An experiment's own copy of a golden case."""

    experiment_case_seq = models.BigIntegerField("number", primary_key=True)
    experiment_id = GuidField("experiment")
    case_no = models.IntegerField("case number", help_text="From 0.")
    case_key = models.CharField("case", max_length=200)
    interrogation_key = models.CharField("interrogation", max_length=200)
    input_json = models.TextField("input", help_text="JSON.")
    evidence_json = models.TextField("evidence", help_text="JSON.")
    expected_json = models.TextField("expected facts", help_text="JSON.")
    matching_json = models.TextField("matching", null=True, help_text="JSON.")  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("experiment_case")
        verbose_name = "experiment case"
        verbose_name_plural = "experiment cases"

    def __str__(self) -> str:
        return self.case_key
