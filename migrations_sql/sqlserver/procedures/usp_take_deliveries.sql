SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_take_deliveries: takes up to max_rows rows from the outbox of a derivation, with the subjects they are of.
-- Promises: a row for each subject, as it is now: a later change is not lost, it has a row of its own. Rows refused
--   earlier of the same subjects go too. What is taken is gone when the caller's transaction commits, which writes the
--   target as well; it stays if that does not commit. One at a time a derivation, so that an older answer is never
--   written over a newer one: raises HC068 while another transaction delivers, or without a transaction. Raises HC061,
--   HC067.
-- Called by: queue.py (deliver, schedules), as a part of the transaction that writes the target.
-- Locks: the derivation's own lock (sp_getapplock), not waited for; then the rows of the outbox that are taken. Rows
--   that are being written are passed over (READPAST): they come next.
CREATE OR ALTER PROCEDURE llm.usp_take_deliveries
    @derivation_key nvarchar(4000),
    @max_rows int = 500
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@derivation_key));
    DECLARE @derivation_seq bigint;
    DECLARE @resource nvarchar(100);
    DECLARE @granted int = -1;
    DECLARE @due TABLE (
        delivery_seq bigint NOT NULL PRIMARY KEY,
        subject_seq bigint NOT NULL
    );

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 1000
        THROW 51067, N'HC067: max_rows is not between 1 and 1000', 1;
    SELECT @derivation_seq = d.derivation_seq
    FROM llm.derivation AS d
    WHERE d.derivation_key = @key;
    IF @derivation_seq IS NULL
        THROW 51061, N'HC061: there is no derivation with this derivation_key', 1;

    SET @resource = CONCAT(N'llm.usp_take_deliveries ', @derivation_seq);
    IF @@TRANCOUNT > 0
        EXEC @granted = sp_getapplock
            @Resource = @resource,
            @LockMode = N'Exclusive',
            @LockOwner = N'Transaction',
            @LockTimeout = 0;
    IF @granted < 0
        THROW 51068, N'HC068: this derivation is being delivered already', 1;

    INSERT INTO @due (delivery_seq, subject_seq)
    SELECT TOP (@max_rows)
        d.delivery_seq,
        d.subject_seq
    FROM llm.delivery AS d WITH (UPDLOCK, ROWLOCK, READPAST, INDEX (ix_delivery_waiting))
    WHERE
        d.derivation_seq = @derivation_seq
        AND d.refused_utc IS NULL
    ORDER BY d.delivery_seq;

    -- Read after the rows: a change that comes later has a row that was not taken.
    SELECT
        MAX(q.delivery_seq) AS delivery_seq,
        s.entity_type,
        s.entity_id,
        s.state,
        s.run_id,
        s.changed_utc
    FROM @due AS q
    INNER JOIN llm.subject AS s WITH (INDEX (pk_subject))
        ON q.subject_seq = s.subject_seq
    GROUP BY s.entity_type, s.entity_id, s.state, s.run_id, s.changed_utc
    ORDER BY s.entity_type, s.entity_id
    OPTION (LOOP JOIN, FORCE ORDER);

    DELETE d
    FROM @due AS q
    INNER JOIN llm.delivery AS d WITH (ROWLOCK, INDEX (pk_delivery))
        ON q.delivery_seq = d.delivery_seq
    OPTION (LOOP JOIN, FORCE ORDER);
    DELETE d
    FROM @due AS q
    INNER JOIN llm.delivery AS d WITH (ROWLOCK, INDEX (ix_delivery_refused))
        ON q.subject_seq = d.subject_seq
    WHERE
        d.derivation_seq = @derivation_seq
        AND d.refused_utc IS NOT NULL
    OPTION (LOOP JOIN, FORCE ORDER);
END;
GO

GRANT EXECUTE ON llm.usp_take_deliveries TO llm_operator;
GO
