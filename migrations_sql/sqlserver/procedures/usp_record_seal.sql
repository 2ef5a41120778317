SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_record_seal: records the next seal of the chain, with its document until the lake has that.
-- Promises: accepted only if it follows the last one (the next number, based on its head, with later events) and the
--   last one's document is in the lake. So of two concurrent sealers one is refused, and why says so. Repeating the
--   same seal is accepted again.
-- Called by: the sealing of the history.
-- Locks: the chain's own lock (sp_getapplock), then the seal. Where that lock is not to be had, the key decides.
CREATE OR ALTER PROCEDURE llm.usp_record_seal
    @seal_seq bigint,
    @first_event_seq bigint,
    @last_event_seq bigint,
    @event_count int,
    @previous_sha256 nvarchar(MAX),
    @sha256 nvarchar(MAX),
    @created_utc datetime2(6),
    @seal_json nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @accepted bit = 0;
    DECLARE @why nvarchar(MAX);
    DECLARE @last_seq bigint = 0;
    DECLARE @last_sha256 nvarchar(64) = REPLICATE(N'0', 64);
    DECLARE @last_sealed bigint = 0;
    DECLARE @is_pending bit = 0;

    IF @seal_seq IS NULL OR @seal_seq < 1
        OR @first_event_seq IS NULL OR @last_event_seq IS NULL OR @first_event_seq > @last_event_seq
        OR @event_count IS NULL OR @event_count < 1
        OR COALESCE(llm.is_sha256(@previous_sha256), 0) = 0
        OR COALESCE(llm.is_sha256(@sha256), 0) = 0
        OR @created_utc IS NULL
        OR llm.is_json_object(@seal_json) = 0
        THROW 51030, N'HC030: an argument of the seal is missing or malformed', 1;

    IF @created_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: created_utc is not in the years 2000 to 9000', 1;
    BEGIN TRANSACTION;

    EXEC sp_getapplock
        @Resource = N'llm.seal',
        @LockMode = N'Exclusive',
        @LockOwner = N'Transaction';

    SELECT TOP (1)
        @last_seq = s.seal_seq,
        @last_sha256 = s.sha256,
        @last_sealed = s.last_event_seq,
        @is_pending = CASE WHEN s.pending_json IS NULL THEN 0 ELSE 1 END
    FROM llm.seal AS s
    ORDER BY s.seal_seq DESC;

    IF @last_seq = @seal_seq AND @last_sha256 = @sha256
    BEGIN
        SET @accepted = 1;
    END;
    ELSE IF @last_seq + 1 <> @seal_seq OR @last_sha256 <> @previous_sha256 OR @last_sealed >= @first_event_seq
    BEGIN
        SET @why = N'it does not follow the last seal';
    END;
    ELSE IF @is_pending = 1
    BEGIN
        SET @why = N'the last seal is not in the lake yet';
    END;
    ELSE
    BEGIN
        INSERT INTO llm.seal (
            seal_seq, first_event_seq, last_event_seq, event_count, previous_sha256, sha256, created_utc, pending_json
        )
        VALUES (
            @seal_seq, @first_event_seq, @last_event_seq, @event_count, @previous_sha256, @sha256, @created_utc,
            @seal_json
        );
        SET @accepted = 1;
    END;

    COMMIT TRANSACTION;

    SELECT
        @accepted AS accepted,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_record_seal TO llm_operator;
GO
