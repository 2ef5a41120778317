SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.settle_subjects: gives subjects the state of their newest job: those of one derivation that are listed, or
--   without a derivation all those whose jobs moved between two events. Not for callers.
-- Promises: QUEUED while the job is unfinished, CURRENT with the job's run once it succeeded, FAILED when it ended
--   otherwise, MISSING when the job is gone. An answer that another replaces is a past one; one in use again
--   is not. MISSING, STALE and RETIRED subjects stay as they are. With a derivation, other answers in
--   use are queued for delivery.
-- Called by: usp_settle_subjects, usp_set_subjects, inside their transactions.
-- Locks: the subjects in subject_seq order. Jobs are read: an event that comes later settles them again.
CREATE OR ALTER PROCEDURE llm.settle_subjects
    @after_event_seq bigint,
    @to_event_seq bigint,
    @derivation_seq bigint,
    @entities_json nvarchar(MAX),
    @settled int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @now datetime2(6) = SYSUTCDATETIME();
    DECLARE @due TABLE (subject_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @told TABLE (
        subject_seq bigint NOT NULL PRIMARY KEY,
        state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        job_id uniqueidentifier NULL,
        answer_job_id uniqueidentifier NULL,
        run_id uniqueidentifier NULL,
        old_run_id uniqueidentifier NULL,
        completed_utc datetime2(6) NULL
    );

    IF @derivation_seq IS NULL
        INSERT INTO @due (subject_seq)
        SELECT DISTINCT s.subject_seq
        FROM llm.job_event AS e WITH (INDEX (pk_job_event))
        INNER JOIN llm.subject AS s WITH (INDEX (ix_subject_job))
            ON e.job_id = s.job_id
        WHERE
            e.event_seq > @after_event_seq
            AND e.event_seq <= @to_event_seq
            AND s.job_id IS NOT NULL
        OPTION (LOOP JOIN, FORCE ORDER);
    ELSE
        INSERT INTO @due (subject_seq)
        SELECT DISTINCT s.subject_seq
        FROM OPENJSON(@entities_json) WITH (subject_seq bigint '$.subject_seq') AS e
        INNER JOIN llm.subject AS s WITH (INDEX (pk_subject))
            ON e.subject_seq = s.subject_seq
        WHERE s.derivation_seq = @derivation_seq
        OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO @told (subject_seq, state, job_id, answer_job_id, run_id, old_run_id, completed_utc)
    SELECT
        s.subject_seq,
        CASE
            WHEN j.status = N'SUCCEEDED' THEN N'CURRENT'
            WHEN j.status IN (N'FAILED', N'DEADLETTER', N'CANCELLED') THEN N'FAILED'
            WHEN j.status IS NOT NULL THEN N'QUEUED'
            ELSE N'MISSING'
        END,
        s.job_id,
        s.answer_job_id,
        r.run_id,
        s.run_id AS old_run_id,
        r.completed_utc
    FROM @due AS d
    INNER JOIN llm.subject AS s WITH (UPDLOCK, ROWLOCK, INDEX (pk_subject))
        ON d.subject_seq = s.subject_seq
    LEFT JOIN llm.job AS j WITH (INDEX (pk_job))
        ON s.job_id = j.job_id
    LEFT JOIN llm.run AS r WITH (INDEX (ux_run_job_attempt))
        ON
            j.job_id = r.job_id
            AND r.status = N'SUCCEEDED'
    WHERE s.state IN (N'QUEUED', N'CURRENT', N'FAILED')
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO llm.past_answer (job_id, because, since_utc)
    SELECT DISTINCT
        t.answer_job_id,
        N'superseded',
        @now
    FROM @told AS t
    WHERE
        t.state = N'CURRENT'
        AND t.answer_job_id <> t.job_id
        AND NOT EXISTS (SELECT 1 FROM llm.past_answer AS p WHERE p.job_id = t.answer_job_id);
    DELETE p
    FROM @told AS t
    INNER JOIN llm.past_answer AS p WITH (ROWLOCK, INDEX (pk_past_answer))
        ON t.job_id = p.job_id
    OPTION (LOOP JOIN, FORCE ORDER);

    UPDATE s
    SET
        state = t.state,
        stale_because = NULL,
        answer_job_id = CASE WHEN t.state = N'CURRENT' THEN t.job_id ELSE s.answer_job_id END,
        run_id = CASE WHEN t.state = N'CURRENT' THEN t.run_id ELSE s.run_id END,
        answered_utc = CASE WHEN t.state = N'CURRENT' THEN t.completed_utc ELSE s.answered_utc END,
        changed_utc = @now
    FROM @told AS t
    INNER JOIN llm.subject AS s WITH (ROWLOCK, INDEX (pk_subject))
        ON t.subject_seq = s.subject_seq
    WHERE
        s.state IN (N'QUEUED', N'CURRENT', N'FAILED')
        AND s.job_id = t.job_id
        AND (
            s.state <> t.state
            OR (
                t.state = N'CURRENT'
                AND (s.run_id IS NULL OR s.run_id <> t.run_id OR s.stale_because IS NOT NULL)
            )
        )
    OPTION (LOOP JOIN, FORCE ORDER);
    SET @settled = @@ROWCOUNT;

    IF @derivation_seq IS NOT NULL AND EXISTS (SELECT 1 FROM llm.derivation AS d WHERE d.target_json IS NOT NULL)
        -- Of the same entity in whichever derivation: whether a fact is admitted depends on other answers' facts.
        INSERT INTO llm.delivery (derivation_seq, subject_seq, queued_utc)
        SELECT
            s.derivation_seq,
            s.subject_seq,
            @now
        FROM @told AS t
        INNER JOIN llm.subject AS own WITH (INDEX (pk_subject))
            ON t.subject_seq = own.subject_seq
        CROSS JOIN llm.derivation AS d
        INNER JOIN llm.subject AS s WITH (NOLOCK, INDEX (ux_subject_entity))
            ON
                d.derivation_seq = s.derivation_seq
                AND own.entity_type = s.entity_type
                AND own.entity_id = s.entity_id
        WHERE
            d.target_json IS NOT NULL
            AND t.state = N'CURRENT'
            AND (t.old_run_id IS NULL OR t.old_run_id <> t.run_id)
        OPTION (LOOP JOIN, FORCE ORDER);
END;
GO

-- llm.usp_settle_subjects: settles the subjects whose jobs moved since the last call, up to max_events events.
-- Promises: each event up to the mark of usp_roll_up_hours, below which every event is visible, is looked at once,
--   whoever calls and however often; subjects and mark change in one transaction. is_caught_up: all of them were;
--   else call again. settled: how many subjects changed. One at a time: a second caller gets no rows. An answer or a
--   review queues deliveries of what is derived about its entity, since whether facts are admitted may change.
-- Cost: a look at two marks while nothing happened; without subjects the mark moves at once.
-- Called by: every worker (at least every 2 s), derive apply and status, schedules.
-- Locks: the settling's own lock (sp_getapplock), not waited for; then the subjects.
CREATE OR ALTER PROCEDURE llm.usp_settle_subjects
    @max_events int = 5000
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET DEADLOCK_PRIORITY LOW;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @granted int = -1;
    DECLARE @from bigint;
    DECLARE @high bigint;
    DECLARE @to bigint;
    DECLARE @events int;
    DECLARE @settled int = 0;

    IF @max_events IS NULL OR @max_events NOT BETWEEN 1 AND 100000
        THROW 51062, N'HC062: max_events is not between 1 and 100000', 1;

    BEGIN TRANSACTION;

    SELECT @from = m.event_seq
    FROM llm.stat_mark AS m WITH (NOLOCK)
    WHERE m.stat_name = N'subject';
    SELECT @high = COALESCE(MAX(m.event_seq), 0)
    FROM llm.stat_mark AS m
    WHERE m.stat_name = N'stat_hour';

    -- Looked at without the lock first: nearly always there is nothing to do.
    IF @from >= @high
        SET @granted = 0;
    ELSE
        EXEC @granted = sp_getapplock
            @Resource = N'llm.usp_settle_subjects',
            @LockMode = N'Exclusive',
            @LockOwner = N'Transaction',
            @LockTimeout = 0;

    IF @granted >= 0 AND (@from IS NULL OR @from < @high)
    BEGIN
        SET @from = NULL;
        SELECT @from = m.event_seq
        FROM llm.stat_mark AS m WITH (UPDLOCK, ROWLOCK)
        WHERE m.stat_name = N'subject';
        IF @from IS NULL
        BEGIN
            SET @from = 0;
            INSERT INTO llm.stat_mark (stat_name, event_seq) VALUES (N'subject', 0);
        END;

        SET @to = @high;
        IF @from < @high AND EXISTS (SELECT 1 FROM llm.subject)
        BEGIN
            SELECT
                @events = COUNT(*),
                @to = COALESCE(MAX(step.event_seq), @high)
            FROM (
                SELECT TOP (@max_events) e.event_seq
                FROM llm.job_event AS e WITH (INDEX (pk_job_event))
                WHERE
                    e.event_seq > @from
                    AND e.event_seq <= @high
                ORDER BY e.event_seq
            ) AS step;
            IF @events < @max_events
                SET @to = @high;
            EXEC llm.settle_subjects
                @after_event_seq = @from,
                @to_event_seq = @to,
                @derivation_seq = NULL,
                @entities_json = NULL,
                @settled = @settled OUTPUT;
            IF EXISTS (SELECT 1 FROM llm.derivation AS d WHERE d.target_json IS NOT NULL)
                INSERT INTO llm.delivery (derivation_seq, subject_seq, queued_utc)
                SELECT
                    s.derivation_seq,
                    s.subject_seq,
                    SYSUTCDATETIME()
                FROM (
                    SELECT DISTINCT
                        j.entity_type,
                        j.entity_id
                    FROM llm.job_event AS v WITH (INDEX (pk_job_event))
                    INNER JOIN llm.job AS j WITH (INDEX (pk_job))
                        ON v.job_id = j.job_id
                    WHERE
                        v.event_seq > @from
                        AND v.event_seq <= @to
                        AND (v.event = N'fact_reviewed' OR (v.event = N'completed' AND v.to_status = N'SUCCEEDED'))
                        AND j.entity_type IS NOT NULL
                        AND j.entity_id IS NOT NULL
                ) AS e
                CROSS JOIN llm.derivation AS d
                INNER JOIN llm.subject AS s WITH (NOLOCK, INDEX (ux_subject_entity))
                    ON
                        d.derivation_seq = s.derivation_seq
                        AND e.entity_type = s.entity_type
                        AND e.entity_id = s.entity_id
                WHERE d.target_json IS NOT NULL
                OPTION (LOOP JOIN, FORCE ORDER);
        END;
        UPDATE llm.stat_mark
        SET
            event_seq = @to,
            through_utc = SYSUTCDATETIME()
        WHERE
            stat_name = N'subject'
            AND event_seq < @to;
    END;

    COMMIT TRANSACTION;

    SELECT
        @settled AS settled,
        CAST(CASE WHEN @to IS NULL OR @to >= @high THEN 1 ELSE 0 END AS bit) AS is_caught_up
    WHERE @granted >= 0;
END;
GO

GRANT EXECUTE ON llm.usp_settle_subjects TO llm_worker;
GRANT EXECUTE ON llm.usp_settle_subjects TO llm_operator;
GO
