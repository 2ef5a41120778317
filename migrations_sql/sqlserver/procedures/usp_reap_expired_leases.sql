SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_reap_expired_leases: ends up to max_rows runs whose lease has expired, and changes the state of their jobs.
-- Promises: a job's first expiry makes it NEW at once, a later one SCHEDULED after the backoff, which is
--   min(3600, 30 * 2^(attempt_count - 1)) seconds, give or take 20 %; attempts used up: DEADLETTER; cancellation asked
--   for: CANCELLED. One reaper at a time: a second one returns no rows. Times from before the clock was set back are
--   adjusted: such a lease restarts now with its original length, so that it never ends earlier than it was granted
--   for, and a dead worker's job does not wait until the old time is reached again.
-- Called by: every worker (at least every 2 s), schedules.
-- Locks: the reaper's own lock (sp_getapplock), not waited for; expired jobs in job_seq order (UPDLOCK), passing over
--   what somebody holds (READPAST: whoever does is just completing or renewing it), then their runs, then their events;
--   at last rows of workers, passing over what a heartbeat holds.
CREATE OR ALTER PROCEDURE llm.usp_reap_expired_leases
    @max_rows int = 500,
    @actor nvarchar(4000) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = COALESCE(NULLIF(LTRIM(RTRIM(@actor)), N''), N'reaper');
    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @granted int;
    DECLARE @seen TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @expired TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NOT NULL,
        locked_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        lease_expires_utc datetime2(6) NOT NULL,
        final_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        backoff_ms int NOT NULL,
        error nvarchar(MAX) NOT NULL
    );
    DECLARE @ahead TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @begun_anew TABLE (
        run_id uniqueidentifier NOT NULL PRIMARY KEY,
        lease_expires_utc datetime2(6) NOT NULL
    );
    DECLARE @moved TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        available_utc datetime2(6) NULL,
        finished_utc datetime2(6) NULL
    );

    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;
    IF LEN(@who) > 200
        THROW 51014, N'HC014: actor is longer than 200 characters', 1;

    BEGIN TRANSACTION;

    -- Below 0: another caller is reaping. The lock ends with the transaction.
    EXEC @granted = sp_getapplock
        @Resource = N'llm.usp_reap_expired_leases',
        @LockMode = N'Exclusive',
        @LockOwner = N'Transaction',
        @LockTimeout = 0;

    IF @granted >= 0
    BEGIN
        -- Claimed later than now, and not renewed since the clock was set back, as a heartbeat would set locked_utc.
        -- Looked for and locked as the expired ones are, below.
        INSERT INTO @ahead (job_seq)
        SELECT TOP (@max_rows) j.job_seq
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_running))
        WHERE
            j.status = N'RUNNING'
            AND j.locked_utc > @now
        ORDER BY j.job_seq;

        IF EXISTS (SELECT 1 FROM @ahead)
        BEGIN
            SET @now = SYSUTCDATETIME();  -- what was claimed while this looked was not claimed later than now

            -- One second more, because DATEDIFF counts the seconds that begin between its two times.
            UPDATE j
            SET
                lease_expires_utc = DATEADD(SECOND, DATEDIFF(SECOND, j.locked_utc, j.lease_expires_utc) + 1, @now),
                locked_utc = @now
            OUTPUT inserted.current_run_id, inserted.lease_expires_utc INTO @begun_anew (run_id, lease_expires_utc)
            FROM @ahead AS a, llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_job_seq))
            WHERE
                a.job_seq = j.job_seq
                AND j.status = N'RUNNING'
                AND j.locked_utc > @now
            OPTION (LOOP JOIN, FORCE ORDER);

            UPDATE r
            SET lease_until_utc = b.lease_expires_utc
            FROM @begun_anew AS b
            INNER JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
                ON b.run_id = r.run_id
            WHERE r.status = N'RUNNING'
            OPTION (LOOP JOIN, FORCE ORDER);
        END;

        -- Looked for without keeping locks, and without waiting (READPAST needs READCOMMITTEDLOCK where rows are
        -- versioned), then locked by the rows: an index entry held while waiting for its row would be a deadlock with
        -- whoever ends the run. The sort is of the running jobs, which are as many as the workers have slots.
        INSERT INTO @seen (job_seq)
        SELECT TOP (@max_rows) j.job_seq
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_running))
        WHERE
            j.status = N'RUNNING'
            AND j.lease_expires_utc < @now
        ORDER BY j.job_seq;

        INSERT INTO @expired (
            job_seq, job_id, run_id, locked_by, lease_expires_utc, final_status, backoff_ms, error
        )
        SELECT
            j.job_seq,
            j.job_id,
            j.current_run_id,
            j.locked_by,
            j.lease_expires_utc,
            CASE
                WHEN j.cancel_requested_utc IS NOT NULL THEN N'CANCELLED'
                WHEN j.attempt_count >= j.max_attempts THEN N'DEADLETTER'
                WHEN EXISTS (
                    SELECT 1
                    FROM llm.run AS r WITH (INDEX (ux_run_job_attempt))
                    WHERE
                        r.job_id = j.job_id
                        AND r.error_kind = N'lease_expired'
                ) THEN N'SCHEDULED'
                ELSE N'NEW'
            END,
            -- 30 * 2^7 is over the maximum already: a larger exponent would only risk an overflow. The spread, 800 to
            -- 1200 milliseconds for each second, keeps jobs that fell together from rising together; it is drawn for
            -- each row (RAND would be drawn once for all).
            CASE
                WHEN j.attempt_count > 7 THEN 3600
                WHEN j.attempt_count > 1 THEN 30 * POWER(2, j.attempt_count - 1)
                ELSE 30
            END * (1000 + CHECKSUM(CAST(NEWID() AS nvarchar(36))) % 201),
            -- COLLATE, here and below: a column and a function's result may not be of two collations in one text.
            CONCAT(
                N'the lease of worker ', j.locked_by COLLATE Latin1_General_100_BIN2,
                N' expired at ', llm.utc_text(j.lease_expires_utc)
            )
        FROM @seen AS s
        INNER JOIN llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_job_seq))
            ON s.job_seq = j.job_seq
        WHERE
            j.status = N'RUNNING'
            AND j.lease_expires_utc < @now
        OPTION (LOOP JOIN, FORCE ORDER);

        -- Read under the locks, so that a job's events are in the order of their times.
        SET @now = SYSUTCDATETIME();

        -- The lease is asked again: where lock hints mean nothing, a heartbeat may have renewed it.
        UPDATE j
        SET
            status = x.final_status,
            available_utc = CASE
                WHEN x.final_status = N'SCHEDULED' THEN DATEADD(MILLISECOND, x.backoff_ms, @now)
                ELSE j.available_utc
            END,
            locked_by = NULL,
            locked_utc = NULL,
            lease_expires_utc = NULL,
            current_run_id = NULL,
            last_error = x.error,
            error_kind = N'lease_expired',
            finished_utc = CASE WHEN x.final_status IN (N'DEADLETTER', N'CANCELLED') THEN @now END
        OUTPUT inserted.job_seq, inserted.available_utc, inserted.finished_utc
        INTO @moved (job_seq, available_utc, finished_utc)
        FROM @expired AS x, llm.job AS j WITH (ROWLOCK)
        WHERE
            x.job_seq = j.job_seq
            AND j.status = N'RUNNING'
            AND j.current_run_id = x.run_id
            AND j.lease_expires_utc = x.lease_expires_utc
        OPTION (LOOP JOIN, FORCE ORDER);

        -- Reported only for jobs that will run again.
        UPDATE @moved
        SET available_utc = NULL
        WHERE finished_utc IS NOT NULL;

        UPDATE r
        SET
            status = N'FAILED',
            counted = 1,
            completed_utc = @now,
            error_kind = N'lease_expired',
            error = x.error
        FROM @moved AS m
        INNER JOIN @expired AS x
            ON m.job_seq = x.job_seq
        INNER JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
            ON x.run_id = r.run_id
        WHERE r.status = N'RUNNING'
        OPTION (LOOP JOIN, FORCE ORDER);

        -- One event for the cause and, if that does not imply the new state, one for the state.
        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, detail_json)
        SELECT
            told.job_id,
            told.run_id,
            @now,
            told.event,
            N'RUNNING',
            told.to_status,
            @who,
            CONCAT(
                N'{"worker_id": "', STRING_ESCAPE(told.locked_by, 'json') COLLATE Latin1_General_100_BIN2,
                N'", "lease_expires_utc": "', llm.utc_text(told.lease_expires_utc),
                N'", "available_utc": ', COALESCE(N'"' + llm.utc_text(told.available_utc) + N'"', N'null'),
                N'}'
            )
        FROM (
            SELECT
                m.job_seq,
                1 AS place,
                x.job_id,
                x.run_id,
                N'lease_expired' AS event,
                CASE WHEN m.available_utc IS NULL THEN N'RUNNING' ELSE x.final_status END AS to_status,
                x.locked_by,
                x.lease_expires_utc,
                m.available_utc
            FROM @moved AS m
            INNER JOIN @expired AS x
                ON m.job_seq = x.job_seq
            UNION ALL
            SELECT
                m.job_seq,
                2 AS place,
                x.job_id,
                x.run_id,
                CASE WHEN x.final_status = N'DEADLETTER' THEN N'dead_lettered' ELSE N'cancelled' END AS event,
                x.final_status AS to_status,
                x.locked_by,
                x.lease_expires_utc,
                m.available_utc
            FROM @moved AS m
            INNER JOIN @expired AS x
                ON m.job_seq = x.job_seq
            WHERE m.available_utc IS NULL
        ) AS told
        ORDER BY told.job_seq, told.place;

        -- Likewise for a worker seen later than now: if it is dead, its id becomes free one lease from now.
        SET @now = SYSUTCDATETIME();
        UPDATE llm.worker WITH (UPDLOCK, READPAST, ROWLOCK)
        SET last_seen_utc = @now
        WHERE last_seen_utc > @now;
    END;

    COMMIT TRANSACTION;

    SELECT
        x.job_id,
        x.run_id,
        x.final_status,
        m.available_utc
    FROM @moved AS m
    INNER JOIN @expired AS x
        ON m.job_seq = x.job_seq
    ORDER BY m.job_seq;
END;
GO

GRANT EXECUTE ON llm.usp_reap_expired_leases TO llm_worker;
GRANT EXECUTE ON llm.usp_reap_expired_leases TO llm_operator;
GO
