"""The stored procedures of both engines: parameters in order, result columns, repeatability."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Procedure:
    """One procedure of the schema ``llm``.

    ``is_repeatable`` means that repeating a call has no further effect, so it may be retried if the connection breaks
    before the answer arrives.
    """

    name: str
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    is_repeatable: bool = True


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CHANGES = _words("job_id changed from_status to_status why")

ENQUEUE_JOB = Procedure(
    "usp_enqueue_job",
    _words(
        "interrogation_key input_json priority evidence_ref_json model_hint max_attempts available_utc dedupe_key "
        "entity_type entity_id repeats_run_id job_id actor reason batch_id"
    ),
    _words("job_id is_duplicate status"),
)
ENQUEUE_JOBS = Procedure(
    "usp_enqueue_jobs",
    _words("jobs_json actor reason batch_id with_answer"),
    _words("n job_id is_duplicate status"),
)
STAGE_JOBS = Procedure("usp_stage_jobs", _words("stage_id part_no jobs_json"), _words("parts"))
PUBLISH_JOBS = Procedure(
    "usp_publish_jobs", _words("stage_id actor reason batch_id"), _words("n job_id is_duplicate status")
)
OPEN_BATCH = Procedure(
    "usp_open_batch",
    _words("name actor reason batch_id budget_tokens budget_model_seconds on_finish_json derivation_key"),
    _words("batch_id is_new"),
)
# Said again it changes nothing, but answers that nothing changed.
SET_BATCH = Procedure(
    "usp_set_batch",
    _words("batch_id actor paused filled cancelled budget_tokens budget_model_seconds reason"),
    _words("changed why"),
    is_repeatable=False,
)
MARK_BATCH_JOBS = Procedure("usp_mark_batch_jobs", _words("batch_id max_rows"), _words("marked is_done"))
# A repeated call misses what the lost answer told; each end is counted once all the same.
SWEEP_BATCHES = Procedure("usp_sweep_batches", _words("max_batches actor"), _words("batch_id event"))
SET_DERIVATION = Procedure(
    "usp_set_derivation",
    _words("derivation_key actor declaration_json paused planned applied next_utc paced_until_utc reason"),
    _words("changed why"),
)
# A repeated call asks for the same jobs again, which are made once; but a wish for a new answer would count twice.
SET_SUBJECTS = Procedure(
    "usp_set_subjects",
    _words("derivation_key subjects_json actor jobs_json batch_id reason"),
    _words("changed"),
    is_repeatable=False,
)
SETTLE_SUBJECTS = Procedure("usp_settle_subjects", _words("max_events"), _words("settled is_caught_up"))
# Taken again only where the transaction that took them did not commit.
TAKE_DELIVERIES = Procedure(
    "usp_take_deliveries",
    _words("derivation_key max_rows"),
    _words("delivery_seq entity_type entity_id state run_id changed_utc"),
)
FILL_DELIVERIES = Procedure("usp_fill_deliveries", _words("derivation_key max_rows restart"), _words("filled is_done"))
REFUSE_DELIVERY = Procedure("usp_refuse_delivery", _words("delivery_seq why"), _words("changed"))
CLAIM_NEXT_JOB = Procedure(
    "usp_claim_next_job",
    _words(
        "worker_id lease_seconds max_jobs model except_interrogations_json serving_model default_model models_json stay"
    ),
    _words(
        "job_id run_id attempt attempt_count max_attempts priority interrogation_key input_json evidence_ref_json "
        "model_hint repeats_run_id lease_expires_utc previous_run_id previous_error_kind previous_error "
        "previous_options_json num_ctx num_predict parent_job_id part_no part_count"
    ),
    # A second claim takes other jobs; the first ones are returned as strays by the next heartbeat.
    is_repeatable=False,
)
HEARTBEAT = Procedure(
    "usp_heartbeat",
    _words(
        "worker_id run_ids_json lease_seconds host pid version started_utc concurrency stopping not_claiming_why "
        "endpoints_json"
    ),
    _words("run_id state lease_expires_utc"),
)
COMPLETE_JOB = Procedure(
    "usp_complete_job",
    _words(
        "job_id run_id status error error_kind retry_after_seconds count_attempt run_json artifacts_json facts_json"
    ),
    _words("accepted final_status available_utc"),
)
COMPLETE_JOBS = Procedure(
    "usp_complete_jobs", _words("outcomes_json"), _words("run_id accepted final_status available_utc")
)
REBUILD_FACTS = Procedure("usp_rebuild_facts", _words("run_id facts_json actor"), _words("stored fact_count why"))
CLAIM_FACTS = Procedure(
    "usp_claim_facts",
    _words("actor max_facts claim_seconds fact_id"),
    _words("fact_seq fact_id claimed_by claim_expires_utc"),
    # A second call gives the next facts; the first ones come back when their claims expire.
    is_repeatable=False,
)
# Said again it changes nothing, but answers that nothing changed; a fact that was added is not added twice.
REVIEW_FACTS = Procedure(
    "usp_review_facts",
    _words("decisions_json actor reason"),
    _words("n fact_id changed from_status to_status why"),
    is_repeatable=False,
)
SET_REVIEW_POLICY = Procedure(
    "usp_set_review_policy",
    _words("interrogation_key actor sample_percent reviewers reason"),
    _words("changed"),
    is_repeatable=False,
)
SAVE_GOLDEN_CASES = Procedure("usp_save_golden_cases", _words("cases_json actor replaces"), _words("n outcome"))
SPLIT_JOB = Procedure(
    "usp_split_job",
    _words("run_id worker_id input_json parts_json run_json artifacts_json error error_kind"),
    _words("accepted final_status"),
)
# A repeated call misses what the lost answer told; each job is joined once all the same.
JOIN_DUE_JOBS = Procedure("usp_join_due_jobs", _words("max_rows actor"), _words("job_id final_status"))
OPEN_EXPERIMENT = Procedure(
    "usp_open_experiment",
    _words("experiment_id set_name batch_id variants_json gates_json actor repeats reason"),
    _words("cases is_new"),
)
# Said again it changes nothing, but answers that nothing was recorded.
RECORD_EXPERIMENT = Procedure(
    "usp_record_experiment",
    _words("experiment_id result_json is_passed"),
    _words("recorded"),
    is_repeatable=False,
)
# Said again it changes nothing, but answers that nothing changed.
SET_GATE = Procedure(
    "usp_set_gate",
    _words("interrogation_key actor set_name gates_json reason"),
    _words("changed"),
    is_repeatable=False,
)
PROMOTE_INTERROGATION = Procedure(
    "usp_promote_interrogation",
    _words("interrogation_key version actor reason"),
    _words("promoted definition_sha256 experiment_id why"),
)
# A second call goes one promotion further back.
ROLL_BACK_INTERROGATION = Procedure(
    "usp_roll_back_interrogation",
    _words("interrogation_key actor reason"),
    _words("promoted definition_sha256 version why"),
    is_repeatable=False,
)
RELEASE_JOB = Procedure("usp_release_job", _words("run_id reason"), _words("accepted final_status"))
PROMOTE_DUE_JOBS = Procedure("usp_promote_due_jobs", _words("max_rows"), _words("promoted"))
REAP_EXPIRED_LEASES = Procedure(
    "usp_reap_expired_leases",
    _words("max_rows actor"),
    _words("job_id run_id final_status available_utc"),
    # The answer lists what this call reaped; a second call would omit what the lost answer listed.
    is_repeatable=False,
)
# A repeated call counts only what has arrived since; each event is counted once.
ROLL_UP_HOURS = Procedure(
    "usp_roll_up_hours", _words("max_events with_answer"), _words("events through_utc is_caught_up")
)
CANCEL_JOBS = Procedure("usp_cancel_jobs", _words("jobs_json actor reason"), _CHANGES, is_repeatable=False)
REQUEUE_JOBS = Procedure(
    "usp_requeue_jobs", _words("jobs_json actor available_utc reason"), _CHANGES, is_repeatable=False
)
REPRIORITIZE_JOBS = Procedure(
    "usp_reprioritize_jobs", _words("jobs_json actor priority reason"), _CHANGES, is_repeatable=False
)
RESCHEDULE_JOBS = Procedure(
    "usp_reschedule_jobs", _words("jobs_json actor available_utc reason"), _CHANGES, is_repeatable=False
)
SET_MODEL_HINT = Procedure(
    "usp_set_model_hint", _words("jobs_json actor model_hint reason"), _CHANGES, is_repeatable=False
)
# Repeating it changes nothing, but the answer then says that nothing changed.
SET_MODEL = Procedure(
    "usp_set_model",
    _words("model actor paused max_running max_starts_per_minute num_ctx num_predict unset_json reason"),
    _words("changed"),
    is_repeatable=False,
)
MEASURE_LOADS = Procedure("usp_measure_loads", _words("max_runs"), _words("measured"))
FORGET_WORKERS = Procedure("usp_forget_workers", _words("silent_days max_rows"), _words("removed"))
ESCALATE_AGED_JOBS = Procedure(
    "usp_escalate_aged_jobs",
    _words(
        "actor waiting_seconds raise_by max_priority interrogation_key after_priority after_utc after_job_seq max_rows "
        "reason"
    ),
    _words("raised priority available_utc job_seq"),
    # What was escalated once is not due again; only the count in the lost answer is lost.
    is_repeatable=False,
)
SET_HOLD = Procedure("usp_set_hold", _words("jobs_json actor hold reason"), _CHANGES, is_repeatable=False)
REGISTER_INTERROGATION = Procedure(
    "usp_register_interrogation",
    _words("definition_sha256 interrogation_key version prompt_template output_schema_json rubric"),
    _words("registered why"),
)
SET_SCHEMA_REFUSAL = Procedure("usp_set_schema_refusal", _words("definition_sha256 why"), _words("changed"))
PURGE_JOBS = Procedure(
    "usp_purge_jobs",
    _words("finished_before_utc statuses_json actor max_rows dry_run reason"),
    _words("job_id lake_uri"),
    is_repeatable=False,
)

SEAL_HORIZON = Procedure("usp_seal_horizon", (), _words("event_seq at_utc"))
RECORD_SEAL = Procedure(
    "usp_record_seal",
    _words("seal_seq first_event_seq last_event_seq event_count previous_sha256 sha256 created_utc seal_json"),
    _words("accepted why"),
)
MARK_SEAL_STORED = Procedure("usp_mark_seal_stored", _words("seal_seq sha256"), _words("stored"))
RECORD_LAKE_DELETIONS = Procedure(
    "usp_record_lake_deletions",
    _words("deletions_json"),
    _words("recorded"),
    # A repeated call would count a failed attempt twice.
    is_repeatable=False,
)

# A repeated call finds what the first one recorded.
SETTLE_LAKE = Procedure("usp_settle_lake", _words("lake_id replaces"), _words("lake_id recorded_utc"))

PROCEDURES = (
    ENQUEUE_JOB,
    ENQUEUE_JOBS,
    STAGE_JOBS,
    PUBLISH_JOBS,
    OPEN_BATCH,
    SET_BATCH,
    MARK_BATCH_JOBS,
    SWEEP_BATCHES,
    SET_DERIVATION,
    SET_SUBJECTS,
    SETTLE_SUBJECTS,
    TAKE_DELIVERIES,
    FILL_DELIVERIES,
    REFUSE_DELIVERY,
    CLAIM_NEXT_JOB,
    HEARTBEAT,
    COMPLETE_JOB,
    COMPLETE_JOBS,
    SPLIT_JOB,
    JOIN_DUE_JOBS,
    REBUILD_FACTS,
    CLAIM_FACTS,
    REVIEW_FACTS,
    SET_REVIEW_POLICY,
    SAVE_GOLDEN_CASES,
    OPEN_EXPERIMENT,
    RECORD_EXPERIMENT,
    SET_GATE,
    PROMOTE_INTERROGATION,
    ROLL_BACK_INTERROGATION,
    RELEASE_JOB,
    PROMOTE_DUE_JOBS,
    REAP_EXPIRED_LEASES,
    ROLL_UP_HOURS,
    CANCEL_JOBS,
    REQUEUE_JOBS,
    REPRIORITIZE_JOBS,
    RESCHEDULE_JOBS,
    SET_MODEL_HINT,
    SET_HOLD,
    SET_MODEL,
    MEASURE_LOADS,
    FORGET_WORKERS,
    ESCALATE_AGED_JOBS,
    REGISTER_INTERROGATION,
    SET_SCHEMA_REFUSAL,
    PURGE_JOBS,
    SEAL_HORIZON,
    RECORD_SEAL,
    MARK_SEAL_STORED,
    RECORD_LAKE_DELETIONS,
    SETTLE_LAKE,
)
