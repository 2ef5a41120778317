-- llm.usp_enqueue_job: queues one job; NEW, or SCHEDULED when available_utc is in the future.
-- Promises: those of usp_enqueue_jobs, for one job; with a job_id chosen by the caller, the call may be repeated.
-- Called by: queue.py, anybody's SQL.
-- Locks: those of usp_enqueue_jobs, which does the work, so that the rules exist once.
CALL llm.drop_procedure('usp_enqueue_job');

CREATE TYPE llm.usp_enqueue_job_result AS (
    job_id uuid,
    is_duplicate boolean,
    status varchar(40)
);

CREATE FUNCTION llm.usp_enqueue_job(
    interrogation_key text,
    input_json text,
    priority integer DEFAULT 100,
    evidence_ref_json text DEFAULT NULL,
    model_hint text DEFAULT NULL,
    max_attempts integer DEFAULT 3,
    available_utc timestamptz DEFAULT NULL,
    dedupe_key text DEFAULT NULL,
    entity_type text DEFAULT NULL,
    entity_id text DEFAULT NULL,
    repeats_run_id uuid DEFAULT NULL,
    job_id uuid DEFAULT NULL,
    actor text DEFAULT NULL,
    reason text DEFAULT NULL,
    batch_id uuid DEFAULT NULL
)
RETURNS SETOF llm.usp_enqueue_job_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT answer.job_id, answer.is_duplicate, answer.status
    FROM llm.usp_enqueue_jobs(
        json_build_array(
            json_build_object(
                'n', 1,
                'job_id', usp_enqueue_job.job_id,
                'interrogation_key', usp_enqueue_job.interrogation_key,
                'input_json', usp_enqueue_job.input_json,
                'priority', usp_enqueue_job.priority,
                'evidence_ref_json', usp_enqueue_job.evidence_ref_json,
                'model_hint', usp_enqueue_job.model_hint,
                'max_attempts', usp_enqueue_job.max_attempts,
                'available_utc', usp_enqueue_job.available_utc,
                'dedupe_key', usp_enqueue_job.dedupe_key,
                'entity_type', usp_enqueue_job.entity_type,
                'entity_id', usp_enqueue_job.entity_id,
                'repeats_run_id', usp_enqueue_job.repeats_run_id
            )
        )::text,
        usp_enqueue_job.actor,
        usp_enqueue_job.reason,
        usp_enqueue_job.batch_id
    ) AS answer;
END;
$$;

CALL llm.grant_procedure('usp_enqueue_job', 'llm_operator');
