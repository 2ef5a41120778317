SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_gate: says what a version of an interrogation has to pass before it can be promoted: the gates of
--   gates_json, {"gates": ["f1>=0.9", ...], "compares_live": false}, on the golden set set_name. Both null: nothing.
--   compares_live says that a gate compares with the live version.
-- Promises: every promotion after this call goes by it; what is live stays live. changed false: it was so already.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CREATE OR ALTER PROCEDURE llm.usp_set_gate
    @interrogation_key nvarchar(4000),
    @actor nvarchar(4000),
    @set_name nvarchar(4000) = NULL,
    @gates_json nvarchar(MAX) = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @set nvarchar(4000) = NULLIF(LTRIM(RTRIM(@set_name)), N'');
    DECLARE @old_set nvarchar(200);
    DECLARE @old_gates nvarchar(MAX);
    DECLARE @is_there bit = 0;
    DECLARE @changed bit = 0;

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;
    IF (@set IS NULL AND @gates_json IS NOT NULL)
        OR (@set IS NOT NULL AND @gates_json IS NULL)
        OR LEN(@set) > 200
        OR (@gates_json IS NOT NULL AND COALESCE(llm.is_json_object(@gates_json), 0) = 0)
        THROW 51064, N'HC064: a gate needs set_name (up to 200 characters) and gates_json, an object', 1;
    IF @gates_json IS NOT NULL
    BEGIN
        IF COALESCE(llm.is_json_array(JSON_QUERY(@gates_json, '$.gates')), 0) = 0
            THROW 51064, N'HC064: gates_json has no array "gates"', 1;
        IF NOT EXISTS (
            SELECT 1 FROM OPENJSON(@gates_json, '$.gates') WITH (gate nvarchar(MAX) '$') AS g WHERE g.gate IS NOT NULL
        )
            THROW 51064, N'HC064: gates_json has no gate', 1;
    END;

    BEGIN TRANSACTION;

    SELECT
        @is_there = 1,
        @old_set = l.gate_set,
        @old_gates = l.gates_json
    FROM llm.interrogation_live AS l WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (pk_interrogation_live))
    WHERE l.interrogation_key = @key;
    IF @is_there = 0
        INSERT INTO llm.interrogation_live (interrogation_key) VALUES (@key);

    IF COALESCE(@old_set, N'') <> COALESCE(@set, N'') OR COALESCE(@old_gates, N'') <> COALESCE(@gates_json, N'')
    BEGIN
        SET @changed = 1;
        UPDATE l
        SET
            gate_set = @set,
            gates_json = @gates_json
        FROM llm.interrogation_live AS l
        WHERE l.interrogation_key = @key;
        INSERT INTO llm.interrogation_event (interrogation_key, at_utc, event, actor, reason, detail_json)
        VALUES (
            @key,
            SYSUTCDATETIME(),
            N'gate_changed',
            @who,
            NULLIF(LTRIM(RTRIM(@reason)), N''),
            CONCAT(
                N'{"set": ', COALESCE(N'"' + STRING_ESCAPE(@set, 'json') + N'"', N'null'),
                N', "gates": ', COALESCE(JSON_QUERY(@gates_json, '$.gates'), N'null'), N'}'
            )
        );
    END;

    COMMIT TRANSACTION;

    SELECT @changed AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_set_gate TO llm_operator;
GO
