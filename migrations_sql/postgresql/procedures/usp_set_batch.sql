-- llm.usp_set_batch: says that a batch is filled, pauses, resumes or cancels it, or sets a budget. Null leaves a value
--   as it is; a budget of 0 removes it.
-- Promises: changed false with the reason why, or changed with an event for each change. A batch that has ended does
--   not change. After a pause jobs that are queued or requeued into the batch are paused too; those that are in it
--   already are paused, and after a resume released, by usp_mark_batch_jobs, which the caller calls until it is done
--   and every sweep goes on with. Running jobs go on. Cancelling refuses new jobs; the caller cancels those in it
--   (usp_cancel_jobs), step by step. A batch whose budget is spent is not resumed.
-- Called by: queue.py for operators (admin, commands); whoever fills a batch by several calls.
-- Locks: the batch's row.
CALL llm.drop_procedure('usp_set_batch');

CREATE TYPE llm.usp_set_batch_result AS (
    changed boolean,
    why text
);

CREATE FUNCTION llm.usp_set_batch(
    batch_id uuid,
    actor text,
    paused boolean DEFAULT NULL,
    filled boolean DEFAULT NULL,
    cancelled boolean DEFAULT NULL,
    budget_tokens bigint DEFAULT NULL,
    budget_model_seconds bigint DEFAULT NULL,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_set_batch_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_set_batch.actor);
    v_batch llm.batch;
    v_old llm.batch;
    v_now timestamptz;
    v_why text;
    v_events text[] := '{}';
BEGIN
    IF usp_set_batch.batch_id IS NULL OR usp_set_batch.budget_tokens < 0 OR usp_set_batch.budget_model_seconds < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'HC048', MESSAGE = 'batch_id is missing, or a budget is negative';
    END IF;
    SELECT b.* INTO v_batch FROM llm.batch AS b WHERE b.batch_id = usp_set_batch.batch_id FOR NO KEY UPDATE;
    v_now := clock_timestamp();
    IF v_batch.batch_id IS NULL THEN
        RETURN NEXT ROW(FALSE, 'no such batch')::llm.usp_set_batch_result;
        RETURN;
    END IF;
    IF v_batch.finished_utc IS NOT NULL THEN
        RETURN NEXT ROW(FALSE, 'the batch has ended')::llm.usp_set_batch_result;
        RETURN;
    END IF;

    v_old := v_batch;
    v_batch.budget_tokens := nullif(coalesce(usp_set_batch.budget_tokens, v_batch.budget_tokens), 0);
    v_batch.budget_model_seconds := nullif(
        coalesce(usp_set_batch.budget_model_seconds, v_batch.budget_model_seconds), 0
    );
    IF v_batch.budget_tokens IS DISTINCT FROM v_old.budget_tokens
        OR v_batch.budget_model_seconds IS DISTINCT FROM v_old.budget_model_seconds
    THEN
        v_events := v_events || 'batch_budget_changed'::text;
    ELSIF usp_set_batch.budget_tokens IS NOT NULL OR usp_set_batch.budget_model_seconds IS NOT NULL THEN
        v_why := 'the budget is so already';
    END IF;
    IF usp_set_batch.filled AND v_batch.filled_utc IS NOT NULL THEN
        v_why := 'already filled';
    ELSIF usp_set_batch.filled THEN
        v_batch.filled_utc := v_now;
        v_events := v_events || 'batch_filled'::text;
    END IF;
    IF usp_set_batch.cancelled AND v_batch.cancelled_utc IS NOT NULL THEN
        v_why := 'already cancelled';
    ELSIF usp_set_batch.cancelled THEN
        v_batch.cancelled_utc := v_now;
        v_batch.cancelled_by := v_actor;
        v_batch.filled_utc := coalesce(v_batch.filled_utc, v_now);
        v_events := v_events || 'batch_cancelled'::text;
    END IF;
    IF usp_set_batch.paused AND v_batch.paused_utc IS NOT NULL THEN
        v_why := 'already paused';
    ELSIF usp_set_batch.paused THEN
        v_batch.paused_utc := v_now;
        v_batch.paused_by := v_actor;
        v_batch.pause_reason := usp_set_batch.reason;
        v_batch.marked_job_seq := 0;
        v_events := v_events || 'batch_paused'::text;
    ELSIF NOT usp_set_batch.paused AND v_batch.paused_utc IS NULL THEN
        v_why := 'not paused';
    ELSIF NOT usp_set_batch.paused AND v_batch.spent_tokens >= v_batch.budget_tokens THEN
        v_why := 'its budget of tokens is spent: raise or remove it first';
    ELSIF NOT usp_set_batch.paused AND v_batch.spent_model_ms >= v_batch.budget_model_seconds * 1000 THEN
        v_why := 'its budget of model seconds is spent: raise or remove it first';
    ELSIF NOT usp_set_batch.paused THEN
        v_batch.paused_utc := NULL;
        v_batch.paused_by := NULL;
        v_batch.pause_reason := NULL;
        v_batch.marked_job_seq := 0;
        v_events := v_events || 'batch_resumed'::text;
    END IF;

    IF v_events <> '{}' THEN
        UPDATE llm.batch AS b
        SET
            budget_tokens = v_batch.budget_tokens,
            budget_model_seconds = v_batch.budget_model_seconds,
            filled_utc = v_batch.filled_utc,
            cancelled_utc = v_batch.cancelled_utc,
            cancelled_by = v_batch.cancelled_by,
            paused_utc = v_batch.paused_utc,
            paused_by = v_batch.paused_by,
            pause_reason = v_batch.pause_reason,
            marked_job_seq = v_batch.marked_job_seq
        WHERE b.batch_id = v_batch.batch_id;
        INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason, detail_json)
        SELECT
            v_batch.batch_id, v_now, e.event, v_actor, usp_set_batch.reason,
            CASE
                WHEN e.event = 'batch_budget_changed' THEN
                    json_build_object(
                        'budget_tokens', v_batch.budget_tokens, 'budget_model_seconds', v_batch.budget_model_seconds
                    )::text
            END
        FROM unnest(v_events) WITH ORDINALITY AS e (event, place)
        ORDER BY e.place;
    END IF;

    RETURN NEXT ROW(v_events <> '{}', v_why)::llm.usp_set_batch_result;
END;
$$;

CALL llm.grant_procedure('usp_set_batch', 'llm_operator');
