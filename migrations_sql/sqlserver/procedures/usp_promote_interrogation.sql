SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_promote_interrogation: makes a registered version of an interrogation the live one, which jobs get.
-- Promises: promoted true if it is live afterwards (why 'already live': it was before). Refused, with why, if the
--   version is not registered, or if the key has a gate and no experiment on its set in which exactly this definition,
--   asked as jobs are (no model and no options of its own), passed all of the gate's conditions. If one of them
--   compares with the live version, it has to have been compared with the one that is promoted now. experiment_id is
--   the newest experiment that passed. Promotions of one key follow each other.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CREATE OR ALTER PROCEDURE llm.usp_promote_interrogation
    @interrogation_key nvarchar(4000),
    @version nvarchar(4000),
    @actor nvarchar(4000),
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @asked nvarchar(4000) = LTRIM(RTRIM(@version));
    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @sha256 nvarchar(64);
    DECLARE @is_there bit = 0;
    DECLARE @live_sha256 nvarchar(64);
    DECLARE @live_seq bigint;
    DECLARE @gate_set nvarchar(200);
    DECLARE @gates_json nvarchar(MAX);
    DECLARE @compares_live bit = 0;
    DECLARE @experiment_id uniqueidentifier;
    DECLARE @now datetime2(6);
    DECLARE @why nvarchar(MAX);
    DECLARE @promoted bit = 0;

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;
    IF @asked IS NULL OR LEN(@asked) NOT BETWEEN 1 AND 40
        THROW 51063, N'HC063: version is missing, blank or longer than 40 characters', 1;

    SELECT @sha256 = i.definition_sha256
    FROM llm.interrogation AS i
    WHERE i.interrogation_key = @key AND i.version = @asked;
    IF @sha256 IS NULL
        SET @why = CONCAT(@key, N' ', @asked, N' is not registered');

    BEGIN TRANSACTION;

    SELECT
        @is_there = 1,
        @live_sha256 = l.definition_sha256,
        @live_seq = l.promotion_seq,
        @gate_set = l.gate_set,
        @gates_json = l.gates_json
    FROM llm.interrogation_live AS l WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (pk_interrogation_live))
    WHERE l.interrogation_key = @key AND @sha256 IS NOT NULL;
    IF @is_there = 0 AND @sha256 IS NOT NULL
        INSERT INTO llm.interrogation_live (interrogation_key) VALUES (@key);

    IF @live_sha256 = @sha256
    BEGIN
        SET @promoted = 1;
        SET @why = N'already live';
    END;
    ELSE IF @gate_set IS NOT NULL
    BEGIN
        IF JSON_VALUE(@gates_json, '$.compares_live') = N'true'
            SET @compares_live = 1;
        SELECT TOP (1) @experiment_id = e.experiment_id
        FROM llm.experiment AS e
        WHERE
            e.set_name = @gate_set
            AND e.scored_utc IS NOT NULL
            AND EXISTS (
                SELECT 1
                FROM OPENJSON(e.result_json, '$.variants')
                WITH (
                    name nvarchar(MAX) '$.name',
                    definition_sha256 nvarchar(64) '$.definition_sha256',
                    model nvarchar(MAX) '$.model',
                    options nvarchar(MAX) '$.options' AS JSON,
                    is_live nvarchar(10) '$.is_live'
                ) AS v
                WHERE
                    v.definition_sha256 COLLATE Latin1_General_100_BIN2 = @sha256 COLLATE Latin1_General_100_BIN2
                    AND v.is_live = N'false'
                    AND v.model IS NULL
                    AND REPLACE(v.options, N' ', N'') = N'{}'
                    AND NOT EXISTS (
                        SELECT 1
                        FROM OPENJSON(@gates_json, '$.gates') WITH (gate nvarchar(MAX) '$') AS g
                        WHERE NOT EXISTS (
                            SELECT 1
                            FROM OPENJSON(e.result_json, '$.gates')
                            WITH (
                                variant nvarchar(MAX) '$.variant',
                                gate nvarchar(MAX) '$.gate',
                                passed nvarchar(10) '$.passed'
                            ) AS r
                            WHERE
                                r.variant COLLATE Latin1_General_100_BIN2 = v.name COLLATE Latin1_General_100_BIN2
                                AND r.gate COLLATE Latin1_General_100_BIN2 = g.gate COLLATE Latin1_General_100_BIN2
                                AND r.passed = N'true'
                        )
                    )
            )
            AND (
                @live_sha256 IS NULL
                OR @compares_live = 0
                OR EXISTS (
                    SELECT 1
                    FROM OPENJSON(e.result_json, '$.variants')
                    WITH (
                        definition_sha256 nvarchar(64) '$.definition_sha256', is_live nvarchar(10) '$.is_live'
                    ) AS v
                    WHERE
                        v.definition_sha256 COLLATE Latin1_General_100_BIN2
                        = @live_sha256 COLLATE Latin1_General_100_BIN2
                        AND v.is_live = N'true'
                )
            )
        ORDER BY e.experiment_seq DESC;
        IF @experiment_id IS NULL
            SET @why = CONCAT(
                N'no experiment on the golden set ', @gate_set, N' has passed the gate of ', @key, N' with ', @asked
            );
    END;

    IF @why IS NULL
    BEGIN
        SET @promoted = 1;
        SET @now = SYSUTCDATETIME();
        INSERT INTO llm.interrogation_event (
            interrogation_key, at_utc, event, actor, reason, definition_sha256, version, replaces_seq, experiment_id
        )
        VALUES (
            @key, @now, N'promoted', @who, NULLIF(LTRIM(RTRIM(@reason)), N''), @sha256, @asked, @live_seq,
            @experiment_id
        );
        UPDATE l
        SET
            definition_sha256 = @sha256,
            version = @asked,
            promotion_seq = SCOPE_IDENTITY(),
            promoted_utc = @now,
            promoted_by = @who
        FROM llm.interrogation_live AS l
        WHERE l.interrogation_key = @key;
    END;

    COMMIT TRANSACTION;

    SELECT
        @promoted AS promoted,
        @sha256 AS definition_sha256,
        @experiment_id AS experiment_id,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_promote_interrogation TO llm_operator;
GO
