SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_open_batch: answers the batch of this name that has not ended, or makes it.
-- Promises: of two calls with one name at once one makes the batch and both answer it. With a batch_id of the caller's
--   own it may be said again. A batch that is there already keeps its budget and its on_finish. The new batch does not
--   end before it is filled (usp_set_batch; usp_publish_jobs fills it by itself).
--   on_finish_json: {"jobs": [...], "name"?, "on_finish"?, "budget_tokens"?, "budget_model_seconds"?}: the jobs, as
--   usp_enqueue_jobs takes them, are queued once when this batch has ended; with a name as a batch of that name.
-- Called by: queue.py (commands, admin, schedules), anybody's SQL.
-- Locks: the name in its index (UPDLOCK, HOLDLOCK: the name, or the gap where it would stand), so that who comes with
--   the same name waits; then the row that it adds.
CREATE OR ALTER PROCEDURE llm.usp_open_batch
    @name nvarchar(4000),
    @actor nvarchar(4000) = NULL,
    @reason nvarchar(MAX) = NULL,
    @batch_id uniqueidentifier = NULL,
    @budget_tokens bigint = NULL,
    @budget_model_seconds bigint = NULL,
    @on_finish_json nvarchar(MAX) = NULL,
    @derivation_key nvarchar(4000) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @title nvarchar(4000) = LTRIM(RTRIM(@name));
    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), ORIGINAL_LOGIN());
    DECLARE @derivation nvarchar(4000) = NULLIF(LTRIM(RTRIM(@derivation_key)), N'');
    DECLARE @own_id uniqueidentifier = COALESCE(@batch_id, NEWID());
    DECLARE @callers_transactions int = @@TRANCOUNT;
    DECLARE @turns int = 0;
    DECLARE @now datetime2(6);
    DECLARE @answer_id uniqueidentifier;

    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;
    IF @title IS NULL OR LEN(@title) NOT BETWEEN 1 AND 200 OR LEN(@derivation) > 200
        THROW 51048, N'HC048: name is missing or blank, or name or derivation_key longer than 200 characters', 1;
    IF @budget_tokens < 1 OR @budget_model_seconds < 1
        THROW 51048, N'HC048: a budget is less than 1', 1;
    IF @on_finish_json IS NOT NULL
        AND (
            llm.is_json_object(@on_finish_json) = 0
            OR llm.is_json_array(JSON_QUERY(@on_finish_json, '$.jobs')) = 0
            OR NOT EXISTS (SELECT 1 FROM OPENJSON(@on_finish_json, '$.jobs'))
        )
        THROW 51048, N'HC048: on_finish_json is not an object with an array of jobs', 1;

    -- One turn; another one only where lock hints mean nothing and somebody was quicker with the name.
    WHILE @answer_id IS NULL
    BEGIN
        SET @turns = @turns + 1;

        BEGIN TRY
            BEGIN TRANSACTION;

            SELECT @answer_id = b.batch_id
            FROM llm.batch AS b WITH (UPDLOCK, ROWLOCK)
            WHERE b.batch_id = @own_id;

            IF @answer_id IS NULL
                SELECT @answer_id = b.batch_id
                FROM llm.batch AS b WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_batch_open_name))
                WHERE
                    b.name = @title
                    AND b.finished_utc IS NULL;

            IF @answer_id IS NULL
            BEGIN
                SET @now = SYSUTCDATETIME();

                INSERT INTO llm.batch (
                    batch_id, name, created_utc, created_by, derivation_key, budget_tokens, budget_model_seconds,
                    on_finish_json
                )
                VALUES (
                    @own_id, @title, @now, @who, @derivation, @budget_tokens, @budget_model_seconds, @on_finish_json
                );

                INSERT INTO llm.batch_event (batch_id, at_utc, event, actor, reason)
                VALUES (@own_id, @now, N'batch_created', @who, @reason);

                SET @answer_id = @own_id;
            END;

            COMMIT TRANSACTION;
        END TRY
        BEGIN CATCH
            SET @answer_id = NULL;
            IF @callers_transactions = 0 AND XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            -- 2601, 2627: the name was taken between the look and the insert. Look again, unless the transaction is the
            -- caller's and lost.
            IF @callers_transactions > 0 OR @turns >= 10 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    SELECT
        @answer_id AS batch_id,
        CAST(CASE WHEN @answer_id = @own_id THEN 1 ELSE 0 END AS bit) AS is_new;
END;
GO

GRANT EXECUTE ON llm.usp_open_batch TO llm_operator;
GO
