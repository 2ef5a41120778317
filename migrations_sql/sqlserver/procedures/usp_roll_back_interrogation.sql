SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_roll_back_interrogation: makes the version live again that was promoted before the live one.
-- Promises: no gate is asked, since the version was live before. The next call goes one promotion further back.
--   Refused, with why, if none was promoted before.
-- Called by: maintainers (admin, promote).
-- Locks: the key's row of llm.interrogation_live.
CREATE OR ALTER PROCEDURE llm.usp_roll_back_interrogation
    @interrogation_key nvarchar(4000),
    @actor nvarchar(4000),
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @live_seq bigint;
    DECLARE @before_seq bigint;
    DECLARE @sha256 nvarchar(64);
    DECLARE @version nvarchar(40);
    DECLARE @now datetime2(6);
    DECLARE @why nvarchar(MAX);
    DECLARE @promoted bit = 0;

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;

    BEGIN TRANSACTION;

    SELECT
        @live_seq = l.promotion_seq,
        @sha256 = l.definition_sha256,
        @version = l.version
    FROM llm.interrogation_live AS l WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (pk_interrogation_live))
    WHERE l.interrogation_key = @key;

    SELECT @before_seq = e.replaces_seq
    FROM llm.interrogation_event AS e
    WHERE e.event_seq = @live_seq;

    IF @before_seq IS NULL
        SET @why = CONCAT(N'no version of ', @key, N' was promoted before the live one');
    ELSE
    BEGIN
        SET @promoted = 1;
        SET @now = SYSUTCDATETIME();
        SELECT
            @sha256 = e.definition_sha256,
            @version = e.version
        FROM llm.interrogation_event AS e
        WHERE e.event_seq = @before_seq;
        INSERT INTO llm.interrogation_event (
            interrogation_key, at_utc, event, actor, reason, definition_sha256, version, replaces_seq
        )
        VALUES (
            @key, @now, N'rolled_back', @who, NULLIF(LTRIM(RTRIM(@reason)), N''), @sha256, @version, @live_seq
        );
        UPDATE l
        SET
            definition_sha256 = @sha256,
            version = @version,
            promotion_seq = @before_seq,
            promoted_utc = @now,
            promoted_by = @who
        FROM llm.interrogation_live AS l
        WHERE l.interrogation_key = @key;
    END;

    COMMIT TRANSACTION;

    SELECT
        @promoted AS promoted,
        @sha256 AS definition_sha256,
        @version AS version,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_roll_back_interrogation TO llm_operator;
GO
