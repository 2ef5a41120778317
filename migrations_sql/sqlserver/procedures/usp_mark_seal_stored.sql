SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_mark_seal_stored: records that the lake has a seal's document, and removes it from SQL.
-- Promises: stored, if there is such a seal with this head; may be repeated.
-- Called by: the sealing of the history.
-- Locks: the seal.
CREATE OR ALTER PROCEDURE llm.usp_mark_seal_stored
    @seal_seq bigint,
    @sha256 nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @stored bit = 0;

    UPDATE s
    SET pending_json = NULL
    FROM llm.seal AS s WITH (ROWLOCK)
    WHERE
        s.seal_seq = @seal_seq
        AND s.sha256 = @sha256;
    IF @@ROWCOUNT > 0
        SET @stored = 1;

    SELECT @stored AS stored;
END;
GO

GRANT EXECUTE ON llm.usp_mark_seal_stored TO llm_operator;
GO
