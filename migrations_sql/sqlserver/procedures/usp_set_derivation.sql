SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_derivation: declares a derivation, pauses or resumes it, or says how far it has been applied.
-- Promises: declaration_json replaces the whole declaration: an object with the columns' names (declared_in,
--   source_name, interrogation_key, version, model, priority, max_attempts, schedule, rate_per_minute, depth_limit,
--   budget_tokens, budget_model_seconds, retire_policy, target_json); a member left out is the column's
--   default. Another target than before is delivered to from the first subject on. What is null here stays as it
--   is. changed 0 with the reason why: no such derivation, or it was so already.
--   planned, applied: set to now. paced_until_utc never goes back. Raises HC028, HC059.
-- Called by: queue.py (derive apply, admin, schedules), anybody's SQL.
-- Locks: the derivation's row, or the gap where it would stand (UPDLOCK, HOLDLOCK).
CREATE OR ALTER PROCEDURE llm.usp_set_derivation
    @derivation_key nvarchar(4000),
    @actor nvarchar(4000),
    @declaration_json nvarchar(MAX) = NULL,
    @paused bit = NULL,
    @planned bit = 0,
    @applied bit = 0,
    @next_utc datetime2(6) = NULL,
    @paced_until_utc datetime2(6) = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@derivation_key));
    DECLARE @now datetime2(6);
    DECLARE @seq bigint;
    DECLARE @is_new bit = 0;
    DECLARE @is_declared bit = 0;
    DECLARE @is_paused bit = 0;
    DECLARE @changed bit = 0;
    DECLARE @declared_in nvarchar(MAX);
    DECLARE @source_name nvarchar(MAX);
    DECLARE @interrogation_key nvarchar(MAX);
    DECLARE @version nvarchar(MAX);
    DECLARE @model nvarchar(MAX);
    DECLARE @priority int = 100;
    DECLARE @max_attempts int = 3;
    DECLARE @schedule nvarchar(MAX);
    DECLARE @rate_per_minute int;
    DECLARE @depth_limit int;
    DECLARE @budget_tokens bigint;
    DECLARE @budget_model_seconds bigint;
    DECLARE @retire_policy nvarchar(MAX);
    DECLARE @target_json nvarchar(MAX);

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51059, N'HC059: derivation_key is missing, blank or longer than 200', 1;
    IF @next_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: next_utc is not in the years 2000 to 9000', 1;
    IF @paced_until_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: paced_until_utc is not in the years 2000 to 9000', 1;
    IF @declaration_json IS NOT NULL
    BEGIN
        IF llm.is_json_object(@declaration_json) = 0
            THROW 51059, N'HC059: declaration_json is not a JSON object', 1;
        BEGIN TRY
            SELECT
                @declared_in = COALESCE(d.declared_in, N'admin'),
                @source_name = LTRIM(RTRIM(d.source_name)),
                @interrogation_key = LTRIM(RTRIM(d.interrogation_key)),
                @version = d.version,
                @model = LTRIM(RTRIM(d.model)),
                @priority = COALESCE(d.priority, 100),
                @max_attempts = COALESCE(d.max_attempts, 3),
                @schedule = d.schedule,
                @rate_per_minute = d.rate_per_minute,
                @depth_limit = d.depth_limit,
                @budget_tokens = d.budget_tokens,
                @budget_model_seconds = d.budget_model_seconds,
                @retire_policy = COALESCE(d.retire_policy, N'retire'),
                @target_json = d.target_json
            FROM OPENJSON(@declaration_json) WITH (
                declared_in nvarchar(MAX) '$.declared_in',
                source_name nvarchar(MAX) '$.source_name',
                interrogation_key nvarchar(MAX) '$.interrogation_key',
                version nvarchar(MAX) '$.version',
                model nvarchar(MAX) '$.model',
                priority int '$.priority',
                max_attempts int '$.max_attempts',
                schedule nvarchar(MAX) '$.schedule',
                rate_per_minute int '$.rate_per_minute',
                depth_limit int '$.depth_limit',
                budget_tokens bigint '$.budget_tokens',
                budget_model_seconds bigint '$.budget_model_seconds',
                retire_policy nvarchar(MAX) '$.retire_policy',
                target_json nvarchar(MAX) '$.target_json'
            ) AS d;
        END TRY
        BEGIN CATCH
            THROW 51059, N'HC059: declaration_json is malformed', 1;
        END CATCH;
        -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
        IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
        BEGIN
            SET @source_name = llm.json_text(@source_name);
            SET @interrogation_key = llm.json_text(@interrogation_key);
            SET @model = llm.json_text(@model);
            SET @schedule = llm.json_text(@schedule);
            SET @target_json = llm.json_text(@target_json);
        END;
        IF @declared_in NOT IN (N'file', N'admin')
            OR @retire_policy NOT IN (N'keep', N'retire')
            OR @source_name IS NULL
            OR LEN(@source_name) NOT BETWEEN 1 AND 200
            OR @interrogation_key IS NULL
            OR LEN(@interrogation_key) NOT BETWEEN 1 AND 200
            OR LEN(@version) NOT BETWEEN 1 AND 40
            OR LEN(@model) NOT BETWEEN 1 AND 200
            OR LEN(@schedule) NOT BETWEEN 1 AND 100
            OR @priority < 0
            OR @max_attempts < 1
            OR @rate_per_minute < 1
            OR @depth_limit < 1
            OR @budget_tokens < 1
            OR @budget_model_seconds < 1
            OR (@target_json IS NOT NULL AND llm.is_json_object(@target_json) = 0)
            OR LEN(@target_json) > 100000
            THROW 51059, N'HC059: declaration_json lacks a source or interrogation, or is out of bounds', 1;
    END;

    BEGIN TRANSACTION;

    SELECT @seq = d.derivation_seq
    FROM llm.derivation AS d WITH (UPDLOCK, HOLDLOCK, ROWLOCK)
    WHERE d.derivation_key = @key;
    SET @now = SYSUTCDATETIME();

    IF @seq IS NULL AND @declaration_json IS NOT NULL
    BEGIN
        SET @is_new = 1;
        INSERT INTO llm.derivation (
            derivation_key, declared_in, source_name, interrogation_key, retire_policy, created_utc, created_by,
            changed_utc, changed_by
        )
        VALUES (@key, @declared_in, @source_name, @interrogation_key, @retire_policy, @now, @who, @now, @who);
        SET @seq = SCOPE_IDENTITY();
    END;

    IF @seq IS NOT NULL AND @declaration_json IS NOT NULL
    BEGIN
        UPDATE llm.derivation
        SET
            declared_in = @declared_in,
            source_name = @source_name,
            interrogation_key = @interrogation_key,
            version = @version,
            model = @model,
            priority = @priority,
            max_attempts = @max_attempts,
            next_utc = CASE WHEN COALESCE(schedule, N'') <> COALESCE(@schedule, N'') THEN NULL ELSE next_utc END,
            schedule = @schedule,
            rate_per_minute = @rate_per_minute,
            depth_limit = @depth_limit,
            budget_tokens = @budget_tokens,
            budget_model_seconds = @budget_model_seconds,
            retire_policy = @retire_policy,
            fill_after_seq = CASE
                -- A new derivation has no subjects yet.
                WHEN @target_json IS NULL OR @is_new = 1 THEN NULL
                WHEN COALESCE(target_json, N'') <> @target_json THEN 0
                ELSE fill_after_seq
            END,
            target_json = @target_json,
            changed_utc = @now,
            changed_by = @who
        WHERE
            derivation_seq = @seq
            AND (
                declared_in <> @declared_in
                OR source_name <> @source_name
                OR interrogation_key <> @interrogation_key
                OR COALESCE(version, N'') <> COALESCE(@version, N'')
                OR COALESCE(model, N'') <> COALESCE(@model, N'')
                OR priority <> @priority
                OR max_attempts <> @max_attempts
                OR COALESCE(schedule, N'') <> COALESCE(@schedule, N'')
                OR COALESCE(rate_per_minute, 0) <> COALESCE(@rate_per_minute, 0)
                OR COALESCE(depth_limit, 0) <> COALESCE(@depth_limit, 0)
                OR COALESCE(budget_tokens, 0) <> COALESCE(@budget_tokens, 0)
                OR COALESCE(budget_model_seconds, 0) <> COALESCE(@budget_model_seconds, 0)
                OR retire_policy <> @retire_policy
                OR COALESCE(target_json, N'') <> COALESCE(@target_json, N'')
            );
        IF @@ROWCOUNT = 1
            SET @is_declared = 1;
    END;

    IF @paused IS NOT NULL
    BEGIN
        UPDATE llm.derivation
        SET
            paused_utc = CASE WHEN @paused = 1 THEN @now END,
            paused_by = CASE WHEN @paused = 1 THEN @who END,
            pause_reason = CASE WHEN @paused = 1 THEN @reason END
        WHERE
            derivation_seq = @seq
            AND CASE WHEN paused_utc IS NULL THEN 0 ELSE 1 END <> @paused;
        IF @@ROWCOUNT = 1
            SET @is_paused = 1;
    END;

    IF @planned = 1 OR @applied = 1 OR @next_utc IS NOT NULL OR @paced_until_utc IS NOT NULL
    BEGIN
        UPDATE llm.derivation
        SET
            planned_utc = CASE WHEN @planned = 1 THEN @now ELSE planned_utc END,
            applied_utc = CASE WHEN @applied = 1 THEN @now ELSE applied_utc END,
            next_utc = COALESCE(@next_utc, next_utc),
            paced_until_utc = CASE
                WHEN paced_until_utc > @paced_until_utc THEN paced_until_utc
                ELSE COALESCE(@paced_until_utc, paced_until_utc)
            END
        WHERE derivation_seq = @seq;
        SET @changed = @@ROWCOUNT;
    END;

    COMMIT TRANSACTION;

    IF @is_new = 1 OR @is_declared = 1 OR @is_paused = 1
        SET @changed = 1;
    SELECT
        @changed AS changed,
        CASE
            WHEN @seq IS NULL THEN N'no such derivation'
            WHEN @changed = 0 THEN N'so already'
        END AS why;
END;
GO

GRANT EXECUTE ON llm.usp_set_derivation TO llm_operator;
GO
