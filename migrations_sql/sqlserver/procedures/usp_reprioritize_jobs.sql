SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_reprioritize_jobs: gives jobs another priority; higher is sooner.
-- Promises: a row per named job: changed, or why not. Possible in every state but SUCCEEDED; the state stays.
-- Called by: queue.py for operators (admin, commands, schedules).
-- Locks: the jobs in job_seq order (UPDLOCK), then their events; each change repeats its condition. Ids are turned
--   into job_seq in the index alone, so that no job is locked out of order, and jobs are locked by their rows, not by
--   an index entry. ROWLOCK, because a page lock would hide the page's other rows from every claim. The named rows
--   drive every join (FORCE ORDER): no plan may read past them.
CREATE OR ALTER PROCEDURE llm.usp_reprioritize_jobs
    @jobs_json nvarchar(MAX),
    @actor nvarchar(4000),
    @priority int,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
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
        priority int NOT NULL,
        expected_status nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(MAX) NULL
    );
    DECLARE @changed TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        run_id uniqueidentifier NULL,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @priority IS NULL OR @priority < 0
        THROW 51006, N'HC006: priority is missing or negative', 1;
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

    BEGIN TRANSACTION;

    INSERT INTO @held (
        job_seq, place, status,
        priority, expected_status
    )
    SELECT
        j.job_seq,
        s.place,
        j.status,
        j.priority,
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
        WHEN priority = @priority THEN CONCAT(N'already priority ', priority)
    END;

    UPDATE j
    SET
        priority = @priority,
        marked_part_no = CASE WHEN h.status = N'SPLIT' THEN 0 ELSE j.marked_part_no END
    OUTPUT inserted.job_seq, inserted.job_id, inserted.current_run_id, inserted.status
    INTO @changed (job_seq, job_id, run_id, to_status)
    FROM @held AS h, llm.job AS j WITH (ROWLOCK)
    WHERE
        h.job_seq = j.job_seq
        AND h.why IS NULL
        AND j.status = h.status
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
    SELECT
        c.job_id,
        c.run_id,
        @now,
        N'reprioritized',
        h.status,
        c.to_status,
        @who,
        @reason,
        CONCAT(N'{"priority": {"from": ', h.priority, N', "to": ', @priority, N'}}')
    FROM @changed AS c
    INNER JOIN @held AS h
        ON c.job_seq = h.job_seq
    ORDER BY h.place;

    COMMIT TRANSACTION;

    SELECT
        l.job_id,
        CAST(CASE WHEN c.job_seq IS NULL THEN 0 ELSE 1 END AS bit) AS changed,
        h.status AS from_status,
        COALESCE(c.to_status, h.status) AS to_status,
        CASE
            WHEN h.job_seq IS NULL THEN N'no such job'
            WHEN c.job_seq IS NULL THEN COALESCE(h.why, N'the job changed a moment ago')
        END AS why
    FROM @listed AS l
    LEFT JOIN @held AS h
        ON l.place = h.place
    LEFT JOIN @changed AS c
        ON h.job_seq = c.job_seq
    ORDER BY l.place;
END;
GO

GRANT EXECUTE ON llm.usp_reprioritize_jobs TO llm_operator;
GO
