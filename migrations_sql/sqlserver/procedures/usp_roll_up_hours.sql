SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_roll_up_hours: counts up to max_events events into llm.stat_hour and llm.stat_hour_time, from where the last
--   call stopped.
-- Promises: each event is counted once, in the hour of its at_utc, whoever calls and however often: counts and mark
--   change in one transaction. is_caught_up: everything committed before through_utc is counted; else call again. One
--   at a time: a second caller gets no rows. Downtime is caught up in steps of max_events.
-- Nothing is missed, though event_seq is not the order of commits. The highest event_seq is looked up under a shared
--   lock of the table, for an instant: whoever inserts holds the table's intent lock from before it takes a number
--   until its transaction ends, so in that instant nobody is between the two, and all up to the mark is there or never
--   will be. The lock is waited for a tenth of a second, during which writers wait behind it; if somebody's transaction
--   stays open for longer, nothing is counted and the answer says so: a later call finds it all. An event whose
--   transaction read its clock before an hour's end and got its number after the mark is counted by a later call, into
--   its own hour: no hour is ever closed to its events. (Where lock hints are ignored, what is open in that instant is
--   missed.)
-- with_answer: 0 returns no rows, for procedures that call this one and return their own.
-- A time before the year 2000 or after 9000, which no procedure accepts but a table can contain, is counted in the
--   first or last hour of these years, and no duration is measured from or to it.
-- The model time is the one that the model server reported (total_duration in metrics_json, nanoseconds); a run
--   without it, or with 0, has none.
-- What the runs of a batch's jobs spent is added to llm.batch_spend, once as well.
-- Called by: every worker, several times a minute; schedules; usp_purge_jobs.
-- Locks: the counting's own lock (sp_getapplock), not waited for; job_event, shared, by whoever got that and only where
--   there is something to count, while one number is read; then its own tables' rows. Jobs, runs and events are read;
--   of two in a deadlock this one gives way.
CREATE OR ALTER PROCEDURE llm.usp_roll_up_hours
    @max_events int = 50000,
    @with_answer bit = 1
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET DEADLOCK_PRIORITY LOW;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @begun_utc datetime2(6) = SYSUTCDATETIME();
    DECLARE @epoch datetime2(6) = '2000-01-01';
    DECLARE @last datetime2(6) = '9000-12-31T23:00:00';
    DECLARE @granted int = -1;
    DECLARE @is_settled bit = 0;
    DECLARE @is_over bit = 0;
    DECLARE @is_caught_up bit = 0;
    DECLARE @from bigint = 0;
    DECLARE @high bigint;
    DECLARE @to bigint;
    DECLARE @events int = 0;
    DECLARE @through_utc datetime2(6);
    DECLARE @answer TABLE (events int NOT NULL, through_utc datetime2(6) NULL, is_caught_up bit NOT NULL);

    IF @max_events IS NULL OR @max_events NOT BETWEEN 1 AND 1000000
        THROW 51027, N'HC027: max_events is not between 1 and 1000000', 1;

    CREATE TABLE #told (
        hour_utc datetime2(6) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        event nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        prompt_tokens int NULL,
        output_tokens int NULL,
        wait_ms bigint NULL,
        run_ms bigint NULL,
        model_ms bigint NULL,
        batch_id uniqueidentifier NULL
    );
    CREATE TABLE #counted (
        hour_utc datetime2(6) NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        enqueued bigint NOT NULL,
        promoted bigint NOT NULL,
        claimed bigint NOT NULL,
        succeeded bigint NOT NULL,
        failed bigint NOT NULL,
        dead_lettered bigint NOT NULL,
        retried bigint NOT NULL,
        released bigint NOT NULL,
        lease_expired bigint NOT NULL,
        cancelled bigint NOT NULL,
        requeued bigint NOT NULL,
        prompt_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        model_ms bigint NOT NULL
    );
    CREATE TABLE #timed (
        hour_utc datetime2(6) NOT NULL,
        measure nvarchar(10) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        up_to_ms bigint NOT NULL,
        amount bigint NOT NULL
    );

    BEGIN TRANSACTION;

    -- Below 0: another caller is counting. The lock ends with the transaction.
    EXEC @granted = sp_getapplock
        @Resource = N'llm.usp_roll_up_hours',
        @LockMode = N'Exclusive',
        @LockOwner = N'Transaction',
        @LockTimeout = 0;

    IF @granted >= 0
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM llm.stat_mark AS m WHERE m.stat_name = N'stat_hour')
        BEGIN
            INSERT INTO llm.stat_mark (stat_name, event_seq) VALUES (N'stat_hour', 0);
        END;
        SELECT
            @from = m.event_seq,
            @through_utc = m.through_utc
        FROM llm.stat_mark AS m
        WHERE m.stat_name = N'stat_hour';

        -- NOLOCK: nothing is waited for, and what is not committed is seen too. Nothing behind the mark: nothing was
        -- committed that is not counted, and no writer has to stop.
        IF NOT EXISTS (SELECT 1 FROM llm.job_event AS e WITH (NOLOCK) WHERE e.event_seq > @from)
        BEGIN
            SET @high = @from;
            SET @is_settled = 1;
        END;
    END;

    IF @granted >= 0 AND @is_settled = 0
    BEGIN
        BEGIN TRY
            SET LOCK_TIMEOUT 100;
            -- READCOMMITTEDLOCK: the table's lock is let go when the number is read, not when the counting ends.
            SELECT @high = MAX(e.event_seq)
            FROM llm.job_event AS e WITH (TABLOCK, READCOMMITTEDLOCK);
            SET @is_settled = 1;
        END TRY
        BEGIN CATCH
            -- 1222: the lock was not granted in time, and the transaction was rolled back.
            IF XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            SET @is_over = 1;
            IF ERROR_NUMBER() <> 1222
                THROW;
        END CATCH;
        SET LOCK_TIMEOUT -1;
    END;

    IF @granted >= 0 AND @is_settled = 1
    BEGIN
        -- Whoever counted meanwhile may have come further than the number looked up here: then there is nothing to do.
        SELECT
            @to = COALESCE(MAX(step.event_seq), @from),
            @events = COUNT(*)
        FROM (
            SELECT TOP (@max_events) e.event_seq
            FROM llm.job_event AS e
            WHERE
                e.event_seq > @from
                AND e.event_seq <= @high
            ORDER BY e.event_seq
        ) AS step;
        SET @is_caught_up = CASE WHEN @events < @max_events OR @to >= @high THEN 1 ELSE 0 END;

        INSERT INTO #told (
            hour_utc, interrogation_key, model, error_kind, event, prompt_tokens, output_tokens, wait_ms, run_ms,
            model_ms, batch_id
        )
        SELECT
            CASE
                WHEN e.at_utc < @epoch THEN @epoch
                WHEN e.at_utc > @last THEN @last
                ELSE DATEADD(HOUR, DATEDIFF(HOUR, @epoch, e.at_utc), @epoch)
            END,
            j.interrogation_key,
            COALESCE(r.model_name, j.model_hint, N''),
            COALESCE(r.error_kind, N''),
            CASE
                WHEN e.event <> N'completed' THEN e.event
                WHEN e.to_status = N'SUCCEEDED' THEN N'succeeded'
                ELSE N'failed'
            END,
            CASE WHEN e.to_status <> N'RUNNING' THEN r.prompt_tokens END,
            CASE WHEN e.to_status <> N'RUNNING' THEN r.output_tokens END,
            CASE
                WHEN ready.at_utc BETWEEN @epoch AND @last AND e.at_utc BETWEEN @epoch AND @last
                    THEN DATEDIFF_BIG(MILLISECOND, ready.at_utc, e.at_utc)
            END,
            CASE
                WHEN
                    e.to_status <> N'RUNNING'
                    AND r.started_utc BETWEEN @epoch AND @last
                    AND r.completed_utc BETWEEN @epoch AND @last
                    THEN DATEDIFF_BIG(MILLISECOND, r.started_utc, r.completed_utc)
            END,
            CASE
                WHEN
                    e.to_status <> N'RUNNING'
                    AND LEN(JSON_VALUE(r.metrics_json, '$.total_duration')) <= 18
                    AND JSON_VALUE(r.metrics_json, '$.total_duration') NOT LIKE N'%[^0-9]%'
                    THEN
                        (NULLIF(TRY_CAST(JSON_VALUE(r.metrics_json, '$.total_duration') AS bigint), 0) + 500000)
                        / 1000000
            END,
            j.batch_id
        FROM llm.job_event AS e
        INNER JOIN llm.job AS j
            ON e.job_id = j.job_id
        -- Only for ends of runs, some of which have two events: the cause and the new state.
        LEFT JOIN llm.run AS r
            ON
                e.run_id = r.run_id
                AND e.event IN (
                    N'completed', N'retried', N'dead_lettered', N'released', N'lease_expired', N'cancelled', N'split'
                )
        OUTER APPLY (
            -- A promoted job was ready when it was due, which may be long before it was promoted.
            SELECT TOP (1)
                CASE
                    WHEN p.event = N'promoted' AND j.available_utc < p.at_utc THEN j.available_utc
                    ELSE p.at_utc
                END AS at_utc
            FROM llm.job_event AS p
            WHERE
                e.event = N'claimed'
                AND p.job_id = e.job_id
                AND p.event_seq < e.event_seq
                AND p.to_status = N'NEW'
                AND (p.from_status IS NULL OR p.from_status <> N'NEW')
            ORDER BY p.event_seq DESC
        ) AS ready
        WHERE
            e.event_seq > @from
            AND e.event_seq <= @to
        -- The events drive, the tables are sought: no plan may read a million jobs for a minute's events.
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO #counted (
            hour_utc, interrogation_key, model, error_kind, enqueued, promoted, claimed, succeeded, failed,
            dead_lettered, retried, released, lease_expired, cancelled, requeued, prompt_tokens, output_tokens, model_ms
        )
        SELECT
            t.hour_utc,
            t.interrogation_key,
            t.model,
            t.error_kind,
            SUM(CASE WHEN t.event = N'enqueued' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'promoted' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'claimed' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'succeeded' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'failed' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'dead_lettered' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'retried' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'released' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'lease_expired' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'cancelled' THEN 1 ELSE 0 END),
            SUM(CASE WHEN t.event = N'requeued' THEN 1 ELSE 0 END),
            SUM(CAST(COALESCE(t.prompt_tokens, 0) AS bigint)),
            SUM(CAST(COALESCE(t.output_tokens, 0) AS bigint)),
            SUM(CASE WHEN t.output_tokens IS NOT NULL THEN COALESCE(t.model_ms, 0) ELSE 0 END)
        FROM #told AS t
        WHERE t.event IN (
            N'enqueued', N'promoted', N'claimed', N'succeeded', N'failed', N'dead_lettered', N'retried', N'released',
            N'lease_expired', N'cancelled', N'requeued', N'split'
        )
        GROUP BY t.hour_utc, t.interrogation_key, t.model, t.error_kind;

        INSERT INTO llm.batch_spend (batch_id, tokens, model_ms)
        SELECT
            t.batch_id,
            SUM(CAST(COALESCE(t.prompt_tokens, 0) AS bigint)) + SUM(CAST(COALESCE(t.output_tokens, 0) AS bigint)),
            SUM(CASE WHEN t.output_tokens IS NOT NULL THEN COALESCE(t.model_ms, 0) ELSE 0 END)
        FROM #told AS t
        WHERE t.batch_id IS NOT NULL
        GROUP BY t.batch_id
        HAVING
            SUM(CAST(COALESCE(t.prompt_tokens, 0) AS bigint)) + SUM(CAST(COALESCE(t.output_tokens, 0) AS bigint)) > 0
            OR SUM(CASE WHEN t.output_tokens IS NOT NULL THEN COALESCE(t.model_ms, 0) ELSE 0 END) > 0;

        INSERT INTO #timed (hour_utc, measure, interrogation_key, model, up_to_ms, amount)
        SELECT
            b.hour_utc,
            b.measure,
            b.interrogation_key,
            b.model,
            b.up_to_ms,
            COUNT(*)
        FROM (
            SELECT
                t.hour_utc,
                m.measure,
                t.interrogation_key,
                t.model,
                CASE
                    WHEN m.ms <= 10 THEN 10
                    WHEN m.ms <= 20 THEN 20
                    WHEN m.ms <= 50 THEN 50
                    WHEN m.ms <= 100 THEN 100
                    WHEN m.ms <= 200 THEN 200
                    WHEN m.ms <= 500 THEN 500
                    WHEN m.ms <= 1000 THEN 1000
                    WHEN m.ms <= 2000 THEN 2000
                    WHEN m.ms <= 5000 THEN 5000
                    WHEN m.ms <= 10000 THEN 10000
                    WHEN m.ms <= 20000 THEN 20000
                    WHEN m.ms <= 50000 THEN 50000
                    WHEN m.ms <= 100000 THEN 100000
                    WHEN m.ms <= 200000 THEN 200000
                    WHEN m.ms <= 500000 THEN 500000
                    WHEN m.ms <= 1000000 THEN 1000000
                    WHEN m.ms <= 2000000 THEN 2000000
                    WHEN m.ms <= 5000000 THEN 5000000
                    WHEN m.ms <= 10000000 THEN 10000000
                    WHEN m.ms <= 20000000 THEN 20000000
                    WHEN m.ms <= 50000000 THEN 50000000
                    WHEN m.ms <= 100000000 THEN 100000000
                    ELSE 1000000000
                END AS up_to_ms
            FROM #told AS t
            CROSS APPLY (
                VALUES (N'wait', t.wait_ms), (N'run', t.run_ms), (N'model', t.model_ms)
            ) AS m (measure, ms)
            WHERE m.ms IS NOT NULL
        ) AS b
        GROUP BY b.hour_utc, b.measure, b.interrogation_key, b.model, b.up_to_ms;

        UPDATE s
        SET
            enqueued = s.enqueued + c.enqueued,
            promoted = s.promoted + c.promoted,
            claimed = s.claimed + c.claimed,
            succeeded = s.succeeded + c.succeeded,
            failed = s.failed + c.failed,
            dead_lettered = s.dead_lettered + c.dead_lettered,
            retried = s.retried + c.retried,
            released = s.released + c.released,
            lease_expired = s.lease_expired + c.lease_expired,
            cancelled = s.cancelled + c.cancelled,
            requeued = s.requeued + c.requeued,
            prompt_tokens = s.prompt_tokens + c.prompt_tokens,
            output_tokens = s.output_tokens + c.output_tokens,
            model_ms = s.model_ms + c.model_ms
        FROM #counted AS c
        INNER JOIN llm.stat_hour AS s
            ON c.hour_utc = s.hour_utc
            AND c.interrogation_key = s.interrogation_key
            AND c.model = s.model
            AND c.error_kind = s.error_kind;

        INSERT INTO llm.stat_hour (
            hour_utc, interrogation_key, model, error_kind, enqueued, promoted, claimed, succeeded, failed,
            dead_lettered, retried, released, lease_expired, cancelled, requeued, prompt_tokens, output_tokens, model_ms
        )
        SELECT
            c.hour_utc,
            c.interrogation_key,
            c.model,
            c.error_kind,
            c.enqueued,
            c.promoted,
            c.claimed,
            c.succeeded,
            c.failed,
            c.dead_lettered,
            c.retried,
            c.released,
            c.lease_expired,
            c.cancelled,
            c.requeued,
            c.prompt_tokens,
            c.output_tokens,
            c.model_ms
        FROM #counted AS c
        WHERE NOT EXISTS (
            SELECT 1
            FROM llm.stat_hour AS s
            WHERE
                s.hour_utc = c.hour_utc
                AND s.interrogation_key = c.interrogation_key
                AND s.model = c.model
                AND s.error_kind = c.error_kind
        );

        UPDATE s
        SET amount = s.amount + t.amount
        FROM #timed AS t
        INNER JOIN llm.stat_hour_time AS s
            ON t.hour_utc = s.hour_utc
            AND t.measure = s.measure
            AND t.interrogation_key = s.interrogation_key
            AND t.model = s.model
            AND t.up_to_ms = s.up_to_ms;

        INSERT INTO llm.stat_hour_time (hour_utc, measure, interrogation_key, model, up_to_ms, amount)
        SELECT
            t.hour_utc,
            t.measure,
            t.interrogation_key,
            t.model,
            t.up_to_ms,
            t.amount
        FROM #timed AS t
        WHERE NOT EXISTS (
            SELECT 1
            FROM llm.stat_hour_time AS s
            WHERE
                s.hour_utc = t.hour_utc
                AND s.measure = t.measure
                AND s.interrogation_key = t.interrogation_key
                AND s.model = t.model
                AND s.up_to_ms = t.up_to_ms
        );

        -- A caller that read its clock first may count second.
        IF @is_caught_up = 1 AND (@through_utc IS NULL OR @through_utc < @begun_utc)
            SET @through_utc = @begun_utc;
        IF @is_caught_up = 0
            SELECT @through_utc = e.at_utc
            FROM llm.job_event AS e
            WHERE e.event_seq = @to;

        UPDATE llm.stat_mark
        SET
            event_seq = @to,
            through_utc = @through_utc
        WHERE stat_name = N'stat_hour';
    END;

    IF @is_over = 0
        COMMIT TRANSACTION;

    IF @granted >= 0
    BEGIN
        INSERT INTO @answer (events, through_utc, is_caught_up) VALUES (@events, @through_utc, @is_caught_up);
    END;

    IF COALESCE(@with_answer, 1) = 1
    BEGIN
        SELECT
            a.events,
            a.through_utc,
            a.is_caught_up
        FROM @answer AS a;
    END;
END;
GO

GRANT EXECUTE ON llm.usp_roll_up_hours TO llm_worker;
GRANT EXECUTE ON llm.usp_roll_up_hours TO llm_operator;
GO
