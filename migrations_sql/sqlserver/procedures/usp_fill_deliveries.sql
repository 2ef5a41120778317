SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_fill_deliveries: queues a delivery of each subject that has an answer, after the target was declared.
-- Promises: up to max_rows subjects in subject_seq order, after those of the last call; restart begins with the first.
--   is_done: all are queued. filled: how many this call queued. Raises HC061, HC067.
-- Called by: queue.py (deliver, schedules).
-- Locks: the subjects of this step in subject_seq order, so that none that is being settled is passed over; then the
--   derivation's row.
CREATE OR ALTER PROCEDURE llm.usp_fill_deliveries
    @derivation_key nvarchar(4000),
    @max_rows int = 500,
    @restart bit = 0
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@derivation_key));
    DECLARE @derivation_seq bigint;
    DECLARE @from bigint;
    DECLARE @to bigint;
    DECLARE @looked_at int;
    DECLARE @filled int = 0;
    DECLARE @due TABLE (
        subject_seq bigint NOT NULL PRIMARY KEY,
        run_id uniqueidentifier NULL
    );

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 1000
        THROW 51067, N'HC067: max_rows is not between 1 and 1000', 1;
    SELECT
        @derivation_seq = d.derivation_seq,
        @from = CASE WHEN @restart = 1 THEN 0 ELSE d.fill_after_seq END
    FROM llm.derivation AS d
    WHERE d.derivation_key = @key;
    IF @derivation_seq IS NULL
        THROW 51061, N'HC061: there is no derivation with this derivation_key', 1;

    IF @from IS NOT NULL
    BEGIN
        BEGIN TRANSACTION;

        INSERT INTO @due (subject_seq, run_id)
        SELECT TOP (@max_rows)
            s.subject_seq,
            s.run_id
        FROM llm.subject AS s WITH (UPDLOCK, ROWLOCK, INDEX (pk_subject))
        WHERE
            s.derivation_seq = @derivation_seq
            AND s.subject_seq > @from
        ORDER BY s.subject_seq;
        SET @looked_at = @@ROWCOUNT;

        INSERT INTO llm.delivery (derivation_seq, subject_seq, queued_utc)
        SELECT
            @derivation_seq,
            q.subject_seq,
            SYSUTCDATETIME()
        FROM @due AS q
        WHERE q.run_id IS NOT NULL;
        SET @filled = @@ROWCOUNT;

        IF @looked_at = @max_rows
            SELECT @to = MAX(q.subject_seq)
            FROM @due AS q;
        UPDATE llm.derivation
        SET fill_after_seq = @to
        WHERE
            derivation_seq = @derivation_seq
            -- Else the target was declared anew meanwhile, and all of it is to be queued again.
            AND (@restart = 1 OR fill_after_seq = @from);

        COMMIT TRANSACTION;
    END;

    SELECT
        @filled AS filled,
        CAST(CASE WHEN @to IS NULL THEN 1 ELSE 0 END AS bit) AS is_done;
END;
GO

GRANT EXECUTE ON llm.usp_fill_deliveries TO llm_operator;
GO
