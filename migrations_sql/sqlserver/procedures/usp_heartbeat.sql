SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_heartbeat: renews the leases of the runs a worker names, and says how the worker is.
-- Promises: a row for every named run (held, cancel_requested: renewed; lost: ended, or another's) and for every run of
--   this worker that is not named (stray: not renewed, to be released). A lease whose time has passed is renewed as
--   long as nobody has ended the run. A worker id that is live with another started_utc is refused (51020).
--   With endpoints_json (an array of objects), the worker's rows of llm.endpoint are exactly these afterwards.
-- Called by: the worker's heartbeat thread, every third of the lease, and once before it exits.
-- Locks: the worker's jobs in job_seq order (UPDLOCK), then their runs, then the worker's row, then its endpoints,
--   always last. The jobs are found in the index alone and locked by their rows: an index entry held while waiting for
--   its row would be a deadlock with whoever ends the run, who comes the other way.
CREATE OR ALTER PROCEDURE llm.usp_heartbeat
    @worker_id nvarchar(4000),
    @run_ids_json nvarchar(MAX),
    @lease_seconds int = 120,
    @host nvarchar(4000) = NULL,
    @pid int = NULL,
    @version nvarchar(4000) = NULL,
    @started_utc datetime2(6) = NULL,
    @concurrency int = NULL,
    @stopping bit = 0,
    @not_claiming_why nvarchar(MAX) = NULL,
    @endpoints_json nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @worker nvarchar(4000) = LTRIM(RTRIM(@worker_id));
    DECLARE @now datetime2(6);
    DECLARE @lease_expires_utc datetime2(6);
    DECLARE @active_runs int;
    DECLARE @known_started_utc datetime2(6);
    DECLARE @known_seen_utc datetime2(6);
    DECLARE @known_stopping bit;
    DECLARE @message nvarchar(400);
    DECLARE @listed TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        run_id uniqueidentifier NULL
    );
    DECLARE @named TABLE (run_id uniqueidentifier NOT NULL PRIMARY KEY, place int NOT NULL);
    DECLARE @seen TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @mine TABLE (
        job_seq bigint NOT NULL PRIMARY KEY,
        run_id uniqueidentifier NOT NULL,
        lease_expires_utc datetime2(6) NOT NULL,
        is_named bit NOT NULL
    );
    DECLARE @renewed TABLE (
        run_id uniqueidentifier NOT NULL PRIMARY KEY,
        cancel_requested_utc datetime2(6) NULL
    );
    DECLARE @bad int;
    DECLARE @endpoints TABLE (
        name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,
        protocol nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        address nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        slots int NOT NULL,
        state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        serving_model nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        serving_since_utc datetime2(6) NULL,
        resident_models_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        models_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        last_error nvarchar(1000) COLLATE Latin1_General_100_BIN2 NULL
    );

    IF @worker IS NULL OR LEN(@worker) NOT BETWEEN 1 AND 200
        THROW 51001, N'HC001: worker_id is missing, blank or longer than 200 characters', 1;
    IF @lease_seconds IS NULL OR @lease_seconds NOT BETWEEN 1 AND 86400
        THROW 51002, N'HC002: lease_seconds is not between 1 and 86400', 1;
    IF @started_utc NOT BETWEEN '2000-01-01' AND '9000-12-31T23:59:59.999999'
        THROW 51028, N'HC028: started_utc is not in the years 2000 to 9000', 1;
    IF llm.is_json_array(@run_ids_json) = 0
        THROW 51018, N'HC018: run_ids_json is missing, or not an array', 1;

    -- An element is a run's id, or an object that has one. A guid with something behind it would convert to the guid.
    INSERT INTO @listed (run_id)
    SELECT CASE WHEN LEN(e.run_id) = 36 THEN TRY_CAST(e.run_id AS uniqueidentifier) END
    FROM (
        SELECT COALESCE(o.member, o.element) AS run_id
        FROM OPENJSON(@run_ids_json) WITH (
            member nvarchar(MAX) '$.run_id',
            element nvarchar(MAX) '$'
        ) AS o
    ) AS e;
    IF EXISTS (SELECT 1 FROM @listed AS l WHERE l.run_id IS NULL)
        THROW 51018, N'HC018: run_ids_json is malformed: an element has no run_id', 1;

    INSERT INTO @named (run_id, place)
    SELECT
        l.run_id,
        MIN(l.place)
    FROM @listed AS l
    GROUP BY l.run_id;

    IF @endpoints_json IS NOT NULL
    BEGIN
        IF llm.is_json_array(@endpoints_json) = 0
            THROW 51044, N'HC044: endpoints_json is not an array of endpoints', 1;
        SELECT
            @bad = COUNT(*)
            - COUNT(DISTINCT CASE
                WHEN
                    LEN(LTRIM(RTRIM(e.name))) BETWEEN 1 AND 200
                    AND LEN(e.protocol) BETWEEN 1 AND 40
                    AND e.address IS NOT NULL
                    AND TRY_CAST(e.slots AS int) >= 1
                    AND e.state COLLATE Latin1_General_100_BIN2 IN (N'UP', N'DOWN', N'PAUSED')
                    AND (e.serving_model IS NULL OR LEN(LTRIM(RTRIM(e.serving_model))) BETWEEN 1 AND 200)
                    AND (
                        e.serving_since_utc IS NULL
                        OR TRY_CAST(e.serving_since_utc AS datetimeoffset)
                        BETWEEN '2000-01-01T00:00:00+00:00' AND '9000-12-31T23:59:59.999999+00:00'
                    )
                    AND (e.resident IS NULL OR llm.is_json_array(e.resident) = 1)
                    AND (e.models IS NULL OR llm.is_json_array(e.models) = 1)
                    THEN LTRIM(RTRIM(e.name)) COLLATE Latin1_General_100_BIN2
            END)
        FROM OPENJSON(@endpoints_json) WITH (
            name nvarchar(MAX) '$.name',
            protocol nvarchar(MAX) '$.protocol',
            address nvarchar(MAX) '$.address',
            slots nvarchar(MAX) '$.slots',
            state nvarchar(MAX) '$.state',
            serving_model nvarchar(MAX) '$.serving_model',
            serving_since_utc nvarchar(MAX) '$.serving_since_utc',
            resident nvarchar(MAX) '$.resident' AS JSON,
            models nvarchar(MAX) '$.models' AS JSON
        ) AS e;
        IF @bad > 0
            THROW 51044, N'HC044: endpoints_json is malformed: an element lacks a column, or two have one name', 1;

        INSERT INTO @endpoints (
            name, protocol, address, slots, state, serving_model, serving_since_utc, resident_models_json,
            models_json, last_error
        )
        SELECT
            LTRIM(RTRIM(e.name)),
            e.protocol,
            LEFT(e.address, 400),
            TRY_CAST(e.slots AS int),
            e.state,
            LTRIM(RTRIM(e.serving_model)),
            CAST(SWITCHOFFSET(TRY_CAST(e.serving_since_utc AS datetimeoffset), '+00:00') AS datetime2(6)),
            e.resident,
            e.models,
            LEFT(e.last_error, 1000)
        FROM OPENJSON(@endpoints_json) WITH (
            name nvarchar(MAX) '$.name',
            protocol nvarchar(MAX) '$.protocol',
            address nvarchar(MAX) '$.address',
            slots nvarchar(MAX) '$.slots',
            state nvarchar(MAX) '$.state',
            serving_model nvarchar(MAX) '$.serving_model',
            serving_since_utc nvarchar(MAX) '$.serving_since_utc',
            resident nvarchar(MAX) '$.resident' AS JSON,
            models nvarchar(MAX) '$.models' AS JSON,
            last_error nvarchar(MAX) '$.last_error'
        ) AS e;
    END;

    BEGIN TRANSACTION;

    INSERT INTO @seen (job_seq)
    SELECT j.job_seq
    FROM llm.job AS j WITH (INDEX (ix_job_running))
    WHERE
        j.status = N'RUNNING'
        AND j.locked_by = @worker;

    INSERT INTO @mine (job_seq, run_id, lease_expires_utc, is_named)
    SELECT
        j.job_seq,
        j.current_run_id,
        j.lease_expires_utc,
        CASE WHEN EXISTS (SELECT 1 FROM @named AS n WHERE n.run_id = j.current_run_id) THEN 1 ELSE 0 END
    FROM @seen AS s
    INNER JOIN llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
        ON s.job_seq = j.job_seq
    WHERE
        j.status = N'RUNNING'
        AND j.locked_by = @worker
    OPTION (LOOP JOIN, FORCE ORDER);
    SET @active_runs = @@ROWCOUNT;

    SET @now = SYSUTCDATETIME();  -- read under the locks, so that waiting for them costs no lease time
    SET @lease_expires_utc = DATEADD(SECOND, @lease_seconds, @now);

    -- The lease stands in no index: one row is written, and no index entry locked. ROWLOCK, because a page lock would
    -- hide the page's other rows from every claim.
    UPDATE j
    SET
        lease_expires_utc = @lease_expires_utc,
        -- Later than now: the clock was set back since. This tells the reaper that the lease follows the new time.
        locked_utc = CASE WHEN j.locked_utc > @now THEN @now ELSE j.locked_utc END
    OUTPUT inserted.current_run_id, inserted.cancel_requested_utc INTO @renewed (run_id, cancel_requested_utc)
    FROM @mine AS m, llm.job AS j WITH (ROWLOCK)
    WHERE
        m.job_seq = j.job_seq
        AND m.is_named = 1
        AND j.status = N'RUNNING'
        AND j.current_run_id = m.run_id
    OPTION (LOOP JOIN, FORCE ORDER);

    UPDATE r
    SET lease_until_utc = @lease_expires_utc
    FROM @renewed AS renewed
    INNER JOIN llm.run AS r WITH (ROWLOCK, INDEX (pk_run))
        ON renewed.run_id = r.run_id
    WHERE r.status = N'RUNNING'
    OPTION (LOOP JOIN, FORCE ORDER);

    -- UPDLOCK, HOLDLOCK: two first heartbeats under one id wait for each other here.
    SELECT
        @known_started_utc = w.started_utc,
        @known_seen_utc = w.last_seen_utc,
        @known_stopping = w.stopping
    FROM llm.worker AS w WITH (UPDLOCK, HOLDLOCK, ROWLOCK)
    WHERE w.worker_id = @worker;

    IF @started_utc <> @known_started_utc
        AND @known_stopping = 0
        AND @known_seen_utc >= DATEADD(SECOND, -@lease_seconds, @now)
    BEGIN
        SET @message = CONCAT(N'HC020: worker id in use: ', @worker, N' lives with another started_utc');
        THROW 51020, @message, 1;
    END;

    IF @known_seen_utc IS NOT NULL
        UPDATE llm.worker WITH (ROWLOCK)
        SET
            host = COALESCE(LEFT(@host, 200), host),
            pid = COALESCE(@pid, pid),
            version = COALESCE(LEFT(@version, 100), version),
            started_utc = COALESCE(@started_utc, started_utc),
            last_seen_utc = @now,
            concurrency = COALESCE(@concurrency, concurrency),
            active_runs = @active_runs,
            stopping = COALESCE(@stopping, 0),
            not_claiming_why = LEFT(@not_claiming_why, 1000)
        WHERE worker_id = @worker;
    ELSE
        INSERT INTO llm.worker (
            worker_id, host, pid, version, started_utc, last_seen_utc, concurrency, active_runs, stopping,
            not_claiming_why
        )
        VALUES (
            @worker, LEFT(@host, 200), @pid, LEFT(@version, 100), @started_utc, @now, @concurrency, @active_runs,
            COALESCE(@stopping, 0), LEFT(@not_claiming_why, 1000)
        );

    -- Under the worker's row, which every heartbeat of this worker locks first.
    IF @endpoints_json IS NOT NULL
    BEGIN
        DELETE o
        FROM llm.endpoint AS o WITH (ROWLOCK)
        WHERE
            o.worker_id = @worker
            AND NOT EXISTS (SELECT 1 FROM @endpoints AS e WHERE e.name = o.name);

        UPDATE o
        SET
            protocol = e.protocol,
            address = e.address,
            slots = e.slots,
            state = e.state,
            serving_model = e.serving_model,
            serving_since_utc = e.serving_since_utc,
            resident_models_json = e.resident_models_json,
            models_json = e.models_json,
            last_error = e.last_error,
            last_seen_utc = @now
        FROM @endpoints AS e
        INNER JOIN llm.endpoint AS o WITH (ROWLOCK)
            ON e.name = o.name
        WHERE o.worker_id = @worker
        OPTION (LOOP JOIN, FORCE ORDER);

        INSERT INTO llm.endpoint (
            worker_id, name, protocol, address, slots, state, serving_model, serving_since_utc,
            resident_models_json, models_json, last_error, last_seen_utc
        )
        SELECT
            @worker,
            e.name,
            e.protocol,
            e.address,
            e.slots,
            e.state,
            e.serving_model,
            e.serving_since_utc,
            e.resident_models_json,
            e.models_json,
            e.last_error,
            @now
        FROM @endpoints AS e
        WHERE NOT EXISTS (SELECT 1 FROM llm.endpoint AS o WHERE o.worker_id = @worker AND o.name = e.name);
    END;

    COMMIT TRANSACTION;

    SELECT
        told.run_id,
        told.state,
        told.lease_expires_utc
    FROM (
        SELECT
            n.run_id,
            CASE
                WHEN r.run_id IS NULL THEN N'lost'
                WHEN r.cancel_requested_utc IS NOT NULL THEN N'cancel_requested'
                ELSE N'held'
            END AS state,
            CASE WHEN r.run_id IS NOT NULL THEN @lease_expires_utc END AS lease_expires_utc,
            0 AS is_stray,
            CAST(n.place AS bigint) AS place
        FROM @named AS n
        LEFT JOIN @renewed AS r
            ON n.run_id = r.run_id
        UNION ALL
        SELECT
            m.run_id,
            N'stray' AS state,
            m.lease_expires_utc,
            1 AS is_stray,
            m.job_seq AS place
        FROM @mine AS m
        WHERE m.is_named = 0
    ) AS told
    ORDER BY told.is_stray, told.place;
END;
GO

GRANT EXECUTE ON llm.usp_heartbeat TO llm_worker;
GO
