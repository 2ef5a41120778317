"""Read-only, unmanaged models of the tables in the schema ``llm``.

The tables come from ``migrations_sql`` and only the stored procedures change rows, so saving, updating and deleting are
refused here. JSON stays text as stored, because a JSONField would parse it on every read and serialise it differently.
"""

from enum import StrEnum
from typing import Any, ClassVar, NoReturn

from django.db import models
from typing_extensions import override

from derive.errors import ErrorKind
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import db_table
from derive.states import EndpointState, JobEventName, JobStatus, ReviewDecision, ReviewStatus, RunStatus, Verdict


class ReadOnlyModelError(TypeError):
    """Something tried to write through a model; use ``derive.queue.JobQueue`` instead."""


def _refuse(what: str) -> NoReturn:
    raise ReadOnlyModelError(f"{what} is only read here: rows of the schema llm change through derive.queue.JobQueue")


class ReadingQuerySet(models.QuerySet[Any]):
    """A query set that refuses to write."""

    @override
    def update(self, **kwargs: Any) -> NoReturn:
        _refuse(self.model.__name__)

    @override
    def delete(self) -> NoReturn:
        _refuse(self.model.__name__)

    @override
    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(self.model.__name__)

    @override
    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(self.model.__name__)


class ReadingModel(models.Model):
    """Base class of the models, which can only be read."""

    objects: ClassVar[models.Manager[Any]] = ReadingQuerySet.as_manager()

    class Meta:
        abstract = True
        managed = False
        # Models cannot add, change or delete, so these permissions do not exist.
        default_permissions = ("view",)

    @override
    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(type(self).__name__)

    @override
    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(type(self).__name__)


def choices_of(values: type[StrEnum]) -> list[tuple[str, str]]:
    """Return an enumeration's values as a field's choices."""
    return [(value.value, value.value) for value in values]


class Job(ReadingModel):
    """A question in the queue, and its state."""

    job_id = GuidField("job id", primary_key=True)
    job_seq = models.BigIntegerField("number", help_text="Ascending in the order of queueing.")
    created_utc = UtcField("queued at")
    created_by = models.CharField("queued by", max_length=200)
    status = models.CharField("status", max_length=40, choices=choices_of(JobStatus))
    priority = models.IntegerField("priority", help_text="Higher runs first.")
    interrogation_key = models.CharField("interrogation", max_length=200)
    entity_type = models.CharField("entity type", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    entity_id = models.CharField("entity", max_length=400, null=True)  # noqa: DJ001
    input_json = models.TextField("input", help_text="JSON, as it was queued.")
    evidence_ref_json = models.TextField("evidence", null=True, help_text="JSON: references to more evidence.")  # noqa: DJ001
    model_hint = models.CharField("model", max_length=200, null=True, help_text="Empty: the worker's own.")  # noqa: DJ001
    max_attempts = models.IntegerField("attempts allowed")
    attempt_count = models.IntegerField("attempts counted", help_text="Since it was queued or last requeued.")
    available_utc = UtcField("ready from")
    locked_by = models.CharField("worker", max_length=200, null=True)  # noqa: DJ001
    locked_utc = UtcField("claimed at", null=True)
    lease_expires_utc = UtcField("lease expires at", null=True)
    current_run_id = GuidField("current run", null=True)
    cancel_requested_utc = UtcField("asked to stop at", null=True)
    hold_utc = UtcField("held since", null=True, help_text="Held jobs are never purged.")
    dedupe_key = models.CharField("dedupe key", max_length=400, null=True)  # noqa: DJ001
    repeats_run_id = GuidField("repeats run", null=True)
    last_error = models.TextField("last error", null=True)  # noqa: DJ001
    error_kind = models.CharField("error kind", max_length=40, null=True, choices=choices_of(ErrorKind))  # noqa: DJ001
    finished_utc = UtcField("ended at", null=True)
    escalated_utc = UtcField("escalated at", null=True, help_text="Last raised by an escalation policy.")
    batch_id = GuidField("batch", null=True)
    paused_utc = UtcField("paused at", null=True, help_text="Its batch is paused: not claimed until it resumes.")
    parent_job_id = GuidField("part of job", null=True)
    part_no = models.IntegerField("part", null=True)
    part_count = models.IntegerField("parts", null=True)
    marked_part_no = models.IntegerField("changes brought to parts up to", null=True)
    retry_parts_utc = UtcField("parts queued again that failed before", null=True)
    parts_available_utc = UtcField("new time for its parts", null=True)
    halved_ref_json = models.TextField("evidence since halved", null=True)  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("job")
        # Permissions beyond viewing, checked by derive.admin.site.permissions.
        permissions: ClassVar = [
            ("see_payloads", "Can see payloads: input, evidence, prompts, answers, artifacts"),
            ("act_on_jobs", "Can act on jobs"),
            ("purge_jobs", "Can purge jobs"),
        ]
        verbose_name = "job"
        verbose_name_plural = "jobs"

    def __str__(self) -> str:
        return f"job {self.job_id}"


class Run(ReadingModel):
    """One attempt at a job."""

    run_id = GuidField("run id", primary_key=True)
    run_seq = models.BigIntegerField("number", help_text="Ascending in the order of starting.")
    job = models.ForeignKey(
        Job, models.DO_NOTHING, verbose_name="job", related_name="runs", db_constraint=False, db_index=False
    )
    attempt = models.IntegerField("attempt", help_text="The job's runs, numbered from 1.")
    counted = models.BooleanField("counted", help_text="Whether it counts towards the attempts allowed.")
    started_utc = UtcField("started at")
    completed_utc = UtcField("ended at", null=True)
    lease_until_utc = UtcField("leased until")
    status = models.CharField("status", max_length=40, choices=choices_of(RunStatus))
    worker_id = models.CharField("worker", max_length=200)
    ollama_base_url = models.CharField("model server", max_length=400, null=True)  # noqa: DJ001
    model_name = models.CharField("model", max_length=200, null=True)  # noqa: DJ001
    model_tag = models.CharField("model tag", max_length=200, null=True)  # noqa: DJ001
    model_digest = models.CharField("model digest", max_length=100, null=True)  # noqa: DJ001
    options_json = models.TextField("options", null=True)  # noqa: DJ001
    metrics_json = models.TextField("metrics", null=True, help_text="Ollama's own; durations in nanoseconds.")  # noqa: DJ001
    prompt_tokens = models.IntegerField("prompt tokens", null=True)
    output_tokens = models.IntegerField("output tokens", null=True)
    total_ms = models.BigIntegerField("duration (ms)", null=True)
    interrogation_version = models.CharField("interrogation version", max_length=40, null=True)  # noqa: DJ001
    definition_sha256 = models.CharField("definition", max_length=64, null=True, help_text="SHA-256.")  # noqa: DJ001
    evidence_sha256 = models.CharField("evidence", max_length=64, null=True, help_text="SHA-256.")  # noqa: DJ001
    output_json = models.TextField("output", null=True)  # noqa: DJ001
    trace_id = models.CharField("trace", max_length=64, null=True)  # noqa: DJ001
    error_kind = models.CharField("error kind", max_length=40, null=True, choices=choices_of(ErrorKind))  # noqa: DJ001
    error = models.TextField("error", null=True)  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("run")
        verbose_name = "run"
        verbose_name_plural = "runs"

    def __str__(self) -> str:
        return f"run {self.run_id}"


class Artifact(ReadingModel):
    """A file of a run in the lake."""

    artifact_id = GuidField("artifact id", primary_key=True)
    artifact_seq = models.BigIntegerField("number")
    run = models.ForeignKey(
        Run, models.DO_NOTHING, verbose_name="run", related_name="artifacts", db_constraint=False, db_index=False
    )
    artifact_type = models.CharField("type", max_length=40)
    media_type = models.CharField("media type", max_length=200)
    content_sha256 = models.CharField("SHA-256", max_length=64)
    byte_count = models.BigIntegerField("bytes")
    lake_uri = models.CharField("path in the lake", max_length=400)
    created_utc = UtcField("recorded at")

    class Meta(ReadingModel.Meta):
        db_table = db_table("artifact")
        verbose_name = "artifact"
        verbose_name_plural = "artifacts"

    def __str__(self) -> str:
        return self.lake_uri


class FactSet(ReadingModel):
    """Records that the facts of a run are stored, and how many."""

    run_id = GuidField("run id", primary_key=True)
    fact_set_seq = models.BigIntegerField("number")
    run_seq = models.BigIntegerField("run's number")
    interrogation_key = models.CharField("interrogation", max_length=200)
    entity_type = models.CharField("entity type", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    entity_id = models.CharField("entity", max_length=400, null=True)  # noqa: DJ001
    evidence_sha256 = models.CharField("evidence", max_length=64, null=True, help_text="SHA-256.")  # noqa: DJ001
    fact_count = models.IntegerField("facts")
    stored_utc = UtcField("stored at")
    stored_by = models.CharField("stored by", max_length=200)

    class Meta(ReadingModel.Meta):
        db_table = db_table("fact_set")
        verbose_name = "fact set"
        verbose_name_plural = "fact sets"

    def __str__(self) -> str:
        return f"facts of run {self.run_id}"


class Fact(ReadingModel):
    """One cited object of an answer, with the position of its quote and the verdict."""

    fact_id = GuidField("fact id", primary_key=True)
    fact_seq = models.BigIntegerField("number", help_text="Ascending in the order of storing.")
    run = models.ForeignKey(
        Run, models.DO_NOTHING, verbose_name="run", related_name="facts", db_constraint=False, db_index=False
    )
    job = models.ForeignKey(
        Job, models.DO_NOTHING, verbose_name="job", related_name="facts", db_constraint=False, db_index=False
    )
    fact_index = models.IntegerField("place", help_text="Index among the answer's facts, from 0.")
    path = models.CharField("path", max_length=400, help_text="JSON path in the answer.")
    interrogation_key = models.CharField("interrogation", max_length=200)
    entity_type = models.CharField("entity type", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    entity_id = models.CharField("entity", max_length=400, null=True)  # noqa: DJ001
    fact_key = models.CharField("key", max_length=200, null=True)  # noqa: DJ001
    value = models.TextField("value", null=True)  # noqa: DJ001
    value_key = models.CharField(  # noqa: DJ001
        "normalised value", max_length=400, null=True, help_text="Compared to find conflicts. Empty: never in conflict."
    )
    quote = models.TextField("quote", null=True)  # noqa: DJ001
    evidence_id = models.CharField("evidence item", max_length=400, null=True)  # noqa: DJ001
    evidence_ids = models.TextField("evidence cited", null=True, help_text="JSON: all evidence items the fact cites.")  # noqa: DJ001
    quote_start = models.IntegerField("quote begins at", null=True, help_text="Code points.")
    quote_end = models.IntegerField("quote ends before", null=True, help_text="Code points.")
    occurrences = models.IntegerField("occurrences of the quote")
    confidence = models.DecimalField("confidence", max_digits=5, decimal_places=2, null=True)
    proof = models.CharField("rule", max_length=40)
    verdict = models.CharField("verdict", max_length=40, choices=choices_of(Verdict))
    why = models.CharField("because", max_length=1000, null=True)  # noqa: DJ001
    is_current = models.BooleanField("current", help_text="No newer run over the same evidence has facts.")
    conflict_id = GuidField("conflict", null=True)
    review_status = models.CharField("review", max_length=40, choices=choices_of(ReviewStatus))
    reviewed_by = models.CharField("reviewed by", max_length=200, null=True)  # noqa: DJ001
    reviewed_utc = UtcField("reviewed at", null=True)
    corrected_value = models.TextField("corrected value", null=True)  # noqa: DJ001
    corrected_evidence_id = models.CharField("corrected evidence item", max_length=400, null=True)  # noqa: DJ001
    corrected_quote = models.TextField("corrected quote", null=True)  # noqa: DJ001
    corrected_quote_start = models.IntegerField("corrected quote begins at", null=True, help_text="Code points.")
    corrected_quote_end = models.IntegerField("corrected quote ends before", null=True, help_text="Code points.")
    review_priority = models.IntegerField(
        "review priority", null=True, help_text="The job's priority while the fact waits for a review, else empty."
    )
    review_round = models.IntegerField("opinions so far", help_text="While it waits for another one.")
    review_claimed_by = models.CharField("being reviewed by", max_length=200, null=True)  # noqa: DJ001
    review_claim_expires_utc = UtcField("review claim expires at", null=True)

    class Meta(ReadingModel.Meta):
        db_table = db_table("fact")
        verbose_name = "fact"
        verbose_name_plural = "facts"

    def __str__(self) -> str:
        return f"fact {self.fact_id}"


class FactReview(ReadingModel):
    """One decision of a person about a fact, with the fact as it was decided on; never changed."""

    review_id = GuidField("review id", primary_key=True)
    review_seq = models.BigIntegerField("number")
    fact_id = GuidField("fact")
    run = models.ForeignKey(
        Run, models.DO_NOTHING, verbose_name="run", related_name="reviews", db_constraint=False, db_index=False
    )
    job_id = GuidField("job")
    fact_index = models.IntegerField("place", help_text="Index among the answer's facts.")
    decision = models.CharField("decision", max_length=40, choices=choices_of(ReviewDecision))
    from_status = models.CharField("from", max_length=40, choices=choices_of(ReviewStatus))
    to_status = models.CharField("to", max_length=40, choices=choices_of(ReviewStatus))
    at_utc = UtcField("at")
    actor = models.CharField("reviewer", max_length=200)
    db_user = models.CharField("database login", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001 (the column's own null)
    because = models.CharField(
        "reviewed because", max_length=40, help_text="verdict, conflict or sample; asked: it was not in the queue."
    )
    interrogation_key = models.CharField("interrogation", max_length=200)
    fact_key = models.CharField("key", max_length=200, null=True)  # noqa: DJ001
    value = models.TextField("value", null=True)  # noqa: DJ001
    value_key = models.CharField("normalised value", max_length=400, null=True)  # noqa: DJ001
    proof = models.CharField("rule", max_length=40)
    verdict = models.CharField("verdict", max_length=40, choices=choices_of(Verdict))
    confidence = models.DecimalField("confidence", max_digits=5, decimal_places=2, null=True)
    corrected_value = models.TextField("corrected value", null=True)  # noqa: DJ001
    corrected_value_key = models.CharField("normalised corrected value", max_length=400, null=True)  # noqa: DJ001
    evidence_id = models.CharField("evidence item", max_length=400, null=True)  # noqa: DJ001
    quote = models.TextField("quote", null=True)  # noqa: DJ001
    quote_start = models.IntegerField("quote begins at", null=True, help_text="Code points.")
    quote_end = models.IntegerField("quote ends before", null=True, help_text="Code points.")

    class Meta(ReadingModel.Meta):
        db_table = db_table("fact_review")
        permissions: ClassVar = [
            ("review_facts", "Can decide on facts"),
            ("set_review_policy", "Can set how many facts are reviewed, and by how many"),
        ]
        verbose_name = "review"
        verbose_name_plural = "reviews"

    def __str__(self) -> str:
        return f"review {self.review_seq}"


class ReviewPolicy(ReadingModel):
    """How many facts of an interrogation people look at, and how many decide; its newest row holds."""

    policy_seq = models.BigIntegerField("number", primary_key=True)
    interrogation_key = models.CharField("interrogation", max_length=200)
    sample_percent = models.DecimalField("share of admitted facts (%)", max_digits=5, decimal_places=2)
    reviewers = models.IntegerField("reviewers")
    changed_utc = UtcField("changed at")
    changed_by = models.CharField("changed by", max_length=200)
    db_user = models.CharField("database login", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001 (the column's own null)

    class Meta(ReadingModel.Meta):
        db_table = db_table("review_policy")
        verbose_name = "review policy"
        verbose_name_plural = "review policies"

    def __str__(self) -> str:
        return f"review policy {self.policy_seq}"


class JobEvent(ReadingModel):
    """One change of a job, recorded in the same transaction."""

    event_seq = models.BigIntegerField("number", primary_key=True)
    job = models.ForeignKey(
        Job, models.DO_NOTHING, verbose_name="job", related_name="events", db_constraint=False, db_index=False
    )
    run_id = GuidField("run", null=True)
    at_utc = UtcField("at")
    event = models.CharField("event", max_length=40, choices=choices_of(JobEventName))
    from_status = models.CharField("from", max_length=40, null=True, choices=choices_of(JobStatus))  # noqa: DJ001
    to_status = models.CharField("to", max_length=40, choices=choices_of(JobStatus))
    actor = models.CharField("actor", max_length=200)
    db_user = models.CharField("database login", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001
    detail_json = models.TextField("details", null=True)  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("job_event")
        verbose_name = "event"
        verbose_name_plural = "events"

    def __str__(self) -> str:
        return f"{self.event} {self.event_seq}"


class Worker(ReadingModel):
    """A worker, as reported by its heartbeats."""

    worker_id = models.CharField("worker", max_length=200, primary_key=True)
    host = models.CharField("host", max_length=200, null=True)  # noqa: DJ001
    pid = models.IntegerField("process", null=True)
    version = models.CharField("version", max_length=100, null=True)  # noqa: DJ001
    started_utc = UtcField("started at", null=True)
    last_seen_utc = UtcField("last seen at")
    concurrency = models.IntegerField("slots", null=True)
    active_runs = models.IntegerField("runs now")
    stopping = models.BooleanField("stopping")
    not_claiming_why = models.CharField(  # noqa: DJ001
        "not claiming because", max_length=1000, null=True, help_text="Null while it may claim."
    )

    class Meta(ReadingModel.Meta):
        db_table = db_table("worker")
        verbose_name = "worker"
        verbose_name_plural = "workers"

    def __str__(self) -> str:
        return self.worker_id


class Endpoint(ReadingModel):
    """A model server of a worker, as reported by the worker's heartbeats."""

    pk = models.CompositePrimaryKey("worker_id", "name")
    worker_id = models.CharField("worker", max_length=200)
    name = models.CharField("endpoint", max_length=200)
    protocol = models.CharField("protocol", max_length=40)
    address = models.CharField("address", max_length=400, help_text="Without secrets.")
    slots = models.IntegerField("slots")
    state = models.CharField("state", max_length=40, choices=choices_of(EndpointState))
    serving_model = models.CharField("serving", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    serving_since_utc = UtcField("serving since", null=True)
    resident_models_json = models.TextField("loaded models", null=True, help_text="None while not known.")  # noqa: DJ001
    models_json = models.TextField("models", null=True, help_text="What it lists; none while not known.")  # noqa: DJ001
    last_error = models.CharField("last error", max_length=1000, null=True)  # noqa: DJ001
    last_seen_utc = UtcField("last seen at")

    class Meta(ReadingModel.Meta):
        db_table = db_table("endpoint")
        verbose_name = "endpoint"
        verbose_name_plural = "endpoints"

    def __str__(self) -> str:
        return self.name


class Interrogation(ReadingModel):
    """One definition: a version of a question, identified by its hash."""

    definition_sha256 = models.CharField("definition", max_length=64, primary_key=True, help_text="SHA-256.")
    interrogation_key = models.CharField("interrogation", max_length=200)
    version = models.CharField("version", max_length=40)
    prompt_template = models.TextField("prompt template")
    output_schema_json = models.TextField("output schema", help_text="JSON schema.")
    rubric = models.TextField("rubric")
    registered_utc = UtcField("registered at")
    refused_utc = UtcField("schema refused at", null=True)
    refused_why = models.TextField("refused because", null=True, help_text="The model server's error for its schema.")  # noqa: DJ001 (as in SQL)

    class Meta(ReadingModel.Meta):
        db_table = db_table("interrogation")
        verbose_name = "interrogation"
        verbose_name_plural = "interrogations"

    def __str__(self) -> str:
        return f"{self.interrogation_key} {self.version}"


class LanguageModel(ReadingModel):
    """An operator's settings for a model; a model without a row has no limits."""

    model = models.CharField("model", max_length=200, primary_key=True)
    model_seq = models.BigIntegerField("number")
    paused_utc = UtcField("paused at", null=True)
    paused_by = models.CharField("paused by", max_length=200, null=True)  # noqa: DJ001 (the column's own null)
    pause_reason = models.TextField("why paused", null=True)  # noqa: DJ001
    max_running = models.IntegerField("maximum running", null=True)
    max_starts_per_minute = models.IntegerField("maximum starts per minute", null=True)
    num_ctx = models.IntegerField("context", null=True, help_text="Tokens.")
    num_predict = models.IntegerField("longest answer", null=True, help_text="Tokens.")
    load_ms = models.BigIntegerField("time to load", null=True, help_text="Milliseconds.")

    class Meta(ReadingModel.Meta):
        db_table = db_table("model")
        verbose_name = "model"
        verbose_name_plural = "models"

    def __str__(self) -> str:
        return self.model


class SchemaScript(ReadingModel):
    """A script that was run on this database."""

    script_name = models.CharField("script", max_length=200, primary_key=True)
    sha256 = models.CharField("SHA-256", max_length=64)
    applied_utc = UtcField("applied at")

    class Meta(ReadingModel.Meta):
        db_table = db_table("schema_script")
        verbose_name = "schema script"
        verbose_name_plural = "schema scripts"

    def __str__(self) -> str:
        return self.script_name


class LakeDeletion(ReadingModel):
    """A lake folder of a purged job that is still to be deleted."""

    deletion_seq = models.BigIntegerField("number", primary_key=True)
    job_id = GuidField("job")
    run_id = GuidField("run")
    lake_uri = models.CharField("path in the lake", max_length=400)
    requested_utc = UtcField("purged at")
    requested_by = models.CharField("purged by", max_length=200)
    reason = models.TextField("reason", null=True)  # noqa: DJ001
    attempts = models.IntegerField("attempts")
    last_error = models.TextField("last error", null=True)  # noqa: DJ001
    deleted_utc = UtcField("deleted at", null=True)

    class Meta(ReadingModel.Meta):
        db_table = db_table("lake_deletion")
        verbose_name = "lake deletion"
        verbose_name_plural = "lake deletions"

    def __str__(self) -> str:
        return self.lake_uri


class Seal(ReadingModel):
    """A link of the sealed history: a range of events, and the hash of everything up to them."""

    seal_seq = models.BigIntegerField("number", primary_key=True)
    first_event_seq = models.BigIntegerField("first event")
    last_event_seq = models.BigIntegerField("last event")
    event_count = models.IntegerField("events")
    previous_sha256 = models.CharField("head before", max_length=64)
    sha256 = models.CharField("head", max_length=64)
    created_utc = UtcField("sealed at")
    db_user = models.CharField("database login", max_length=200)
    pending_json = models.TextField("document", null=True, help_text="Null once it is stored in the lake.")  # noqa: DJ001

    class Meta(ReadingModel.Meta):
        db_table = db_table("seal")
        verbose_name = "seal"
        verbose_name_plural = "seals"

    def __str__(self) -> str:
        return f"seal {self.seal_seq}"
