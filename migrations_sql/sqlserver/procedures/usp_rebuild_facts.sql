SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.settle_facts: updates is_current and conflict_id of an entity's facts after some were added or removed.
-- Promises: of the runs with the same interrogation, entity and evidence the facts of the newest (run_seq) alone are
--   current; current facts of one entity and key whose value_key differ share a conflict_id, which they keep, and wait
--   for a review unless they were decided on. A fact of a run that names no entity (type and id) only conflicts within
--   its run. Not for callers.
-- Called by: store_facts; usp_review_facts; usp_purge_jobs, since deleted facts no longer supersede older ones.
-- Locks: the entity's slot is held by the caller, and so is the transaction; the facts. Each fact of the entity drives,
--   and what it is compared with is sought.
CREATE OR ALTER PROCEDURE llm.settle_facts
    @run_id uniqueidentifier,
    @interrogation_key nvarchar(200),
    @entity_type nvarchar(200),
    @entity_id nvarchar(400),
    @evidence_sha256 nvarchar(64)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @newest bigint;
    DECLARE @subject nvarchar(400) = LOWER(CAST(@run_id AS nvarchar(36)));
    DECLARE @disagreeing TABLE (
        fact_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY
    );

    IF @entity_type IS NULL OR @entity_id IS NULL
    BEGIN
        INSERT INTO @disagreeing (fact_key)
        SELECT f.fact_key
        FROM llm.fact AS f WITH (INDEX (ux_fact_run))
        WHERE
            f.run_id = @run_id
            AND f.fact_key IS NOT NULL
            AND f.value_key IS NOT NULL
            AND f.review_status <> N'REJECTED'
        GROUP BY f.fact_key
        HAVING MIN(f.value_key) <> MAX(f.value_key);

        IF EXISTS (SELECT 1 FROM @disagreeing)
            UPDATE f
            SET
                conflict_id = llm.conflict_id_of(N'run', @subject, f.fact_key),
                review_priority = llm.review_priority_of(f.job_id, f.review_status, f.review_priority)
            FROM llm.fact AS f WITH (ROWLOCK, INDEX (ux_fact_run))
            INNER JOIN @disagreeing AS d
                ON f.fact_key = d.fact_key
            WHERE
                f.run_id = @run_id
                AND f.value_key IS NOT NULL
                AND f.conflict_id IS NULL
            OPTION (LOOP JOIN, FORCE ORDER);
        RETURN;
    END;

    IF @evidence_sha256 IS NOT NULL
    BEGIN
        SELECT @newest = MAX(s.run_seq)
        FROM llm.fact_set AS s WITH (INDEX (ix_fact_set_entity))
        WHERE
            s.entity_id IS NOT NULL
            AND s.entity_id = @entity_id
            AND s.entity_type = @entity_type
            AND s.interrogation_key = @interrogation_key
            AND s.evidence_sha256 = @evidence_sha256;

        UPDATE f
        SET is_current = CASE WHEN s.run_seq = @newest THEN 1 ELSE 0 END
        FROM llm.fact_set AS s WITH (INDEX (ix_fact_set_entity))
        INNER JOIN llm.fact AS f WITH (ROWLOCK, INDEX (ux_fact_run))
            ON s.run_id = f.run_id
        WHERE
            s.entity_id IS NOT NULL
            AND s.entity_id = @entity_id
            AND s.entity_type = @entity_type
            AND s.interrogation_key = @interrogation_key
            AND s.evidence_sha256 = @evidence_sha256
            AND f.is_current <> CASE WHEN s.run_seq = @newest THEN 1 ELSE 0 END
        OPTION (LOOP JOIN, FORCE ORDER);
    END;

    INSERT INTO @disagreeing (fact_key)
    SELECT f.fact_key
    FROM llm.fact AS f WITH (INDEX (ix_fact_entity))
    WHERE
        f.entity_id IS NOT NULL
        AND f.entity_id = @entity_id
        AND f.entity_type = @entity_type
        AND f.is_current = 1
        AND f.fact_key IS NOT NULL
        AND f.value_key IS NOT NULL
        AND f.review_status <> N'REJECTED'
    GROUP BY f.fact_key
    HAVING MIN(f.value_key) <> MAX(f.value_key);

    IF EXISTS (SELECT 1 FROM @disagreeing)
        UPDATE f
        SET
            conflict_id = llm.conflict_id_of(@entity_type, @entity_id, f.fact_key),
            review_priority = llm.review_priority_of(f.job_id, f.review_status, f.review_priority)
        FROM llm.fact AS f WITH (ROWLOCK, INDEX (ix_fact_entity))
        INNER JOIN @disagreeing AS d
            ON f.fact_key = d.fact_key
        WHERE
            f.entity_id IS NOT NULL
            AND f.entity_id = @entity_id
            AND f.entity_type = @entity_type
            AND f.is_current = 1
            AND f.value_key IS NOT NULL
            AND f.conflict_id IS NULL
        OPTION (LOOP JOIN, FORCE ORDER);
END;
GO

-- llm.store_facts: writes the facts of one SUCCEEDED run, as facts_json has them, and settles their entity.
-- Promises: afterwards the run has exactly these facts. One that existed with the same fact_index, value and quote
--   keeps its fact_id and its review; any other is new. Raises HC012. Without run_id it only judges
--   facts_json. Not for callers.
-- Called by: usp_complete_job (is_new: the run has none yet), usp_rebuild_facts, inside their transactions.
-- Locks: the job's row is held by the caller; the slot of the run's entity, so that of two who store facts of one
--   entity the second sees the first's (by an update, which locks where hints mean nothing); then fact_set and fact.
CREATE OR ALTER PROCEDURE llm.store_facts
    @job_id uniqueidentifier,
    @run_id uniqueidentifier,
    @run_seq bigint,
    @interrogation_key nvarchar(200),
    @entity_type nvarchar(200),
    @entity_id nvarchar(400),
    @evidence_sha256 nvarchar(64),
    @facts_json nvarchar(MAX),
    @stored_by nvarchar(200),
    @is_new bit,
    @fact_count int OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @message nvarchar(400);
    -- Worked out once: a function in the condition would be asked, and a lock taken, for every slot.
    DECLARE @slot int = llm.entity_slot(@entity_type, @entity_id);
    -- Everything as text, so that a value that does not convert raises our own error.
    DECLARE @read TABLE (
        fact_index nvarchar(MAX) NULL,
        path nvarchar(MAX) NULL,
        fact_key nvarchar(MAX) NULL,
        value nvarchar(MAX) NULL,
        value_key nvarchar(MAX) NULL,
        quote nvarchar(MAX) NULL,
        evidence_id nvarchar(MAX) NULL,
        evidence_ids nvarchar(MAX) NULL,
        quote_start nvarchar(MAX) NULL,
        quote_end nvarchar(MAX) NULL,
        occurrences nvarchar(MAX) NULL,
        confidence nvarchar(MAX) NULL,
        proof nvarchar(MAX) NULL,
        verdict nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(MAX) NULL
    );
    DECLARE @fact TABLE (
        fact_id uniqueidentifier NOT NULL DEFAULT (NEWID()),
        fact_index int NOT NULL PRIMARY KEY,
        path nvarchar(400) COLLATE Latin1_General_100_BIN2 NOT NULL,
        fact_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        value nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        quote nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_ids nvarchar(MAX) NULL,
        quote_start int NULL,
        quote_end int NULL,
        occurrences int NOT NULL,
        confidence decimal(5, 2) NULL,
        proof nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        verdict nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        why nvarchar(1000) NULL
    );

    IF llm.is_json_array(@facts_json) = 0
        THROW 51012, N'HC012: facts_json is malformed: it is not a JSON array', 1;

    INSERT INTO @read (
        fact_index, path, fact_key, value, value_key, quote, evidence_id, evidence_ids, quote_start, quote_end,
        occurrences, confidence, proof, verdict, why
    )
    SELECT
        n.fact_index,
        n.path,
        n.fact_key,
        n.value,
        n.value_key,
        n.quote,
        n.evidence_id,
        n.evidence_ids,
        n.quote_start,
        n.quote_end,
        n.occurrences,
        n.confidence,
        n.proof,
        n.verdict,
        n.why
    FROM OPENJSON(@facts_json) WITH (
        fact_index nvarchar(MAX) '$.fact_index',
        path nvarchar(MAX) '$.path',
        fact_key nvarchar(MAX) '$.fact_key',
        value nvarchar(MAX) '$.value',
        value_key nvarchar(MAX) '$.value_key',
        quote nvarchar(MAX) '$.quote',
        evidence_id nvarchar(MAX) '$.evidence_id',
        evidence_ids nvarchar(MAX) '$.evidence_ids' AS JSON,
        quote_start nvarchar(MAX) '$.quote_start',
        quote_end nvarchar(MAX) '$.quote_end',
        occurrences nvarchar(MAX) '$.occurrences',
        confidence nvarchar(MAX) '$.confidence',
        proof nvarchar(MAX) '$.proof',
        verdict nvarchar(MAX) '$.verdict',
        why nvarchar(MAX) '$.why'
    ) AS n;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then. It also cuts strings
    -- at 4,000 characters: what may have been cut is refused.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
    BEGIN
        IF EXISTS (SELECT 1 FROM @read AS r WHERE LEN(r.value) >= 4000 OR LEN(r.quote) >= 4000)
            THROW 51012, N'HC012: facts_json is malformed: this engine takes no text of 4000 characters', 1;

        UPDATE @read
        SET
            path = llm.json_text(path),
            fact_key = llm.json_text(fact_key),
            value = llm.json_text(value),
            value_key = llm.json_text(value_key),
            quote = llm.json_text(quote),
            evidence_id = llm.json_text(evidence_id),
            proof = llm.json_text(proof),
            why = llm.json_text(why);
    END;

    -- LEN overlooks blanks at the end; so does the column that is too short for them.
    IF EXISTS (
        SELECT 1
        FROM @read AS r
        WHERE
            COALESCE(TRY_CAST(NULLIF(r.fact_index, N'') AS int), -1) < 0
            OR r.path IS NULL
            OR LEN(r.path) > 400
            OR LEN(r.fact_key) > 200
            OR LEN(r.value_key) > 400
            OR LEN(r.evidence_id) > 400
            OR (r.evidence_id IS NULL AND (r.quote_start IS NOT NULL OR r.quote_end IS NOT NULL))
            OR (
                r.evidence_id IS NOT NULL
                AND (
                    COALESCE(TRY_CAST(NULLIF(r.quote_start, N'') AS int), -1) < 0
                    OR COALESCE(TRY_CAST(NULLIF(r.quote_end, N'') AS int), -1)
                    < TRY_CAST(NULLIF(r.quote_start, N'') AS int)
                )
            )
            OR COALESCE(TRY_CAST(NULLIF(r.occurrences, N'') AS int), -1) < 0
            OR (
                r.confidence IS NOT NULL
                AND COALESCE(TRY_CAST(NULLIF(r.confidence, N'') AS float), -1) NOT BETWEEN 0 AND 100
            )
            OR r.proof IS NULL
            OR LEN(r.proof) > 40
            OR r.verdict IS NULL
            OR r.verdict NOT IN (N'SUPPORTED', N'REFUTED', N'NOT_ENOUGH_INFO')
            OR r.verdict LIKE N'% '
            OR LEN(r.why) > 1000
    )
    OR (SELECT COUNT(DISTINCT TRY_CAST(r.fact_index AS int)) FROM @read AS r) <> (SELECT COUNT(*) FROM @read)
    OR (SELECT COUNT(*) FROM @read) > 10000
    BEGIN
        SET @message = N'HC012: facts_json is malformed: a member is missing or out of bounds, a fact_index is there '
            + N'twice, or there are more than 10000 facts';
        THROW 51012, @message, 1;
    END;
    SET @fact_count = (SELECT COUNT(*) FROM @read);
    IF @run_id IS NULL
        RETURN;

    INSERT INTO @fact (
        fact_index, path, fact_key, value, value_key, quote, evidence_id, evidence_ids, quote_start, quote_end,
        occurrences, confidence, proof, verdict, why
    )
    SELECT
        TRY_CAST(r.fact_index AS int),
        r.path,
        r.fact_key,
        r.value,
        r.value_key,
        r.quote,
        r.evidence_id,
        CASE WHEN LEFT(r.evidence_ids, 1) = N'[' THEN r.evidence_ids END,
        TRY_CAST(r.quote_start AS int),
        TRY_CAST(r.quote_end AS int),
        TRY_CAST(r.occurrences AS int),
        TRY_CAST(TRY_CAST(r.confidence AS float) AS decimal(5, 2)),
        r.proof,
        r.verdict,
        r.why
    FROM @read AS r;

    SELECT @priority = j.priority
    FROM llm.job AS j WITH (INDEX (pk_job))
    WHERE j.job_id = @job_id;
    SELECT TOP (1) @sample_percent = p.sample_percent
    FROM llm.review_policy AS p WITH (INDEX (ix_review_policy_key))
    WHERE p.interrogation_key = @interrogation_key
    ORDER BY p.policy_seq DESC;

    UPDATE l
    SET taken_utc = SYSUTCDATETIME()
    FROM llm.entity_lock AS l WITH (ROWLOCK)
    WHERE l.slot = @slot;

    IF @is_new = 0
    BEGIN
        DELETE f
        FROM llm.fact AS f WITH (ROWLOCK, INDEX (ux_fact_run))
        WHERE
            f.run_id = @run_id
            AND f.proof <> N'person'
            AND NOT EXISTS (
                SELECT 1
                FROM @fact AS n
                WHERE
                    n.fact_index = f.fact_index
                    AND (n.value = f.value OR (n.value IS NULL AND f.value IS NULL))
                    AND (n.quote = f.quote OR (n.quote IS NULL AND f.quote IS NULL))
            )
        OPTION (LOOP JOIN, FORCE ORDER);

        UPDATE f
        SET
            path = n.path,
            fact_key = n.fact_key,
            -- Comparing ignored blanks at the end.
            value = n.value,
            quote = n.quote,
            -- For a corrected fact, this is the key of the corrected value.
            value_key = CASE WHEN f.review_status = N'CORRECTED' THEN f.value_key ELSE n.value_key END,
            evidence_id = n.evidence_id,
            evidence_ids = n.evidence_ids,
            quote_start = n.quote_start,
            quote_end = n.quote_end,
            occurrences = n.occurrences,
            confidence = n.confidence,
            proof = n.proof,
            verdict = n.verdict,
            why = n.why,
            conflict_id = CASE
                WHEN f.review_status = N'CORRECTED' THEN f.conflict_id
                WHEN n.value_key IS NULL OR n.fact_key IS NULL OR f.fact_key <> n.fact_key THEN NULL
                ELSE f.conflict_id
            END,
            review_status = CASE
                WHEN f.review_status NOT IN (N'NONE', N'OPEN') OR f.verdict = n.verdict THEN f.review_status
                WHEN n.verdict = N'SUPPORTED' THEN N'NONE'
                ELSE N'OPEN'
            END,
            review_priority = CASE
                WHEN f.review_status NOT IN (N'NONE', N'OPEN') THEN NULL
                WHEN n.verdict <> N'SUPPORTED' OR llm.is_in_review_sample(f.fact_id, @sample_percent) = 1
                    THEN COALESCE(f.review_priority, @priority)
                WHEN f.review_round > 0 OR f.conflict_id IS NOT NULL THEN f.review_priority
            END
        FROM @fact AS n
        INNER JOIN llm.fact AS f WITH (ROWLOCK, INDEX (ux_fact_run))
            ON n.fact_index = f.fact_index
        WHERE f.run_id = @run_id
        OPTION (LOOP JOIN, FORCE ORDER);

        UPDATE s
        SET
            fact_count = @fact_count,
            stored_utc = SYSUTCDATETIME(),
            stored_by = @stored_by
        FROM llm.fact_set AS s WITH (ROWLOCK, INDEX (pk_fact_set))
        WHERE s.run_id = @run_id;
    END;

    INSERT INTO llm.fact (
        fact_id, run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value,
        value_key, quote, evidence_id, evidence_ids, quote_start, quote_end, occurrences, confidence, proof, verdict,
        why, is_current, review_status, review_priority
    )
    SELECT
        n.fact_id,
        @run_id,
        @job_id,
        n.fact_index,
        n.path,
        @interrogation_key,
        @entity_type,
        @entity_id,
        n.fact_key,
        n.value,
        n.value_key,
        n.quote,
        n.evidence_id,
        n.evidence_ids,
        n.quote_start,
        n.quote_end,
        n.occurrences,
        n.confidence,
        n.proof,
        n.verdict,
        n.why,
        1,
        CASE WHEN n.verdict = N'SUPPORTED' THEN N'NONE' ELSE N'OPEN' END,
        CASE
            WHEN n.verdict <> N'SUPPORTED' OR llm.is_in_review_sample(n.fact_id, @sample_percent) = 1 THEN @priority
        END
    FROM @fact AS n
    WHERE
        @is_new = 1
        OR NOT EXISTS (
            SELECT 1
            FROM llm.fact AS kept WITH (INDEX (ux_fact_run))
            WHERE
                kept.run_id = @run_id
                AND kept.fact_index = n.fact_index
        )
    ORDER BY n.fact_index
    OPTION (LOOP JOIN, FORCE ORDER);

    INSERT INTO llm.fact_set (
        run_id, run_seq, interrogation_key, entity_type, entity_id, evidence_sha256, fact_count, stored_utc, stored_by
    )
    SELECT
        @run_id,
        @run_seq,
        @interrogation_key,
        @entity_type,
        @entity_id,
        @evidence_sha256,
        @fact_count,
        SYSUTCDATETIME(),
        @stored_by
    WHERE NOT EXISTS (SELECT 1 FROM llm.fact_set AS s WITH (INDEX (pk_fact_set)) WHERE s.run_id = @run_id);

    EXEC llm.settle_facts
        @run_id = @run_id,
        @interrogation_key = @interrogation_key,
        @entity_type = @entity_type,
        @entity_id = @entity_id,
        @evidence_sha256 = @evidence_sha256;
END;
GO

-- llm.usp_rebuild_facts: replaces the facts of a run that SUCCEEDED earlier.
-- Promises: those of store_facts; repeating it changes nothing. A run that is not SUCCEEDED is refused, and why
--   says so.
-- Called by: the rebuilding of earlier runs' facts.
-- Locks: the job's row (UPDLOCK), then those of store_facts.
CREATE OR ALTER PROCEDURE llm.usp_rebuild_facts
    @run_id uniqueidentifier,
    @facts_json nvarchar(MAX),
    @actor nvarchar(4000)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @job_id uniqueidentifier;
    DECLARE @run_seq bigint;
    DECLARE @status nvarchar(40);
    DECLARE @interrogation_key nvarchar(200);
    DECLARE @entity_type nvarchar(200);
    DECLARE @entity_id nvarchar(400);
    DECLARE @evidence_sha256 nvarchar(64);
    DECLARE @stored bit = 0;
    DECLARE @fact_count int;
    DECLARE @why nvarchar(400);

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @run_id IS NULL
        THROW 51015, N'HC015: run_id is missing', 1;
    IF @facts_json IS NULL
        THROW 51012, N'HC012: facts_json is missing', 1;
    EXEC llm.store_facts
        @job_id = NULL,
        @run_id = NULL,
        @run_seq = NULL,
        @interrogation_key = NULL,
        @entity_type = NULL,
        @entity_id = NULL,
        @evidence_sha256 = NULL,
        @facts_json = @facts_json,
        @stored_by = NULL,
        @is_new = 0,
        @fact_count = NULL;

    BEGIN TRANSACTION;

    SELECT @job_id = r.job_id
    FROM llm.run AS r WITH (INDEX (pk_run))
    WHERE r.run_id = @run_id;

    SELECT
        @interrogation_key = j.interrogation_key,
        @entity_type = j.entity_type,
        @entity_id = j.entity_id
    FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (pk_job))
    WHERE j.job_id = @job_id;

    SELECT
        @run_seq = r.run_seq,
        @status = r.status,
        @evidence_sha256 = r.evidence_sha256
    FROM llm.run AS r WITH (INDEX (pk_run))
    WHERE r.run_id = @run_id;

    IF @status IS NULL
        SET @why = N'there is no such run';
    ELSE IF @status <> N'SUCCEEDED'
        SET @why = N'the run is ' + @status;
    ELSE
    BEGIN
        EXEC llm.store_facts
            @job_id = @job_id,
            @run_id = @run_id,
            @run_seq = @run_seq,
            @interrogation_key = @interrogation_key,
            @entity_type = @entity_type,
            @entity_id = @entity_id,
            @evidence_sha256 = @evidence_sha256,
            @facts_json = @facts_json,
            @stored_by = @who,
            @is_new = 0,
            @fact_count = @fact_count OUTPUT;
        SET @stored = 1;
    END;

    COMMIT TRANSACTION;

    SELECT
        @stored AS stored,
        @fact_count AS fact_count,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_rebuild_facts TO llm_operator;
GO
