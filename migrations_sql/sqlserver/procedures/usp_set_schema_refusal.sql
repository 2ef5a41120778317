SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_schema_refusal: records that the model server refuses a definition's output schema, or accepts it.
-- Promises: with why, the definition is marked refused since the first such call; without, it is not. changed false:
--   there is no such definition, or nothing changed.
-- Called by: a worker whose run was refused; check_interrogations.
-- Locks: the definition's row.
CREATE OR ALTER PROCEDURE llm.usp_set_schema_refusal
    @definition_sha256 nvarchar(4000),
    @why nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @told nvarchar(2000) = NULLIF(LTRIM(RTRIM(LEFT(@why, 2000))), N'');
    DECLARE @changed int;

    IF @definition_sha256 IS NULL
        THROW 51019, N'HC019: definition_sha256 is missing', 1;

    IF @told IS NULL
        UPDATE llm.interrogation WITH (ROWLOCK)
        SET
            refused_utc = NULL,
            refused_why = NULL
        WHERE
            definition_sha256 = @definition_sha256
            AND refused_utc IS NOT NULL;
    ELSE
        UPDATE llm.interrogation WITH (ROWLOCK)
        SET
            refused_utc = SYSUTCDATETIME(),
            refused_why = @told
        WHERE
            definition_sha256 = @definition_sha256
            AND refused_utc IS NULL;
    SET @changed = @@ROWCOUNT;

    SELECT CAST(CASE WHEN @changed > 0 THEN 1 ELSE 0 END AS bit) AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_set_schema_refusal TO llm_worker;
GRANT EXECUTE ON llm.usp_set_schema_refusal TO llm_operator;
GO
