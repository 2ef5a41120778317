SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_escalate_aged_jobs: raises the priority of jobs that were ready for more than waiting_seconds by raise_by,
--   up to max_priority; of one interrogation, or of all.
-- Promises: no priority is lowered. A job is raised again only after it has waited that long once more. Each call
--   reads at most max_rows jobs of one priority, those that have waited longest first, and returns where it stopped.
--   The next call passes that as after_priority, after_utc and after_job_seq and continues down to the lowest priority,
--   where they are null. So one pass reads each aged job once, because raised jobs are already behind it.
-- Called by: schedules.
-- Locks: the jobs in job_seq order (UPDLOCK), passing over what somebody else holds (READPAST: it never waits, and a
--   claim passes over what it holds), then their events; each change repeats its condition. READPAST needs
--   READCOMMITTEDLOCK where rows are versioned.
CREATE OR ALTER PROCEDURE llm.usp_escalate_aged_jobs
    @actor nvarchar(4000),
    @waiting_seconds int,
    @raise_by int,
    @max_priority int,
    @interrogation_key nvarchar(4000) = NULL,
    @after_priority int = NULL,
    @after_utc datetime2(6) = NULL,
    @after_job_seq bigint = NULL,
    @max_rows int = 500,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @key nvarchar(4000) = NULLIF(LTRIM(RTRIM(@interrogation_key)), N'');
    DECLARE @level int = @after_priority;
    DECLARE @before datetime2(6);
    DECLARE @now datetime2(6);
    DECLARE @seen_rows int = 0;
    DECLARE @last_utc datetime2(6);
    DECLARE @last_job_seq bigint;
    DECLARE @raised int = 0;
    DECLARE @seen TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        job_seq bigint NOT NULL,
        available_utc datetime2(6) NOT NULL
    );
    DECLARE @due TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @changed TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        job_id uniqueidentifier NOT NULL,
        priority int NOT NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @waiting_seconds IS NULL OR @waiting_seconds NOT BETWEEN 1 AND 31536000
        THROW 51045, N'HC045: waiting_seconds is not between 1 and 31536000', 1;
    IF @raise_by IS NULL OR @raise_by < 1 OR @max_priority IS NULL OR @max_priority < 1
        THROW 51046, N'HC046: raise_by or max_priority is missing or less than 1', 1;
    IF @after_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: after_utc is not in the years 2000 to 9000', 1;
    IF @max_rows IS NULL OR @max_rows NOT BETWEEN 1 AND 500
        THROW 51003, N'HC003: max_rows is not between 1 and 500', 1;

    SET @before = DATEADD(SECOND, -@waiting_seconds, SYSUTCDATETIME());

    IF @after_job_seq IS NULL
    BEGIN
        SET @level = NULL;
        SELECT TOP (1) @level = j.priority
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable))
        WHERE
            j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND j.priority < CASE WHEN @after_priority < @max_priority THEN @after_priority ELSE @max_priority END
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC;
    END;

    IF @level IS NOT NULL
    BEGIN
        INSERT INTO @seen (job_seq, available_utc)
        SELECT TOP (@max_rows)
            j.job_seq,
            j.available_utc
        FROM llm.job AS j WITH (READPAST, READCOMMITTEDLOCK, ROWLOCK, INDEX (ix_job_claimable))
        WHERE
            j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND j.priority = @level
            AND j.available_utc <= @before
            AND j.available_utc >= COALESCE(@after_utc, '0001-01-01')
            AND (
                @after_job_seq IS NULL
                OR j.available_utc > @after_utc
                OR j.job_seq > @after_job_seq
            )
        ORDER BY j.priority DESC, j.available_utc ASC, j.job_seq ASC
        OPTION (OPTIMIZE FOR (@max_rows = 1));
        SET @seen_rows = @@ROWCOUNT;

        SELECT
            @last_utc = s.available_utc,
            @last_job_seq = s.job_seq
        FROM @seen AS s
        WHERE s.place = @max_rows;

        BEGIN TRANSACTION;

        INSERT INTO @due (job_seq)
        SELECT j.job_seq
        FROM @seen AS s
        INNER JOIN llm.job AS j WITH (UPDLOCK, READPAST, ROWLOCK, INDEX (ux_job_seq))
            ON s.job_seq = j.job_seq
        WHERE
            j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND j.priority = @level
            AND j.priority < @max_priority
            AND j.available_utc <= @before
            AND (j.escalated_utc IS NULL OR j.escalated_utc <= @before)
            AND (@key IS NULL OR j.interrogation_key = @key)
        OPTION (LOOP JOIN, FORCE ORDER);

        -- Read under the locks, so that a job's events are in the order of their times.
        SET @now = SYSUTCDATETIME();

        UPDATE j
        SET
            priority = CASE
                WHEN CAST(@level AS bigint) + @raise_by > @max_priority THEN @max_priority
                ELSE @level + @raise_by
            END,
            escalated_utc = @now
        OUTPUT inserted.job_seq, inserted.job_id, inserted.priority INTO @changed (job_seq, job_id, priority)
        FROM @due AS d, llm.job AS j WITH (ROWLOCK)
        WHERE
            d.job_seq = j.job_seq
            AND j.status = N'NEW'
            AND j.paused_utc IS NULL
            AND j.priority = @level
        OPTION (LOOP JOIN, FORCE ORDER);
        SET @raised = @@ROWCOUNT;

        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
        SELECT
            c.job_id,
            @now,
            N'reprioritized',
            N'NEW',
            N'NEW',
            @who,
            @reason,
            CONCAT(N'{"priority": {"from": ', @level, N', "to": ', c.priority, N'}}')
        FROM @changed AS c
        ORDER BY c.job_seq;

        COMMIT TRANSACTION;
    END;

    SELECT
        @raised AS raised,
        @level AS priority,
        @last_utc AS available_utc,
        @last_job_seq AS job_seq;
END;
GO

GRANT EXECUTE ON llm.usp_escalate_aged_jobs TO llm_operator;
GO
