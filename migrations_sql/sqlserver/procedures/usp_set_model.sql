SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_model: pauses or resumes a model, and sets or removes its limits. Null leaves a value as it is;
--   unset_json (an array of the names max_running, max_starts_per_minute, num_ctx, num_predict) removes one.
-- Promises: every claim that begins after this call uses the new values. changed false: they were set already.
-- Called by: operators (admin, commands).
-- Locks: all rows of llm.model in the order of model_seq, exclusively and at once, so that it holds none while it waits
--   for claims under way, which hold them shared to their commit, and take milliseconds.
CREATE OR ALTER PROCEDURE llm.usp_set_model
    @model nvarchar(4000),
    @actor nvarchar(4000),
    @paused bit = NULL,
    @max_running int = NULL,
    @max_starts_per_minute int = NULL,
    @num_ctx int = NULL,
    @num_predict int = NULL,
    @unset_json nvarchar(MAX) = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @name nvarchar(4000) = LTRIM(RTRIM(@model));
    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @because nvarchar(MAX) = NULLIF(LTRIM(RTRIM(@reason)), N'');
    DECLARE @now datetime2(6);
    DECLARE @bad int = 0;
    DECLARE @locked int;
    DECLARE @was_paused bit;
    DECLARE @is_paused bit;
    DECLARE @old_limits nvarchar(200);
    DECLARE @new_limits nvarchar(200);
    DECLARE @changed bit = 0;
    DECLARE @unset TABLE (
        name nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @name IS NULL OR LEN(@name) NOT BETWEEN 1 AND 200
        THROW 51040, N'HC040: model is missing, blank or longer than 200 characters', 1;
    IF @max_running < 1 OR @max_starts_per_minute < 1 OR @num_ctx < 1 OR @num_predict < 1
        THROW 51041, N'HC041: a limit is less than 1: to stop a model pause it, to remove a limit unset it', 1;
    IF @unset_json IS NOT NULL
    BEGIN
        IF llm.is_json_array(@unset_json) = 0
            THROW 51042, N'HC042: unset_json is not an array of names of limits', 1;
        SELECT @bad = COUNT(*)
        FROM OPENJSON(@unset_json) WITH (name nvarchar(MAX) '$') AS e
        WHERE
            e.name IS NULL
            OR e.name COLLATE Latin1_General_100_BIN2
            NOT IN (N'max_running', N'max_starts_per_minute', N'num_ctx', N'num_predict');
        IF @bad > 0
            THROW 51042, N'HC042: unset_json is malformed: an element is no name of a limit', 1;
        INSERT INTO @unset (name)
        SELECT LEFT(e.name, 40)
        FROM OPENJSON(@unset_json) WITH (name nvarchar(MAX) '$') AS e;
    END;

    BEGIN TRANSACTION;

    SELECT @locked = COUNT(*)
    FROM llm.model WITH (XLOCK, HOLDLOCK, INDEX (ux_model_seq));

    IF NOT EXISTS (SELECT 1 FROM llm.model AS m WHERE m.model = @name)
        INSERT INTO llm.model (model) VALUES (@name);

    SELECT
        @was_paused = CASE WHEN m.paused_utc IS NULL THEN 0 ELSE 1 END,
        @old_limits = CONCAT(
            m.max_running, N'/', m.max_starts_per_minute, N'/', m.num_ctx, N'/', m.num_predict
        )
    FROM llm.model AS m
    WHERE m.model = @name;
    SET @now = SYSUTCDATETIME();

    UPDATE m
    SET
        paused_utc = CASE
            WHEN @paused = 1 THEN COALESCE(m.paused_utc, @now)
            WHEN @paused IS NULL THEN m.paused_utc
        END,
        paused_by = CASE
            WHEN @paused = 1 AND m.paused_utc IS NULL THEN @who
            WHEN @paused = 1 OR @paused IS NULL THEN m.paused_by
        END,
        pause_reason = CASE
            WHEN @paused = 1 AND m.paused_utc IS NULL THEN @because
            WHEN @paused = 1 OR @paused IS NULL THEN m.pause_reason
        END,
        max_running = CASE
            WHEN NOT EXISTS (SELECT 1 FROM @unset AS u WHERE u.name = N'max_running')
                THEN COALESCE(@max_running, m.max_running)
        END,
        max_starts_per_minute = CASE
            WHEN NOT EXISTS (SELECT 1 FROM @unset AS u WHERE u.name = N'max_starts_per_minute')
                THEN COALESCE(@max_starts_per_minute, m.max_starts_per_minute)
        END,
        num_ctx = CASE
            WHEN NOT EXISTS (SELECT 1 FROM @unset AS u WHERE u.name = N'num_ctx')
                THEN COALESCE(@num_ctx, m.num_ctx)
        END,
        num_predict = CASE
            WHEN NOT EXISTS (SELECT 1 FROM @unset AS u WHERE u.name = N'num_predict')
                THEN COALESCE(@num_predict, m.num_predict)
        END
    FROM llm.model AS m
    WHERE m.model = @name;

    SELECT
        @is_paused = CASE WHEN m.paused_utc IS NULL THEN 0 ELSE 1 END,
        @new_limits = CONCAT(
            m.max_running, N'/', m.max_starts_per_minute, N'/', m.num_ctx, N'/', m.num_predict
        )
    FROM llm.model AS m
    WHERE m.model = @name;

    IF @was_paused <> @is_paused
    BEGIN
        SET @changed = 1;
        INSERT INTO llm.model_event (model, at_utc, event, actor, reason)
        VALUES (
            @name, @now, CASE WHEN @is_paused = 1 THEN N'model_paused' ELSE N'model_resumed' END, @who, @because
        );
    END;
    IF @old_limits <> @new_limits
    BEGIN
        SET @changed = 1;
        INSERT INTO llm.model_event (model, at_utc, event, actor, reason, detail_json)
        SELECT
            @name,
            @now,
            N'model_limits_changed',
            @who,
            @because,
            CONCAT(
                N'{"max_running": ', COALESCE(CAST(m.max_running AS nvarchar(20)), N'null'),
                N', "max_starts_per_minute": ', COALESCE(CAST(m.max_starts_per_minute AS nvarchar(20)), N'null'),
                N', "num_ctx": ', COALESCE(CAST(m.num_ctx AS nvarchar(20)), N'null'),
                N', "num_predict": ', COALESCE(CAST(m.num_predict AS nvarchar(20)), N'null'), N'}'
            )
        FROM llm.model AS m
        WHERE m.model = @name;
    END;

    COMMIT TRANSACTION;

    SELECT @changed AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_set_model TO llm_operator;
GO
