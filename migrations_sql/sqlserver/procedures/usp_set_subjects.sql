SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_subjects: brings up to 500 subjects of a derivation to what a comparison with its source found, and
--   queues their jobs, all or nothing.
-- Promises: an element of subjects_json has entity_type, entity_id and a state:
--   QUEUED: was asked, with change_token, evidence_sha256, definition_sha256, model and job_id, whose job is an element
--     of jobs_json (as usp_enqueue_jobs takes them) or exists already. A job_id is made once, so what was asked once is
--     not asked again; the subject takes the state of that job.
--   CURRENT: is as its newest job was asked; change_token is kept, and a retired subject comes back.
--   MISSING: is to be asked, but not yet. STALE: its answer is out of date, stale_because says why; asked:
--     counts as a wish of its own, which only a new job fulfils.
--   RETIRED: is gone (why null), or a rule leaves it out (why). With the policy 'retire' its answer is no longer used.
--   The answer in use stays until the next one succeeded. Other answers in use, and subjects that are gone or back, are
--   queued for delivery. changed: the number of elements. Raises HC060, HC061, and
--   what usp_enqueue_jobs raises.
-- Called by: queue.py (derive apply, ask, schedules).
-- Locks: those of usp_enqueue_jobs; then the subjects in subject_seq order, and those it adds in the order of entities.
CREATE OR ALTER PROCEDURE llm.usp_set_subjects
    @derivation_key nvarchar(4000),
    @subjects_json nvarchar(MAX),
    @actor nvarchar(4000),
    @jobs_json nvarchar(MAX) = NULL,
    @batch_id uniqueidentifier = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@derivation_key));
    DECLARE @message nvarchar(400);
    DECLARE @derivation_seq bigint;
    DECLARE @retire_policy nvarchar(40);
    DECLARE @count int;
    DECLARE @now datetime2(6);
    DECLARE @seqs nvarchar(MAX);
    DECLARE @settled int;
    -- Everything as text: a value that does not convert is then our error, with our number.
    DECLARE @read TABLE (
        entity_type nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        entity_id nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        state nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        stale_because nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(MAX) NULL,
        change_token nvarchar(MAX) NULL,
        evidence_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        definition_sha256 nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        model nvarchar(MAX) NULL,
        job_id nvarchar(MAX) NULL
    );
    DECLARE @told TABLE (
        place int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        entity_type nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        entity_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        stale_because nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        change_token nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NULL,
        model nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        job_id uniqueidentifier NULL
    );
    DECLARE @held TABLE (
        subject_seq bigint NOT NULL PRIMARY KEY,
        place int NOT NULL,
        old_state nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        old_job_id uniqueidentifier NULL,
        answer_job_id uniqueidentifier NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @subjects_json IS NULL OR llm.is_json_array(@subjects_json) = 0
        THROW 51060, N'HC060: subjects_json is malformed: it is not a JSON array', 1;

    INSERT INTO @read (
        entity_type, entity_id, state, stale_because, why, change_token, evidence_sha256, definition_sha256, model,
        job_id
    )
    SELECT
        LTRIM(RTRIM(s.entity_type)),
        LTRIM(RTRIM(s.entity_id)),
        s.state,
        s.stale_because,
        s.why,
        s.change_token,
        s.evidence_sha256,
        s.definition_sha256,
        s.model,
        s.job_id
    FROM OPENJSON(@subjects_json) WITH (
        entity_type nvarchar(MAX) '$.entity_type',
        entity_id nvarchar(MAX) '$.entity_id',
        state nvarchar(MAX) '$.state',
        stale_because nvarchar(MAX) '$.stale_because',
        why nvarchar(MAX) '$.why',
        change_token nvarchar(MAX) '$.change_token',
        evidence_sha256 nvarchar(MAX) '$.evidence_sha256',
        definition_sha256 nvarchar(MAX) '$.definition_sha256',
        model nvarchar(MAX) '$.model',
        job_id nvarchar(MAX) '$.job_id'
    ) AS s;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
        UPDATE @read
        SET
            entity_type = llm.json_text(entity_type),
            entity_id = llm.json_text(entity_id),
            why = llm.json_text(why),
            change_token = llm.json_text(change_token),
            model = llm.json_text(model);

    SELECT @count = COUNT(*)
    FROM @read;
    IF @count NOT BETWEEN 1 AND 500
        OR EXISTS (
            SELECT 1
            FROM @read AS r
            WHERE
                r.entity_type IS NULL
                OR LEN(r.entity_type) NOT BETWEEN 1 AND 200
                OR r.entity_id IS NULL
                OR LEN(r.entity_id) NOT BETWEEN 1 AND 400
                OR r.state IS NULL
                OR r.state NOT IN (N'MISSING', N'QUEUED', N'CURRENT', N'STALE', N'RETIRED')
                OR r.state LIKE N'% '
                OR r.stale_because NOT IN (N'evidence', N'definition', N'model', N'asked')
                OR r.stale_because LIKE N'% '
                OR (r.state = N'STALE' AND r.stale_because IS NULL)
                OR LEN(r.why) > 400
                OR LEN(r.change_token) > 400
                OR LEN(r.model) > 200
                OR TRANSLATE(r.evidence_sha256, N'123456789abcdef', N'000000000000000') <> REPLICATE(N'0', 64)
                OR TRANSLATE(r.definition_sha256, N'123456789abcdef', N'000000000000000') <> REPLICATE(N'0', 64)
                OR (
                    r.job_id IS NOT NULL
                    AND (LEN(r.job_id) <> 36 OR TRY_CAST(r.job_id AS uniqueidentifier) IS NULL)
                )
                OR (
                    r.state = N'QUEUED'
                    AND (r.job_id IS NULL OR r.evidence_sha256 IS NULL OR r.definition_sha256 IS NULL)
                )
        )
        OR EXISTS (
            SELECT 1
            FROM @read AS r
            GROUP BY r.entity_type, r.entity_id
            HAVING COUNT(*) > 1
        )
    BEGIN
        SET @message = N'HC060: subjects_json is not an array of 1 to 500 subjects, or one lacks what it needs or '
            + N'comes twice';
        THROW 51060, @message, 1;
    END;

    INSERT INTO @told (
        entity_type, entity_id, state, stale_because, why, change_token, evidence_sha256, definition_sha256, model,
        job_id
    )
    SELECT
        r.entity_type,
        r.entity_id,
        r.state,
        r.stale_because,
        r.why,
        r.change_token,
        r.evidence_sha256,
        r.definition_sha256,
        r.model,
        TRY_CAST(r.job_id AS uniqueidentifier)
    FROM @read AS r
    ORDER BY r.entity_type, r.entity_id;

    SELECT
        @derivation_seq = d.derivation_seq,
        @retire_policy = d.retire_policy
    FROM llm.derivation AS d
    WHERE d.derivation_key = @key;
    IF @derivation_seq IS NULL
        THROW 51061, N'HC061: there is no derivation with this derivation_key', 1;

    BEGIN TRANSACTION;

    IF @jobs_json IS NOT NULL
        EXEC llm.usp_enqueue_jobs
            @jobs_json = @jobs_json,
            @actor = @who,
            @reason = @reason,
            @batch_id = @batch_id,
            @with_answer = 0;
    IF EXISTS (
        SELECT 1
        FROM @told AS t
        WHERE
            t.state = N'QUEUED'
            AND NOT EXISTS (SELECT 1 FROM llm.job AS j WITH (INDEX (pk_job)) WHERE j.job_id = t.job_id)
    )
        THROW 51060, N'HC060: a subject is QUEUED without its job', 1;

    SET @now = SYSUTCDATETIME();
    -- Two callers may add one entity: the gap where it would stand is held, in the order of entities.
    INSERT INTO llm.subject (derivation_seq, entity_type, entity_id, state, changed_utc)
    SELECT
        @derivation_seq,
        t.entity_type,
        t.entity_id,
        N'MISSING',
        @now
    FROM @told AS t
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM llm.subject AS s WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_subject_entity))
            WHERE
                s.derivation_seq = @derivation_seq
                AND s.entity_type = t.entity_type
                AND s.entity_id = t.entity_id
        )
    ORDER BY t.place
    OPTION (LOOP JOIN, FORCE ORDER);

    -- An answer that has come is the one in use before anything else is asked.
    SET @seqs = COALESCE((
        SELECT s.subject_seq
        FROM @told AS t
        INNER JOIN llm.subject AS s WITH (INDEX (ux_subject_entity))
            ON
                t.entity_type = s.entity_type
                AND t.entity_id = s.entity_id
        WHERE s.derivation_seq = @derivation_seq
        FOR JSON PATH
    ), N'[]');
    EXEC llm.settle_subjects
        @after_event_seq = NULL,
        @to_event_seq = NULL,
        @derivation_seq = @derivation_seq,
        @entities_json = @seqs,
        @settled = @settled OUTPUT;

    INSERT INTO @held (subject_seq, place, old_state, old_job_id, answer_job_id)
    SELECT
        s.subject_seq,
        t.place,
        s.state,
        s.job_id,
        s.answer_job_id
    FROM @told AS t
    INNER JOIN llm.subject AS s WITH (UPDLOCK, ROWLOCK, INDEX (ux_subject_entity))
        ON
            t.entity_type = s.entity_type
            AND t.entity_id = s.entity_id
    WHERE s.derivation_seq = @derivation_seq
    OPTION (LOOP JOIN, FORCE ORDER);

    -- One that comes back uses its answer again.
    DELETE p
    FROM @held AS h
    INNER JOIN @told AS t
        ON h.place = t.place
    INNER JOIN llm.past_answer AS p WITH (ROWLOCK, INDEX (pk_past_answer))
        ON h.old_job_id = p.job_id
    WHERE
        t.state <> N'RETIRED'
        AND h.old_state = N'RETIRED'
    OPTION (LOOP JOIN, FORCE ORDER);
    DELETE p
    FROM @held AS h
    INNER JOIN @told AS t
        ON h.place = t.place
    INNER JOIN llm.past_answer AS p WITH (ROWLOCK, INDEX (pk_past_answer))
        ON h.answer_job_id = p.job_id
    WHERE
        t.state <> N'RETIRED'
        AND h.old_state = N'RETIRED'
    OPTION (LOOP JOIN, FORCE ORDER);

    -- What its subject no longer waits for is not used when it comes.
    INSERT INTO llm.past_answer (job_id, because, since_utc)
    SELECT
        past.job_id,
        MIN(past.because),
        @now
    FROM (
        SELECT
            h.old_job_id AS job_id,
            N'superseded' AS because
        FROM @held AS h
        INNER JOIN @told AS t
            ON h.place = t.place
        WHERE
            t.state = N'QUEUED'
            AND h.old_job_id <> t.job_id
            AND (h.answer_job_id IS NULL OR h.answer_job_id <> h.old_job_id)
        UNION ALL
        SELECT
            h.old_job_id,
            N'retired'
        FROM @held AS h
        INNER JOIN @told AS t
            ON h.place = t.place
        WHERE
            t.state = N'RETIRED'
            AND @retire_policy = N'retire'
        UNION ALL
        SELECT
            h.answer_job_id,
            N'retired'
        FROM @held AS h
        INNER JOIN @told AS t
            ON h.place = t.place
        WHERE
            t.state = N'RETIRED'
            AND @retire_policy = N'retire'
    ) AS past
    WHERE
        past.job_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM llm.past_answer AS p WHERE p.job_id = past.job_id)
    GROUP BY past.job_id;

    UPDATE s
    SET
        state = CASE
            -- Settled below.
            WHEN t.state = N'QUEUED' THEN N'QUEUED'
            WHEN t.state = N'CURRENT' THEN CASE WHEN s.job_id IS NULL THEN s.state ELSE N'QUEUED' END
            WHEN t.state = N'STALE' THEN CASE WHEN s.run_id IS NULL THEN N'MISSING' ELSE N'STALE' END
            ELSE t.state
        END,
        stale_because = CASE
            WHEN t.state = N'STALE' AND s.run_id IS NOT NULL
                THEN CASE WHEN s.stale_because = N'asked' THEN N'asked' ELSE t.stale_because END
        END,
        why = CASE WHEN t.state = N'RETIRED' THEN t.why END,
        change_token = CASE
            WHEN t.state IN (N'QUEUED', N'CURRENT', N'RETIRED') THEN COALESCE(t.change_token, s.change_token)
            ELSE s.change_token
        END,
        evidence_sha256 = CASE WHEN t.state = N'QUEUED' THEN t.evidence_sha256 ELSE s.evidence_sha256 END,
        definition_sha256 = CASE WHEN t.state = N'QUEUED' THEN t.definition_sha256 ELSE s.definition_sha256 END,
        model = CASE WHEN t.state = N'QUEUED' THEN t.model ELSE s.model END,
        asks = s.asks + CASE WHEN t.stale_because = N'asked' THEN 1 ELSE 0 END,
        job_id = CASE WHEN t.state = N'QUEUED' THEN t.job_id ELSE s.job_id END,
        changed_utc = @now
    FROM @held AS h
    INNER JOIN @told AS t
        ON h.place = t.place
    INNER JOIN llm.subject AS s WITH (ROWLOCK, INDEX (pk_subject))
        ON h.subject_seq = s.subject_seq
    WHERE
        NOT (t.state = N'MISSING' AND s.state <> N'RETIRED')
        AND NOT (
            t.state = N'STALE'
            AND t.stale_because <> N'asked'
            AND s.state NOT IN (N'CURRENT', N'STALE', N'RETIRED')
        )
    OPTION (LOOP JOIN, FORCE ORDER);

    SET @seqs = COALESCE((
        SELECT h.subject_seq
        FROM @held AS h
        INNER JOIN @told AS t
            ON h.place = t.place
        WHERE t.state IN (N'QUEUED', N'CURRENT')
        FOR JSON PATH
    ), N'[]');
    EXEC llm.settle_subjects
        @after_event_seq = NULL,
        @to_event_seq = NULL,
        @derivation_seq = @derivation_seq,
        @entities_json = @seqs,
        @settled = @settled OUTPUT;

    IF EXISTS (SELECT 1 FROM llm.derivation AS d WHERE d.target_json IS NOT NULL)
        -- Of the same entity in whichever derivation: whether a fact is admitted depends on other answers' facts.
        INSERT INTO llm.delivery (derivation_seq, subject_seq, queued_utc)
        SELECT
            s.derivation_seq,
            s.subject_seq,
            @now
        FROM @held AS h
        INNER JOIN @told AS t
            ON h.place = t.place
        CROSS JOIN llm.derivation AS d
        INNER JOIN llm.subject AS s WITH (NOLOCK, INDEX (ux_subject_entity))
            ON
                d.derivation_seq = s.derivation_seq
                AND t.entity_type = s.entity_type
                AND t.entity_id = s.entity_id
        WHERE
            d.target_json IS NOT NULL
            AND (
                (t.state = N'RETIRED' AND h.old_state <> N'RETIRED')
                OR (t.state <> N'RETIRED' AND h.old_state = N'RETIRED')
            )
        OPTION (LOOP JOIN, FORCE ORDER);

    COMMIT TRANSACTION;

    SELECT @count AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_set_subjects TO llm_operator;
GO
