SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_purge_jobs: deletes up to max_rows ended jobs with their runs, artifact rows, facts, reviews and events,
--   the oldest first.
-- Promises: only jobs that ended before finished_before_utc in one of the named states, never a held one, one whose run
--   a live job will repeat, nor one whose answer a derivation uses.
--   A job and its parts go together, and count as one. llm.lake_deletion then lists what to delete from the lake: every
--   file, and the folder of a run that recorded none. An event 'purged' of each job remains, and says who and why.
--   Returns a row per file
--   (lake_uri null: the job has none). A dry run returns the same and changes nothing.
--   Jobs that the hours have not counted (usp_roll_up_hours) are not deleted: they are counted first, in one step, and
--   a job that is still not counted is left for the next call. So none is deleted while a transaction with older
--   events stays open, nor, uncounted, inside a transaction of the caller, which the counting's time-out would end. A
--   dry run, which counts nothing, answers as if all were counted. Batches keep the purged jobs in their counts.
-- Called by: maintainers and the purge schedule.
-- Locks: the counting's, before any other and not waited for; then the batches that the jobs are of; then the jobs
--   in job_seq order (UPDLOCK), passing over what somebody holds (READPAST); every writer of their runs, artifacts
--   and events locks the job before, so these have no other holder, and go in the order that the foreign keys want.
--   Before any fact the slots of their entities, in order: whoever stores facts may be about to say that these are
--   superseded. Of two in a deadlock this one gives way.
CREATE OR ALTER PROCEDURE llm.usp_purge_jobs
    @finished_before_utc datetime2(6),
    @statuses_json nvarchar(MAX),
    @actor nvarchar(4000),
    @max_rows int = 500,
    @dry_run bit = 0,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET DEADLOCK_PRIORITY LOW;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @now datetime2(6);
    DECLARE @mark bigint;
    DECLARE @status TABLE (status nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL);
    -- Of the column's own type: the index is sought by it.
    DECLARE @state TABLE (status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY);
    DECLARE @uncounted bit = 0;
    DECLARE @seen TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @part TABLE (job_seq bigint NOT NULL PRIMARY KEY, parent_seq bigint NOT NULL);
    DECLARE @kept TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @chosen TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        finished_utc datetime2(6) NOT NULL
    );
    DECLARE @tombstone TABLE (event_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @run TABLE (
        run_id uniqueidentifier NOT NULL PRIMARY KEY,
        job_seq bigint NOT NULL,
        job_id uniqueidentifier NOT NULL,
        started_utc datetime2(6) NOT NULL
    );
    DECLARE @file TABLE (
        artifact_seq bigint NOT NULL PRIMARY KEY,
        job_seq bigint NOT NULL,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NOT NULL,
        lake_uri nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL
    );
    DECLARE @set TABLE (
        run_id uniqueidentifier NOT NULL PRIMARY KEY,
        run_seq bigint NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @slot TABLE (slot int NOT NULL PRIMARY KEY);
    DECLARE @fact TABLE (fact_seq bigint NOT NULL PRIMARY KEY, job_id uniqueidentifier NOT NULL);
    -- Runs of which an older one is left that is the newest now.
    DECLARE @stood_above TABLE (run_seq bigint NOT NULL PRIMARY KEY, run_id uniqueidentifier NOT NULL);
    DECLARE @batch TABLE (batch_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @gone TABLE (
        batch_id uniqueidentifier NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        error_kind nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        jobs bigint NOT NULL
    );
    DECLARE @batches int;
    DECLARE @run_seq bigint;
    DECLARE @interrogation_key nvarchar(200);
    DECLARE @entity_type nvarchar(200);
    DECLARE @entity_id nvarchar(400);
    DECLARE @evidence_sha256 nvarchar(64);

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @finished_before_utc IS NULL
        THROW 51017, N'HC017: finished_before_utc is missing', 1;
    IF @finished_before_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: finished_before_utc is not in the years 2000 to 9000', 1;
    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;
    IF llm.is_json_array(@statuses_json) = 0
        THROW 51016, N'HC016: statuses_json is missing, or not an array', 1;

    INSERT INTO @status (status)
    SELECT s.status
    FROM OPENJSON(@statuses_json) WITH (status nvarchar(MAX) '$') AS s;
    -- Comparing ignores blanks at the end, LIKE does not.
    IF NOT EXISTS (SELECT 1 FROM @status)
        OR EXISTS (
            SELECT 1
            FROM @status AS s
            WHERE
                s.status IS NULL
                OR s.status NOT IN (N'SUCCEEDED', N'FAILED', N'DEADLETTER', N'CANCELLED')
                OR s.status LIKE N'% '
        )
        THROW 51016, N'HC016: statuses_json is not an array of SUCCEEDED, FAILED, DEADLETTER, CANCELLED', 1;

    INSERT INTO @state (status)
    SELECT DISTINCT CAST(s.status AS nvarchar(40))
    FROM @status AS s;

    -- Looked for in the index's order, without keeping locks and without waiting for a job that is just requeued
    -- (READPAST needs READCOMMITTEDLOCK where rows are versioned); then locked by the rows, which are asked again. The
    -- oldest of each state, then the oldest of all: what is kept is not walked over, however much it is.
    INSERT INTO @seen (job_seq)
    SELECT TOP (@max_rows) old.job_seq
    FROM @state AS s
    CROSS APPLY (
        SELECT TOP (@max_rows)
            j.job_seq,
            j.finished_utc
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_purgeable))
        WHERE
            j.status = s.status
            AND j.finished_utc IS NOT NULL
            AND j.finished_utc < @finished_before_utc
            AND j.hold_utc IS NULL
            AND j.parent_job_id IS NULL
            AND NOT EXISTS (
                SELECT 1
                FROM llm.run AS r WITH (INDEX (ux_run_job_attempt))
                INNER JOIN llm.job AS again WITH (INDEX (ix_job_repeats))
                    ON r.run_id = again.repeats_run_id
                WHERE
                    r.job_id = j.job_id
                    AND again.repeats_run_id IS NOT NULL
                    AND again.status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT')
            )
            -- A part that is held, or whose run a live job will repeat, keeps all of its job.
            AND NOT EXISTS (
                SELECT 1
                FROM llm.job AS p WITH (INDEX (ux_job_part))
                WHERE
                    p.parent_job_id = j.job_id
                    AND p.parent_job_id IS NOT NULL
                    AND (
                        p.hold_utc IS NOT NULL
                        OR EXISTS (
                            SELECT 1
                            FROM llm.run AS r WITH (INDEX (ux_run_job_attempt))
                            INNER JOIN llm.job AS again WITH (INDEX (ix_job_repeats))
                                ON r.run_id = again.repeats_run_id
                            WHERE
                                r.job_id = p.job_id
                                AND again.repeats_run_id IS NOT NULL
                                AND again.status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT')
                        )
                    )
            )
            AND NOT EXISTS (
                SELECT 1
                FROM llm.subject AS used WITH (INDEX (ix_subject_answer_job))
                WHERE
                    used.answer_job_id = j.job_id
                    AND used.answer_job_id IS NOT NULL
                    AND used.state <> N'RETIRED'
            )
            AND NOT EXISTS (
                SELECT 1
                FROM llm.subject AS asked WITH (INDEX (ix_subject_job))
                WHERE
                    asked.job_id = j.job_id
                    AND asked.job_id IS NOT NULL
                    AND asked.state = N'QUEUED'
            )
        ORDER BY j.finished_utc, j.job_seq
    ) AS old
    ORDER BY old.finished_utc, old.job_seq
    OPTION (LOOP JOIN, FORCE ORDER);

    -- Nobody makes a part unfinished but who holds its parent.
    INSERT INTO @part (job_seq, parent_seq)
    SELECT
        p.job_seq,
        s.job_seq AS parent_seq
    FROM @seen AS s
    INNER JOIN llm.job AS j WITH (INDEX (ux_job_seq))
        ON s.job_seq = j.job_seq
    INNER JOIN llm.job AS p WITH (INDEX (ux_job_part))
        ON j.job_id = p.parent_job_id
    WHERE
        j.part_count IS NOT NULL
        AND p.parent_job_id IS NOT NULL
    OPTION (LOOP JOIN, FORCE ORDER);

    SELECT @mark = MAX(m.event_seq)
    FROM llm.stat_mark AS m
    WHERE m.stat_name = N'stat_hour';

    IF COALESCE(@dry_run, 0) = 0 AND @@TRANCOUNT = 0
        SELECT TOP (1) @uncounted = 1
        FROM (
            SELECT x.job_seq FROM @seen AS x
            UNION ALL
            SELECT y.job_seq FROM @part AS y
        ) AS s
        INNER JOIN llm.job AS j WITH (INDEX (ux_job_seq))
            ON s.job_seq = j.job_seq
        INNER JOIN llm.job_event AS e WITH (INDEX (ix_job_event_job))
            ON j.job_id = e.job_id
        WHERE e.event_seq > COALESCE(@mark, 0)
        OPTION (LOOP JOIN, FORCE ORDER);
    IF @uncounted = 1
    BEGIN
        EXEC llm.usp_roll_up_hours @with_answer = 0;
        SELECT @mark = MAX(m.event_seq)
        FROM llm.stat_mark AS m
        WHERE m.stat_name = N'stat_hour';
    END;

    BEGIN TRANSACTION;

    -- Before any job the batches that they are of, so that whoever counts one sees all of this or nothing of it.
    IF COALESCE(@dry_run, 0) = 0
    BEGIN
        INSERT INTO @batch (batch_seq)
        SELECT DISTINCT b.batch_seq
        FROM @seen AS s
        INNER JOIN llm.job AS j WITH (READCOMMITTEDLOCK, INDEX (ux_job_seq))
            ON s.job_seq = j.job_seq
        INNER JOIN llm.batch AS b WITH (NOLOCK, INDEX (pk_batch))
            ON j.batch_id = b.batch_id
        OPTION (LOOP JOIN, FORCE ORDER);
        SELECT @batches = COUNT(*)
        FROM @batch AS x
        INNER JOIN llm.batch AS b WITH (UPDLOCK, ROWLOCK, INDEX (ux_batch_seq))
            ON x.batch_seq = b.batch_seq
        OPTION (LOOP JOIN, FORCE ORDER);
    END;

    INSERT INTO @chosen (job_seq, job_id, status, finished_utc)
    SELECT
        j.job_seq,
        j.job_id,
        j.status,
        j.finished_utc
    FROM @seen AS s
    INNER JOIN llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_job_seq))
        ON s.job_seq = j.job_seq
    WHERE
        j.finished_utc < @finished_before_utc
        AND j.hold_utc IS NULL
        AND EXISTS (SELECT 1 FROM @state AS st WHERE st.status = j.status)
        -- Whoever writes an event of a job locks the job before: a job that is locked here has all its events.
        AND (
            COALESCE(@dry_run, 0) = 1
            OR NOT EXISTS (
                SELECT 1
                FROM llm.job_event AS e
                WHERE
                    e.job_id = j.job_id
                    AND e.event_seq > COALESCE(@mark, 0)
            )
        )
    OPTION (LOOP JOIN, FORCE ORDER);

    -- The parts of what was chosen, after all of those; what is not counted stays as a whole.
    INSERT INTO @chosen (job_seq, job_id, status, finished_utc)
    SELECT
        j.job_seq,
        j.job_id,
        j.status,
        c.finished_utc
    FROM @part AS p
    INNER JOIN @chosen AS c
        ON p.parent_seq = c.job_seq
    INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
        ON p.job_seq = j.job_seq
    OPTION (LOOP JOIN, FORCE ORDER);
    IF COALESCE(@dry_run, 0) = 0 AND EXISTS (SELECT 1 FROM @part)
    BEGIN
        INSERT INTO @kept (job_seq)
        SELECT DISTINCT p.parent_seq
        FROM @part AS p
        INNER JOIN @chosen AS c
            ON p.job_seq = c.job_seq
        INNER JOIN llm.job_event AS e WITH (INDEX (ix_job_event_job))
            ON c.job_id = e.job_id
        WHERE e.event_seq > COALESCE(@mark, 0)
        OPTION (LOOP JOIN, FORCE ORDER);
        DELETE FROM @chosen
        WHERE
            job_seq IN (SELECT k.job_seq FROM @kept AS k)
            OR job_seq IN (
                SELECT p.job_seq FROM @part AS p WHERE p.parent_seq IN (SELECT k.job_seq FROM @kept AS k)
            );
    END;

    INSERT INTO @run (run_id, job_seq, job_id, started_utc)
    SELECT
        r.run_id,
        c.job_seq,
        c.job_id,
        r.started_utc
    FROM @chosen AS c
    INNER JOIN llm.run AS r WITH (INDEX (ux_run_job_attempt))
        ON c.job_id = r.job_id
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO @file (artifact_seq, job_seq, job_id, run_id, lake_uri)
    SELECT
        a.artifact_seq,
        r.job_seq,
        r.job_id,
        r.run_id,
        a.lake_uri
    FROM @run AS r
    INNER JOIN llm.artifact AS a WITH (INDEX (ux_artifact_run_type))
        ON r.run_id = a.run_id
    OPTION (LOOP JOIN, FORCE ORDER);

    IF COALESCE(@dry_run, 0) = 0
    BEGIN
        INSERT INTO @set (run_id, run_seq, interrogation_key, entity_type, entity_id, evidence_sha256)
        SELECT
            s.run_id,
            s.run_seq,
            s.interrogation_key,
            s.entity_type,
            s.entity_id,
            s.evidence_sha256
        FROM @run AS r
        INNER JOIN llm.fact_set AS s WITH (INDEX (pk_fact_set))
            ON r.run_id = s.run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO @slot (slot)
        SELECT DISTINCT llm.entity_slot(s.entity_type, s.entity_id)
        FROM @set AS s
        WHERE s.entity_type IS NOT NULL AND s.entity_id IS NOT NULL;

        UPDATE l
        SET taken_utc = SYSUTCDATETIME()
        FROM @slot AS s
        INNER JOIN llm.entity_lock AS l WITH (ROWLOCK)
            ON s.slot = l.slot
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO @fact (fact_seq, job_id)
        SELECT
            f.fact_seq,
            f.job_id
        FROM @set AS s
        INNER JOIN llm.fact AS f WITH (INDEX (ux_fact_run))
            ON s.run_id = f.run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        SET @now = SYSUTCDATETIME();

        INSERT INTO llm.lake_deletion (job_id, run_id, lake_uri, requested_utc, requested_by, reason)
        SELECT
            f.job_id,
            f.run_id,
            f.lake_uri,
            @now,
            @who,
            @reason
        FROM @file AS f
        ORDER BY f.artifact_seq;

        -- Between claim and completion, a run may have written files without rows.
        INSERT INTO llm.lake_deletion (job_id, run_id, lake_uri, requested_utc, requested_by, reason)
        SELECT
            r.job_id,
            r.run_id,
            CONCAT(
                N'llm_runs/', REPLACE(LEFT(llm.utc_text(r.started_utc), 10), N'-', N'/'),
                N'/', LOWER(CAST(r.run_id AS nvarchar(36)))
            ),
            @now,
            @who,
            @reason
        FROM @run AS r
        WHERE NOT EXISTS (SELECT 1 FROM @file AS f WHERE f.run_id = r.run_id)
        ORDER BY r.job_seq, r.started_utc;

        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
        OUTPUT inserted.event_seq INTO @tombstone (event_seq)
        SELECT
            c.job_id,
            @now,
            N'purged',
            c.status AS from_status,
            c.status AS to_status,
            @who,
            @reason,
            CONCAT(
                N'{"runs": ', (SELECT COUNT(*) FROM @run AS r WHERE r.job_seq = c.job_seq),
                N', "artifacts": ', (SELECT COUNT(*) FROM @file AS f WHERE f.job_seq = c.job_seq),
                N', "facts": ', (SELECT COUNT(*) FROM @fact AS f WHERE f.job_id = c.job_id), N'}'
            )
        FROM @chosen AS c
        ORDER BY c.finished_utc, c.job_seq;

        IF @batches > 0
        BEGIN
            INSERT INTO @gone (batch_id, status, error_kind, jobs)
            SELECT
                j.batch_id,
                j.status,
                COALESCE(j.error_kind, N''),
                COUNT_BIG(*)
            FROM @chosen AS c
            INNER JOIN llm.job AS j WITH (INDEX (ux_job_seq))
                ON c.job_seq = j.job_seq
            WHERE
                j.batch_id IS NOT NULL
                AND j.parent_job_id IS NULL
            GROUP BY j.batch_id, j.status, COALESCE(j.error_kind, N'')
            OPTION (LOOP JOIN, FORCE ORDER);

            INSERT INTO llm.batch_count (batch_id, status, error_kind, is_purged, jobs)
            SELECT
                g.batch_id,
                g.status,
                g.error_kind,
                1,
                g.jobs
            FROM @gone AS g;
            INSERT INTO llm.batch_count (batch_id, status, error_kind, is_purged, jobs)
            SELECT
                g.batch_id,
                g.status,
                g.error_kind,
                0,
                -g.jobs
            FROM @gone AS g;
        END;

        DELETE w
        FROM @set AS gone
        INNER JOIN llm.fact_review AS w WITH (ROWLOCK, INDEX (ix_fact_review_run))
            ON gone.run_id = w.run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        DELETE f
        FROM @fact AS gone
        INNER JOIN llm.fact AS f WITH (ROWLOCK)
            ON gone.fact_seq = f.fact_seq
        OPTION (LOOP JOIN, FORCE ORDER);

        DELETE s
        FROM @set AS gone
        INNER JOIN llm.fact_set AS s WITH (ROWLOCK, INDEX (pk_fact_set))
            ON gone.run_id = s.run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO @stood_above (run_seq, run_id)
        SELECT
            s.run_seq,
            s.run_id
        FROM @set AS s
        WHERE EXISTS (
            SELECT 1
            FROM llm.fact_set AS older WITH (INDEX (ix_fact_set_entity))
            WHERE
                older.entity_id IS NOT NULL
                AND older.entity_id = s.entity_id
                AND older.entity_type = s.entity_type
                AND older.interrogation_key = s.interrogation_key
                AND older.evidence_sha256 = s.evidence_sha256
                AND older.run_seq < s.run_seq
        );
        SELECT @run_seq = MIN(a.run_seq) FROM @stood_above AS a;
        WHILE @run_seq IS NOT NULL
        BEGIN
            SELECT
                @interrogation_key = s.interrogation_key,
                @entity_type = s.entity_type,
                @entity_id = s.entity_id,
                @evidence_sha256 = s.evidence_sha256
            FROM @set AS s
            WHERE s.run_seq = @run_seq;

            EXEC llm.settle_facts
                @run_id = NULL,
                @interrogation_key = @interrogation_key,
                @entity_type = @entity_type,
                @entity_id = @entity_id,
                @evidence_sha256 = @evidence_sha256;

            SELECT @run_seq = MIN(a.run_seq) FROM @stood_above AS a WHERE a.run_seq > @run_seq;
        END;

        DELETE a
        FROM @file AS f
        INNER JOIN llm.artifact AS a WITH (ROWLOCK)
            ON f.artifact_seq = a.artifact_seq
        OPTION (LOOP JOIN, FORCE ORDER);

        DELETE r
        FROM @run AS gone
        INNER JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
            ON gone.run_id = r.run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        DELETE e
        FROM @chosen AS c
        INNER JOIN llm.job_event AS e WITH (ROWLOCK, INDEX (ix_job_event_job))
            ON c.job_id = e.job_id
        WHERE NOT EXISTS (SELECT 1 FROM @tombstone AS t WHERE t.event_seq = e.event_seq)
        OPTION (LOOP JOIN, FORCE ORDER);

        DELETE j
        FROM @chosen AS c
        INNER JOIN llm.job AS j WITH (ROWLOCK)
            ON c.job_seq = j.job_seq
        OPTION (LOOP JOIN, FORCE ORDER);
    END;

    COMMIT TRANSACTION;

    SELECT
        c.job_id,
        f.lake_uri
    FROM @chosen AS c
    LEFT JOIN @file AS f
        ON c.job_seq = f.job_seq
    ORDER BY c.finished_utc, c.job_seq, f.artifact_seq;
END;
GO

GRANT EXECUTE ON llm.usp_purge_jobs TO llm_operator;
GO
