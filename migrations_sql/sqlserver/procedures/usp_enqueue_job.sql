SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_enqueue_job: queues one job; NEW, or SCHEDULED when available_utc is in the future.
-- Promises: those of usp_enqueue_jobs, for one job; with a job_id chosen by the caller, the call may be repeated.
-- Called by: queue.py, anybody's SQL.
-- Locks: those of usp_enqueue_jobs, for one. It does not call that, because to hand the answer of one procedure on in
--   other columns takes INSERT EXEC, which then could not be used by a caller, nor roll back.
CREATE OR ALTER PROCEDURE llm.usp_enqueue_job
    @interrogation_key nvarchar(4000),
    @input_json nvarchar(MAX),
    @priority int = 100,
    @evidence_ref_json nvarchar(MAX) = NULL,
    @model_hint nvarchar(4000) = NULL,
    @max_attempts int = 3,
    @available_utc datetime2(6) = NULL,
    @dedupe_key nvarchar(4000) = NULL,
    @entity_type nvarchar(4000) = NULL,
    @entity_id nvarchar(4000) = NULL,
    @repeats_run_id uniqueidentifier = NULL,
    @job_id uniqueidentifier = NULL,
    @actor nvarchar(4000) = NULL,
    @reason nvarchar(MAX) = NULL,
    @batch_id uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    -- Longer parameters than columns: what is too long is refused, never cut.
    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @hint nvarchar(4000) = LTRIM(RTRIM(@model_hint));
    DECLARE @dedupe nvarchar(4000) = LTRIM(RTRIM(@dedupe_key));
    DECLARE @type nvarchar(4000) = NULLIF(LTRIM(RTRIM(@entity_type)), N'');
    DECLARE @entity nvarchar(4000) = NULLIF(LTRIM(RTRIM(@entity_id)), N'');
    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), ORIGINAL_LOGIN());
    DECLARE @own_id uniqueidentifier = COALESCE(@job_id, NEWID());
    DECLARE @callers_transactions int = @@TRANCOUNT;
    DECLARE @turns int = 0;
    DECLARE @now datetime2(6);
    DECLARE @seq bigint;
    DECLARE @is_duplicate bit;
    DECLARE @answer_id uniqueidentifier;
    DECLARE @status nvarchar(40);
    DECLARE @is_batch bit = 0;
    DECLARE @is_closed bit = 0;
    DECLARE @paused_utc datetime2(6);

    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;
    IF llm.is_json_object(@input_json) = 0
        THROW 51005, N'HC005: input_json is not a JSON object', 1;
    IF @priority < 0
        THROW 51006, N'HC006: priority is negative', 1;
    IF @max_attempts < 1
        THROW 51007, N'HC007: max_attempts is less than 1', 1;
    IF LEN(@dedupe) NOT BETWEEN 1 AND 400
        THROW 51008, N'HC008: dedupe_key is blank or longer than 400 characters', 1;
    IF @evidence_ref_json IS NOT NULL AND llm.is_json_object(@evidence_ref_json) = 0
        THROW 51009, N'HC009: evidence_ref_json is not a JSON object', 1;
    IF LEN(@hint) NOT BETWEEN 1 AND 200
        THROW 51021, N'HC021: model_hint is blank or longer than 200 characters', 1;
    IF LEN(@type) > 200 OR LEN(@entity) > 400
        THROW 51025, N'HC025: entity_type is longer than 200 or entity_id than 400 characters', 1;
    IF @available_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: available_utc is not in the years 2000 to 9000', 1;

    -- One turn, as a rule. Another one when the holder of the key went away between finding and answering, or when
    -- somebody was quicker where lock hints mean nothing.
    WHILE @status IS NULL
    BEGIN
        SET @turns = @turns + 1;
        SET @seq = NULL;
        SET @is_duplicate = 0;

        BEGIN TRY
            BEGIN TRANSACTION;

            IF @batch_id IS NOT NULL
            BEGIN
                SET @is_batch = 0;
                SELECT
                    @is_batch = 1,
                    @is_closed = CASE WHEN b.finished_utc IS NULL AND b.cancelled_utc IS NULL THEN 0 ELSE 1 END,
                    @paused_utc = b.paused_utc
                FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK)
                WHERE b.batch_id = @batch_id;
                IF @is_batch = 0
                    THROW 51048, N'HC048: there is no batch with this batch_id', 1;
            END;

            -- UPDLOCK, HOLDLOCK hold the key, or the gap where it would stand, to the commit: whoever comes with the
            -- same one waits here. First the id, of which no gap is held, then the dedupe key, in every enqueue. Both
            -- looks are answered by the index alone: a job's row is not locked, and nobody who works on one waited for.
            SELECT @seq = j.job_seq
            FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
            WHERE j.job_id = @own_id;

            IF @seq IS NULL AND @dedupe IS NOT NULL
                SELECT
                    @seq = j.job_seq,
                    @is_duplicate = 1
                FROM llm.job AS j WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_job_dedupe))
                WHERE
                    j.dedupe_key = @dedupe
                    AND j.interrogation_key = @key
                    AND j.dedupe_key IS NOT NULL
                    AND j.status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED');

            IF @seq IS NULL
            BEGIN
                IF @is_closed = 1
                    THROW 51049, N'HC049: the batch has ended or is cancelled', 1;
                SET @now = SYSUTCDATETIME();
                SET @status = CASE WHEN @available_utc > @now THEN N'SCHEDULED' ELSE N'NEW' END;

                INSERT INTO llm.job (
                    job_id, created_utc, created_by, status, priority, interrogation_key, entity_type, entity_id,
                    input_json, evidence_ref_json, model_hint, max_attempts, available_utc, dedupe_key, repeats_run_id,
                    batch_id, paused_utc
                )
                VALUES (
                    @own_id, @now, @who, @status, COALESCE(@priority, 100), @key, @type, @entity,
                    @input_json, @evidence_ref_json, @hint, COALESCE(@max_attempts, 3), COALESCE(@available_utc, @now),
                    @dedupe, @repeats_run_id, @batch_id, @paused_utc
                );

                INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
                VALUES (@own_id, @now, N'enqueued', NULL, @status, @who, @reason);

                SET @answer_id = @own_id;
            END;

            IF @batch_id IS NOT NULL AND (@answer_id IS NOT NULL OR @is_duplicate = 1)
                UPDATE llm.batch
                SET
                    queued_jobs = queued_jobs + CASE WHEN @is_duplicate = 1 THEN 0 ELSE 1 END,
                    duplicate_jobs = duplicate_jobs + CASE WHEN @is_duplicate = 1 THEN 1 ELSE 0 END
                WHERE batch_id = @batch_id;

            COMMIT TRANSACTION;

            IF @status IS NULL
                SELECT
                    @answer_id = j.job_id,
                    @status = j.status
                FROM llm.job AS j
                WHERE j.job_seq = @seq;
        END TRY
        BEGIN CATCH
            SET @status = NULL;
            SET @answer_id = NULL;
            IF @callers_transactions = 0 AND XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            -- 2601, 2627: an id or a key was taken between the look and the insert. Look again, unless the transaction
            -- is the caller's and lost.
            IF @callers_transactions > 0 OR @turns >= 10 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    SELECT
        @answer_id AS job_id,
        @is_duplicate AS is_duplicate,
        @status AS status;
END;
GO

GRANT EXECUTE ON llm.usp_enqueue_job TO llm_operator;
GO
