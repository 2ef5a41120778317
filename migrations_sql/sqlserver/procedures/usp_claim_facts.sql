SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_claim_facts: gives a reviewer the next facts that wait for a decision, or one that is named.
-- Promises: no fact goes to two people at once: whoever gets one has it for claim_seconds by the server's clock, or
--   until they decide. Nobody gets a fact on which they have an opinion, nor one that they hold already (so the next
--   call goes on behind it), nor one of a superseded run or of an answer that is no longer in use (llm.past_answer).
--   First facts that wait for another opinion, if there is one of somebody else's among the first 100 of those; then by
--   the priority of their jobs, the oldest first. A named fact is answered in any state, with who holds it: somebody
--   else's claim stands.
-- Called by: the review page.
-- Locks: it looks without keeping locks and passes over what somebody holds (READPAST; READCOMMITTEDLOCK where rows are
--   versioned); then the facts, by an update that asks again whether they are free. Who came too late looks once more.
CREATE OR ALTER PROCEDURE llm.usp_claim_facts
    @actor nvarchar(4000),
    @max_facts int = 1,
    @claim_seconds int = 300,
    @fact_id uniqueidentifier = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @looks int = 0;
    DECLARE @turn int = 1;
    DECLARE @round int;
    DECLARE @left int;
    DECLARE @now datetime2(6);
    DECLARE @first TABLE (fact_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @seen TABLE (fact_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @picked TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        fact_seq bigint NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @max_facts IS NULL OR @max_facts NOT BETWEEN 1 AND 100
        OR @claim_seconds IS NULL OR @claim_seconds NOT BETWEEN 1 AND 86400
        THROW 51052, N'HC052: max_facts is not between 1 and 100, or claim_seconds between 1 and 86400', 1;

    IF @fact_id IS NOT NULL
    BEGIN
        SET @now = SYSUTCDATETIME();
        UPDATE f
        SET
            review_claimed_by = @who,
            review_claim_expires_utc = DATEADD(SECOND, @claim_seconds, @now)
        FROM llm.fact AS f WITH (ROWLOCK, INDEX (pk_fact))
        WHERE
            f.fact_id = @fact_id
            AND (
                f.review_claimed_by = @who
                OR f.review_claim_expires_utc IS NULL
                OR f.review_claim_expires_utc <= @now
            );

        INSERT INTO @picked (fact_seq)
        SELECT f.fact_seq
        FROM llm.fact AS f WITH (INDEX (pk_fact))
        WHERE f.fact_id = @fact_id;
        SET @turn = 6;
    END;

    -- A look at the first of those that wait for another opinion costs the same however many of them are one's own.
    SET @left = @max_facts;
    WHILE @turn <= 5 AND @left > 0
    BEGIN
        SET @round = CASE @turn WHEN 1 THEN 2 WHEN 2 THEN 1 WHEN 3 THEN 0 WHEN 4 THEN 2 ELSE 1 END;
        SET @now = SYSUTCDATETIME();
        DELETE FROM @first;
        DELETE FROM @seen;

        IF @turn <= 2
        BEGIN
            INSERT INTO @first (fact_seq)
            SELECT TOP (100) f.fact_seq
            FROM llm.fact AS f WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_fact_to_review))
            WHERE
                f.review_priority IS NOT NULL
                AND f.is_current = 1
                AND f.review_round = @round
            ORDER BY f.review_priority DESC, f.fact_seq ASC;

            INSERT INTO @seen (fact_seq)
            SELECT TOP (@left) f.fact_seq
            FROM @first AS w
            INNER JOIN llm.fact AS f WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ux_fact_seq))
                ON w.fact_seq = f.fact_seq
            WHERE
                f.review_priority IS NOT NULL
                AND f.is_current = 1
                AND (f.review_claim_expires_utc IS NULL OR f.review_claim_expires_utc <= @now)
                AND COALESCE((
                    SELECT TOP (1) mine.decision
                    FROM llm.fact_review AS mine WITH (INDEX (ix_fact_review_fact))
                    WHERE
                        mine.fact_id = f.fact_id
                        AND mine.actor = @who
                    ORDER BY mine.review_seq DESC
                ), N'NONE') = N'NONE'
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.past_answer AS past WITH (INDEX (pk_past_answer))
                    WHERE past.job_id = f.job_id
                )
            ORDER BY f.review_priority DESC, f.fact_seq ASC
            OPTION (LOOP JOIN, FORCE ORDER);
        END;
        ELSE
            INSERT INTO @seen (fact_seq)
            SELECT TOP (@left) f.fact_seq
            FROM llm.fact AS f WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_fact_to_review))
            WHERE
                f.review_priority IS NOT NULL
                AND f.is_current = 1
                AND f.review_round = @round
                AND (f.review_claim_expires_utc IS NULL OR f.review_claim_expires_utc <= @now)
                AND COALESCE((
                    SELECT TOP (1) mine.decision
                    FROM llm.fact_review AS mine WITH (INDEX (ix_fact_review_fact))
                    WHERE
                        mine.fact_id = f.fact_id
                        AND mine.actor = @who
                    ORDER BY mine.review_seq DESC
                ), N'NONE') = N'NONE'
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.past_answer AS past WITH (INDEX (pk_past_answer))
                    WHERE past.job_id = f.job_id
                )
            ORDER BY f.review_priority DESC, f.fact_seq ASC
            OPTION (LOOP JOIN, OPTIMIZE FOR (@left = 1));

        UPDATE f
        SET
            review_claimed_by = @who,
            review_claim_expires_utc = DATEADD(SECOND, @claim_seconds, @now)
        OUTPUT inserted.fact_seq INTO @picked (fact_seq)
        FROM @seen AS s, llm.fact AS f WITH (ROWLOCK, INDEX (ux_fact_seq))
        WHERE
            s.fact_seq = f.fact_seq
            AND f.review_priority IS NOT NULL
            AND (f.review_claim_expires_utc IS NULL OR f.review_claim_expires_utc <= @now)
        OPTION (LOOP JOIN, FORCE ORDER);

        SET @left = @max_facts - (SELECT COUNT(*) FROM @picked);
        SET @looks = @looks + 1;
        -- Somebody was quicker: the same look again, but not for ever.
        IF @looks >= 20 OR (SELECT COUNT(*) FROM @seen) = 0
            OR NOT EXISTS (
                SELECT 1
                FROM @seen AS s
                WHERE NOT EXISTS (SELECT 1 FROM @picked AS p WHERE p.fact_seq = s.fact_seq)
            )
        BEGIN
            SET @turn = @turn + 1;
            SET @looks = 0;
        END;
    END;

    SELECT
        f.fact_seq,
        f.fact_id,
        f.review_claimed_by AS claimed_by,
        f.review_claim_expires_utc AS claim_expires_utc
    FROM @picked AS p
    INNER JOIN llm.fact AS f WITH (INDEX (ux_fact_seq))
        ON p.fact_seq = f.fact_seq
    ORDER BY f.review_round DESC, f.review_priority DESC, f.fact_seq ASC
    OPTION (LOOP JOIN, FORCE ORDER);
END;
GO

GRANT EXECUTE ON llm.usp_claim_facts TO llm_operator;
GO
