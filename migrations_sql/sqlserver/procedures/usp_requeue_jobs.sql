SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_requeue_jobs: sends ended jobs back into the queue with all their attempts before them.
-- Promises: a row per named job: changed, or why not. FAILED, DEADLETTER and CANCELLED become NEW, or SCHEDULED
--   when available_utc is in the future; a job whose dedupe key another job holds is refused, also when the other is
--   only just being queued. A SUCCEEDED job never changes.
--   A job with parts becomes SPLIT, and only those of its parts that failed are worked again; a part alone is refused.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the batches that the jobs are of, in batch_seq order, since who makes a job unfinished holds its batch; the
--   jobs in job_seq order (UPDLOCK); then their dedupe keys in the order of the index (UPDLOCK, HOLDLOCK: the
--   key, or the gap where it would stand), as an enqueue takes them; then events. Whoever waits for a key holds only
--   smaller keys, and nobody waits for a job while holding a key. Ids are turned into job_seq in the index alone, so
--   that no job is locked out of order. ROWLOCK, because a page lock would hide the page's other rows from every claim.
--   The named rows drive every join (FORCE ORDER): no plan may read past them.
CREATE OR ALTER PROCEDURE llm.usp_requeue_jobs
    @jobs_json nvarchar(MAX),
    @actor nvarchar(4000),
    @available_utc datetime2(6) = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @callers_transactions int = @@TRANCOUNT;
    DECLARE @turns int = 0;
    DECLARE @is_done bit = 0;
    DECLARE @now datetime2(6);
    DECLARE @listed TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NULL,
        expected_status nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @sought TABLE (job_seq bigint NOT NULL PRIMARY KEY, place int NOT NULL);
    DECLARE @held TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        place int NOT NULL,
        status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        job_id uniqueidentifier NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        dedupe_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        parent_job_id uniqueidentifier NULL,
        part_count int NULL,
        expected_status nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(MAX) NULL
    );
    DECLARE @batch TABLE (
        batch_seq bigint NOT NULL PRIMARY KEY,
        batch_id uniqueidentifier NOT NULL,
        paused_utc datetime2(6) NULL
    );
    DECLARE @key TABLE (
        key_place int NOT NULL PRIMARY KEY,  -- in the index's order
        job_seq bigint NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        dedupe_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        key_turn int NOT NULL,  -- of the jobs named with this key: the first only gets it
        first_job_id uniqueidentifier NOT NULL
    );
    DECLARE @holder TABLE (key_place int NOT NULL PRIMARY KEY, job_id uniqueidentifier NOT NULL);
    DECLARE @refused TABLE (job_seq bigint NOT NULL PRIMARY KEY, why nvarchar(MAX) NOT NULL);
    DECLARE @changed TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @available_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: available_utc is not in the years 2000 to 9000', 1;
    IF llm.is_json_array(@jobs_json) = 0
        THROW 51010, N'HC010: jobs_json is missing, or not an array of objects with a job_id', 1;

    -- A guid followed by other characters would convert to the guid.
    INSERT INTO @listed (job_id, expected_status)
    SELECT
        CASE WHEN LEN(e.job_id) = 36 THEN TRY_CAST(e.job_id AS uniqueidentifier) END,
        e.expected_status
    FROM OPENJSON(@jobs_json) WITH (
        job_id nvarchar(MAX) '$.job_id',
        expected_status nvarchar(MAX) '$.expected_status'
    ) AS e;
    IF EXISTS (SELECT 1 FROM @listed AS l WHERE l.job_id IS NULL)
        THROW 51010, N'HC010: jobs_json is malformed: an element has no job_id', 1;
    IF (SELECT COUNT(*) FROM @listed) > 500
        THROW 51023, N'HC023: jobs_json names more than 500 jobs', 1;

    -- A job named twice counts once; the first one applies.
    DELETE FROM @listed
    WHERE place NOT IN (SELECT MIN(l.place) FROM @listed AS l GROUP BY l.job_id);

    INSERT INTO @sought (job_seq, place)
    SELECT
        j.job_seq,
        l.place
    FROM @listed AS l
    INNER JOIN llm.job AS j WITH (INDEX (pk_job))
        ON l.job_id = j.job_id
    OPTION (LOOP JOIN, FORCE ORDER);

    -- One pass; another one only where lock hints are ignored and another caller took a key.
    WHILE @is_done = 0
    BEGIN
        SET @turns = @turns + 1;

        BEGIN TRY
            -- A table variable keeps its rows when a transaction is rolled back.
            DELETE FROM @held;
            DELETE FROM @key;
            DELETE FROM @holder;
            DELETE FROM @refused;
            DELETE FROM @changed;
            DELETE FROM @batch;

            BEGIN TRANSACTION;

            -- A job's batch never changes, so it is read before anything is locked.
            INSERT INTO @batch (batch_seq, batch_id)
            SELECT DISTINCT
                b.batch_seq,
                b.batch_id
            FROM @sought AS s
            INNER JOIN llm.job AS j WITH (READCOMMITTEDLOCK, INDEX (ux_job_seq))
                ON s.job_seq = j.job_seq
            INNER JOIN llm.batch AS b WITH (NOLOCK, INDEX (pk_batch))
                ON j.batch_id = b.batch_id
            OPTION (LOOP JOIN, FORCE ORDER);

            -- Of one that has ended the counts are made true again when these jobs have ended.
            UPDATE b
            SET is_watched = 1
            FROM @batch AS x
            INNER JOIN llm.batch AS b WITH (UPDLOCK, ROWLOCK, INDEX (ux_batch_seq))
                ON x.batch_seq = b.batch_seq
            OPTION (LOOP JOIN, FORCE ORDER);
            UPDATE x
            SET paused_utc = b.paused_utc
            FROM @batch AS x
            INNER JOIN llm.batch AS b WITH (INDEX (ux_batch_seq))
                ON x.batch_seq = b.batch_seq
            OPTION (LOOP JOIN, FORCE ORDER);

            INSERT INTO @held (
                job_seq, place, status,
                job_id, interrogation_key, dedupe_key, parent_job_id, part_count, expected_status
            )
            SELECT
                j.job_seq,
                s.place,
                j.status,
                j.job_id,
                j.interrogation_key,
                j.dedupe_key,
                j.parent_job_id,
                j.part_count,
                l.expected_status
            FROM @sought AS s
            INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
                ON s.job_seq = j.job_seq
            INNER JOIN @listed AS l
                ON s.place = l.place
            OPTION (LOOP JOIN, FORCE ORDER);

            -- Read under the locks, so that a job's events are in the order of their times.
            SET @now = SYSUTCDATETIME();

            UPDATE @held
            SET why = CASE
                WHEN expected_status <> status THEN CONCAT(N'the job is ', status, N', not ', expected_status)
                WHEN status = N'SUCCEEDED' THEN N'a SUCCEEDED job never changes'
                WHEN status NOT IN (N'FAILED', N'DEADLETTER', N'CANCELLED') THEN CONCAT(N'already ', status)
                WHEN parent_job_id IS NOT NULL
                    THEN CONCAT(N'it is a part: requeue job ', LOWER(CAST(parent_job_id AS nvarchar(36))))
            END;

            INSERT INTO @key (key_place, job_seq, interrogation_key, dedupe_key, key_turn, first_job_id)
            SELECT
                ROW_NUMBER() OVER (ORDER BY h.dedupe_key, h.interrogation_key, h.place),
                h.job_seq,
                h.interrogation_key,
                h.dedupe_key,
                ROW_NUMBER() OVER (PARTITION BY h.dedupe_key, h.interrogation_key ORDER BY h.place),
                FIRST_VALUE(h.job_id) OVER (PARTITION BY h.dedupe_key, h.interrogation_key ORDER BY h.place)
            FROM @held AS h
            WHERE
                h.why IS NULL
                AND h.dedupe_key IS NOT NULL;

            INSERT INTO @holder (key_place, job_id)
            SELECT
                k.key_place,
                j.job_id
            FROM @key AS k
            INNER JOIN llm.job AS j WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_job_dedupe))
                ON
                    k.dedupe_key = j.dedupe_key
                    AND k.interrogation_key = j.interrogation_key
            WHERE
                j.dedupe_key IS NOT NULL
                AND j.status IN (N'NEW', N'SCHEDULED', N'RUNNING', N'SPLIT', N'SUCCEEDED')
            OPTION (LOOP JOIN, FORCE ORDER);

            INSERT INTO @refused (job_seq, why)
            SELECT
                k.job_seq,
                CONCAT(
                    N'job ', LOWER(CAST(COALESCE(o.job_id, k.first_job_id) AS nvarchar(36))), N' holds its dedupe key'
                )
            FROM @key AS k
            LEFT JOIN @holder AS o
                ON k.key_place = o.key_place
            WHERE
                o.job_id IS NOT NULL
                OR k.key_turn > 1;

            UPDATE j
            SET
                status = CASE
                    WHEN j.part_count IS NOT NULL THEN N'SPLIT'
                    WHEN @available_utc > @now THEN N'SCHEDULED'
                    ELSE N'NEW'
                END,
                attempt_count = 0,
                available_utc = COALESCE(@available_utc, @now),
                cancel_requested_utc = NULL,
                last_error = NULL,
                error_kind = NULL,
                finished_utc = NULL,
                marked_part_no = CASE WHEN j.part_count IS NOT NULL THEN 0 END,
                retry_parts_utc = CASE WHEN j.part_count IS NOT NULL THEN @now END,
                parts_available_utc = CASE WHEN j.part_count IS NOT NULL THEN @available_utc END,
                paused_utc = (SELECT x.paused_utc FROM @batch AS x WHERE x.batch_id = j.batch_id)
            OUTPUT inserted.job_seq, inserted.job_id, inserted.status INTO @changed (job_seq, job_id, to_status)
            FROM @held AS h, llm.job AS j WITH (ROWLOCK)
            WHERE
                h.job_seq = j.job_seq
                AND h.why IS NULL
                AND h.job_seq NOT IN (SELECT r.job_seq FROM @refused AS r)
                AND j.status = h.status
            OPTION (LOOP JOIN, FORCE ORDER);

            INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason)
            SELECT
                c.job_id,
                @now,
                N'requeued',
                h.status,
                c.to_status,
                @who,
                @reason
            FROM @changed AS c
            INNER JOIN @held AS h
                ON c.job_seq = h.job_seq
            ORDER BY h.place;

            COMMIT TRANSACTION;
            SET @is_done = 1;
        END TRY
        BEGIN CATCH
            IF @callers_transactions = 0 AND XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            -- 2601, 2627: a key was taken between the look and the change. Look again, unless the transaction is the
            -- caller's and lost.
            IF @callers_transactions > 0 OR @turns >= 10 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    SELECT
        l.job_id,
        CAST(CASE WHEN c.job_seq IS NULL THEN 0 ELSE 1 END AS bit) AS changed,
        h.status AS from_status,
        COALESCE(c.to_status, h.status) AS to_status,
        CASE
            WHEN h.job_seq IS NULL THEN N'no such job'
            WHEN c.job_seq IS NULL THEN COALESCE(h.why, r.why, N'the job changed a moment ago')
        END AS why
    FROM @listed AS l
    LEFT JOIN @held AS h
        ON l.place = h.place
    LEFT JOIN @changed AS c
        ON h.job_seq = c.job_seq
    LEFT JOIN @refused AS r
        ON h.job_seq = r.job_seq
    ORDER BY l.place;
END;
GO

GRANT EXECUTE ON llm.usp_requeue_jobs TO llm_operator;
GO
