SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_review_facts: keeps what somebody decided about facts, and what follows from it.
-- Promises: an element of decisions_json has a decision and a fact_id. ACCEPTED, REJECTED; CORRECTED, with a
--   corrected_value, another place of the quote (evidence_id, quote, quote_start, quote_end), or both; NOT_SURE, which
--   leaves the fact to somebody else; NONE, which takes back what the same person decided. ADDED has no fact_id but
--   run_id, fact_key, value and a place: a fact that the answer lacks. Each is a row of llm.fact_review, which nobody
--   changes, and an event fact_reviewed of the job; the fact, its conflicts and its place in the queue follow.
--   Refused, changed false and why: what somebody else decided before, unless a reason says why; what
--   somebody else has claimed; what the same person decided so already; what is gone. Where the interrogation asks for
--   two reviewers the first opinion decides nothing (a doubt of an admitted fact takes it out), two that agree
--   decide, and where they do not the third person's does. Raises HC051.
-- Called by: reviewers (admin).
-- Locks: the jobs in job_seq order (UPDLOCK), the slots of the entities in order (by an update, which locks where hints
--   mean nothing), then facts.
CREATE OR ALTER PROCEDURE llm.usp_review_facts
    @decisions_json nvarchar(MAX),
    @actor nvarchar(4000),
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @because nvarchar(MAX) = NULLIF(LTRIM(RTRIM(@reason)), N'');
    DECLARE @message nvarchar(400);
    DECLARE @now datetime2(6);
    DECLARE @n int = 0;
    DECLARE @count int;
    DECLARE @job_seq bigint = 0;
    DECLARE @slot int = -1;
    DECLARE @decision nvarchar(40);
    DECLARE @fact_id uniqueidentifier;
    DECLARE @run_id uniqueidentifier;
    DECLARE @job_id uniqueidentifier;
    DECLARE @fact_index int;
    DECLARE @interrogation_key nvarchar(200);
    DECLARE @entity_type nvarchar(200);
    DECLARE @entity_id nvarchar(400);
    DECLARE @evidence_sha256 nvarchar(64);
    DECLARE @run_seq bigint;
    DECLARE @proof nvarchar(40);
    DECLARE @verdict nvarchar(40);
    DECLARE @conflict_id uniqueidentifier;
    DECLARE @said_key nvarchar(400);
    DECLARE @review_priority int;
    DECLARE @from nvarchar(40);
    DECLARE @to nvarchar(40);
    DECLARE @reviewed_by nvarchar(200);
    DECLARE @claimed_by nvarchar(200);
    DECLARE @claim_expires_utc datetime2(6);
    DECLARE @mine nvarchar(40);
    DECLARE @why nvarchar(400);
    DECLARE @job_status nvarchar(40);
    DECLARE @job_priority int;
    DECLARE @sample_percent decimal(5, 2);
    DECLARE @reviewers int;
    DECLARE @opinions int;
    DECLARE @decisive int;
    DECLARE @doubts int;
    DECLARE @voices int;
    DECLARE @held_seq bigint;
    DECLARE @held_decision nvarchar(40);
    DECLARE @held_by nvarchar(200);
    DECLARE @held_utc datetime2(6);
    DECLARE @held_value nvarchar(MAX);
    DECLARE @held_key nvarchar(400);
    DECLARE @held_evidence_id nvarchar(400);
    DECLARE @held_quote nvarchar(MAX);
    DECLARE @held_start int;
    DECLARE @held_end int;
    DECLARE @is_settled bit;
    DECLARE @review_seq bigint;
    -- Everything as text: a value that does not convert is then our error, with our number.
    DECLARE @read TABLE (
        n int IDENTITY (1, 1) NOT NULL PRIMARY KEY,
        fact_id nvarchar(MAX) NULL,
        decision nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        corrected_value nvarchar(MAX) NULL,
        corrected_value_key nvarchar(MAX) NULL,
        evidence_id nvarchar(MAX) NULL,
        quote nvarchar(MAX) NULL,
        quote_start nvarchar(MAX) NULL,
        quote_end nvarchar(MAX) NULL,
        run_id nvarchar(MAX) NULL,
        fact_key nvarchar(MAX) NULL,
        value nvarchar(MAX) NULL,
        value_key nvarchar(MAX) NULL
    );
    DECLARE @element TABLE (
        n int NOT NULL PRIMARY KEY,
        fact_id uniqueidentifier NULL,
        decision nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        corrected_value nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        corrected_value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        evidence_id nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL,
        quote nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        quote_start int NULL,
        quote_end int NULL,
        run_id uniqueidentifier NULL,
        fact_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NULL,
        value nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        value_key nvarchar(400) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @job TABLE (job_seq bigint NOT NULL PRIMARY KEY);
    DECLARE @entity TABLE (slot int NOT NULL PRIMARY KEY);
    DECLARE @opinion TABLE (
        review_seq bigint NULL,
        decision nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        voice nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL
    );
    DECLARE @answer TABLE (
        n int NOT NULL PRIMARY KEY,
        fact_id uniqueidentifier NULL,
        changed bit NOT NULL,
        from_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        to_status nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL,
        why nvarchar(400) NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @decisions_json IS NULL OR llm.is_json_array(@decisions_json) = 0
        THROW 51051, N'HC051: decisions_json is malformed: it is not a JSON array', 1;

    INSERT INTO @read (
        fact_id, decision, corrected_value, corrected_value_key, evidence_id, quote, quote_start, quote_end, run_id,
        fact_key, value, value_key
    )
    SELECT
        d.fact_id,
        d.decision,
        d.corrected_value,
        d.corrected_value_key,
        d.evidence_id,
        d.quote,
        d.quote_start,
        d.quote_end,
        d.run_id,
        d.fact_key,
        d.value,
        d.value_key
    FROM OPENJSON(@decisions_json) WITH (
        fact_id nvarchar(MAX) '$.fact_id',
        decision nvarchar(MAX) '$.decision',
        corrected_value nvarchar(MAX) '$.corrected_value',
        corrected_value_key nvarchar(MAX) '$.corrected_value_key',
        evidence_id nvarchar(MAX) '$.evidence_id',
        quote nvarchar(MAX) '$.quote',
        quote_start nvarchar(MAX) '$.quote_start',
        quote_end nvarchar(MAX) '$.quote_end',
        run_id nvarchar(MAX) '$.run_id',
        fact_key nvarchar(MAX) '$.fact_key',
        value nvarchar(MAX) '$.value',
        value_key nvarchar(MAX) '$.value_key'
    ) AS d;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then. It also cuts strings
    -- at 4,000 characters: what may have been cut is refused.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
    BEGIN
        IF EXISTS (
            SELECT 1
            FROM @read AS r
            WHERE LEN(r.corrected_value) >= 4000 OR LEN(r.value) >= 4000 OR LEN(r.quote) >= 4000
        )
            THROW 51051, N'HC051: decisions_json is malformed: this engine takes no text of 4000 characters', 1;

        UPDATE @read
        SET
            corrected_value = llm.json_text(corrected_value),
            corrected_value_key = llm.json_text(corrected_value_key),
            evidence_id = llm.json_text(evidence_id),
            quote = llm.json_text(quote),
            fact_key = llm.json_text(fact_key),
            value = llm.json_text(value),
            value_key = llm.json_text(value_key);
    END;

    SELECT @count = COUNT(*)
    FROM @read;
    IF @count NOT BETWEEN 1 AND 100
        OR EXISTS (
            SELECT 1
            FROM @read AS r
            WHERE
                r.decision IS NULL
                OR r.decision NOT IN (N'ACCEPTED', N'CORRECTED', N'REJECTED', N'NOT_SURE', N'NONE', N'ADDED')
                OR r.decision LIKE N'% '
                OR (r.decision <> N'ADDED' AND r.fact_id IS NULL)
                OR (r.fact_id IS NOT NULL AND (LEN(r.fact_id) <> 36 OR TRY_CAST(r.fact_id AS uniqueidentifier) IS NULL))
                OR (r.run_id IS NOT NULL AND (LEN(r.run_id) <> 36 OR TRY_CAST(r.run_id AS uniqueidentifier) IS NULL))
                OR (
                    r.decision = N'ADDED'
                    AND (r.run_id IS NULL OR r.fact_key IS NULL OR r.value IS NULL OR r.evidence_id IS NULL)
                )
                OR (r.decision = N'CORRECTED' AND r.corrected_value IS NULL AND r.evidence_id IS NULL)
                OR (
                    r.evidence_id IS NULL
                    AND (r.quote IS NOT NULL OR r.quote_start IS NOT NULL OR r.quote_end IS NOT NULL)
                )
                OR (
                    r.evidence_id IS NOT NULL
                    AND (
                        COALESCE(DATALENGTH(r.quote), 0) = 0
                        OR COALESCE(TRY_CAST(NULLIF(r.quote_start, N'') AS int), -1) < 0
                        OR COALESCE(TRY_CAST(NULLIF(r.quote_end, N'') AS int), -1)
                        <= TRY_CAST(NULLIF(r.quote_start, N'') AS int)
                    )
                )
                OR LEN(r.evidence_id) > 400
                OR LEN(r.corrected_value_key) > 400
                OR LEN(r.value_key) > 400
                OR LEN(r.fact_key) > 200
        )
    BEGIN
        SET @message = N'HC051: decisions_json is malformed: it is not an array of 1 to 100 decisions, or one lacks '
            + N'what it needs or is out of bounds';
        THROW 51051, @message, 1;
    END;

    INSERT INTO @element (
        n, fact_id, decision, corrected_value, corrected_value_key, evidence_id, quote, quote_start, quote_end, run_id,
        fact_key, value, value_key
    )
    SELECT
        r.n,
        CASE WHEN r.decision <> N'ADDED' THEN TRY_CAST(r.fact_id AS uniqueidentifier) END,
        r.decision,
        r.corrected_value,
        r.corrected_value_key,
        r.evidence_id,
        r.quote,
        TRY_CAST(r.quote_start AS int),
        TRY_CAST(r.quote_end AS int),
        CASE WHEN r.decision = N'ADDED' THEN TRY_CAST(r.run_id AS uniqueidentifier) END,
        r.fact_key,
        r.value,
        r.value_key
    FROM @read AS r;

    BEGIN TRANSACTION;

    INSERT INTO @job (job_seq)
    SELECT j.job_seq
    FROM @element AS e
    INNER JOIN llm.fact AS f WITH (INDEX (pk_fact))
        ON e.fact_id = f.fact_id
    INNER JOIN llm.job AS j WITH (INDEX (pk_job))
        ON f.job_id = j.job_id
    UNION
    SELECT j.job_seq
    FROM @element AS e
    INNER JOIN llm.run AS r WITH (INDEX (pk_run))
        ON e.run_id = r.run_id
    INNER JOIN llm.job AS j WITH (INDEX (pk_job))
        ON r.job_id = j.job_id
    OPTION (LOOP JOIN);

    SELECT @job_seq = MIN(j.job_seq) FROM @job AS j;
    WHILE @job_seq IS NOT NULL
    BEGIN
        SELECT @job_id = j.job_id
        FROM llm.job AS j WITH (UPDLOCK, ROWLOCK, INDEX (ux_job_seq))
        WHERE j.job_seq = @job_seq;
        SELECT @job_seq = MIN(j.job_seq) FROM @job AS j WHERE j.job_seq > @job_seq;
    END;

    INSERT INTO @entity (slot)
    SELECT llm.entity_slot(f.entity_type, f.entity_id)
    FROM @element AS e
    INNER JOIN llm.fact AS f WITH (INDEX (pk_fact))
        ON e.fact_id = f.fact_id
    WHERE f.entity_type IS NOT NULL AND f.entity_id IS NOT NULL
    UNION
    SELECT llm.entity_slot(s.entity_type, s.entity_id)
    FROM @element AS e
    INNER JOIN llm.fact_set AS s WITH (INDEX (pk_fact_set))
        ON e.run_id = s.run_id
    WHERE s.entity_type IS NOT NULL AND s.entity_id IS NOT NULL
    OPTION (LOOP JOIN);

    SELECT @slot = MIN(s.slot) FROM @entity AS s;
    WHILE @slot IS NOT NULL
    BEGIN
        UPDATE l
        SET taken_utc = SYSUTCDATETIME()
        FROM llm.entity_lock AS l WITH (ROWLOCK)
        WHERE l.slot = @slot;
        SELECT @slot = MIN(s.slot) FROM @entity AS s WHERE s.slot > @slot;
    END;
    SET @now = SYSUTCDATETIME();  -- read under the locks, so that a job's events are in the order of their times

    WHILE @n < @count
    BEGIN
        SET @n = @n + 1;
        SELECT
            @decision = e.decision,
            @fact_id = e.fact_id,
            @run_id = e.run_id
        FROM @element AS e
        WHERE e.n = @n;
        SELECT
            @why = NULL,
            @mine = NULL,
            @from = NULL,
            @run_seq = NULL,
            @proof = NULL;

        IF @decision = N'ADDED'
        BEGIN
            SELECT
                @run_seq = s.run_seq,
                @interrogation_key = s.interrogation_key,
                @entity_type = s.entity_type,
                @entity_id = s.entity_id,
                @evidence_sha256 = s.evidence_sha256
            FROM llm.fact_set AS s WITH (INDEX (pk_fact_set))
            WHERE s.run_id = @run_id;

            SELECT TOP (1)
                @fact_id = f.fact_id,
                @from = f.review_status,
                @why = N'this fact was added already, by ' + f.reviewed_by
            FROM @element AS e
            INNER JOIN llm.fact AS f WITH (INDEX (ux_fact_run))
                ON e.run_id = f.run_id
            WHERE
                e.n = @n
                AND f.proof = N'person'
                AND f.fact_key = e.fact_key
                AND f.value = e.value
                AND f.evidence_id = e.evidence_id
                AND f.quote_start = e.quote_start
                AND f.review_status <> N'REJECTED'
            OPTION (LOOP JOIN, FORCE ORDER);

            IF @run_seq IS NULL
                SET @why = N'there is no answer with stored facts; its job may have been purged';
            ELSE IF @why IS NULL
            BEGIN
                SET @fact_id = NEWID();
                SELECT @fact_index = MAX(f.fact_index) + 1
                FROM llm.fact AS f WITH (INDEX (ux_fact_run))
                WHERE f.run_id = @run_id;
                IF @fact_index IS NULL OR @fact_index < 1000000
                    SET @fact_index = 1000000;

                INSERT INTO llm.fact (
                    fact_id, run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key,
                    value, value_key, quote, evidence_id, quote_start, quote_end, occurrences, proof, verdict,
                    is_current, review_status
                )
                SELECT
                    @fact_id,
                    r.run_id,
                    r.job_id,
                    @fact_index,
                    N'added',
                    @interrogation_key,
                    @entity_type,
                    @entity_id,
                    e.fact_key,
                    e.value,
                    e.value_key,
                    e.quote,
                    e.evidence_id,
                    e.quote_start,
                    e.quote_end,
                    1,
                    N'person',
                    N'SUPPORTED',
                    CASE
                        WHEN EXISTS (
                            SELECT 1
                            FROM llm.fact_set AS newer WITH (INDEX (ix_fact_set_entity))
                            WHERE
                                newer.entity_id IS NOT NULL
                                AND newer.entity_id = @entity_id
                                AND newer.entity_type = @entity_type
                                AND newer.interrogation_key = @interrogation_key
                                AND newer.evidence_sha256 = @evidence_sha256
                                AND newer.run_seq > @run_seq
                        ) THEN 0
                        ELSE 1
                    END,
                    N'NONE'
                FROM @element AS e
                INNER JOIN llm.run AS r WITH (INDEX (pk_run))
                    ON e.run_id = r.run_id
                WHERE e.n = @n
                OPTION (LOOP JOIN, FORCE ORDER);
            END;
        END;
        ELSE
            SELECT TOP (1) @mine = NULLIF(w.decision, N'NONE')
            FROM llm.fact_review AS w WITH (INDEX (ix_fact_review_fact))
            WHERE
                w.fact_id = @fact_id
                AND w.actor = @who
            ORDER BY w.review_seq DESC;

        IF @why IS NULL
        BEGIN
            SELECT
                @run_id = f.run_id,
                @job_id = f.job_id,
                @fact_index = f.fact_index,
                @interrogation_key = f.interrogation_key,
                @entity_type = f.entity_type,
                @entity_id = f.entity_id,
                @proof = f.proof,
                @verdict = f.verdict,
                @conflict_id = f.conflict_id,
                @said_key = f.value_key,
                @review_priority = f.review_priority,
                @from = f.review_status,
                @reviewed_by = f.reviewed_by,
                @claimed_by = f.review_claimed_by,
                @claim_expires_utc = f.review_claim_expires_utc
            FROM llm.fact AS f WITH (UPDLOCK, ROWLOCK, INDEX (pk_fact))
            WHERE f.fact_id = @fact_id;

            IF @proof IS NULL
                SET @why = N'there is no such fact; its job may have been purged';
            ELSE IF @claimed_by <> @who AND @claim_expires_utc > @now
                SET @why = @claimed_by + N' is reviewing it';
            ELSE IF @decision = N'NONE' AND @mine IS NULL
                SET @why = N'you have decided nothing about it';
            ELSE IF @decision <> N'NONE' AND @decision = @mine AND @decision <> N'CORRECTED'
                SET @why = N'you have decided so already';
            ELSE IF @decision <> N'NONE' AND @from IN (N'ACCEPTED', N'CORRECTED', N'REJECTED')
                AND @reviewed_by <> @who AND @because IS NULL
                SET @why = LEFT(
                    CONCAT(
                        N'it is ', @from, N' already, by ', @reviewed_by, N'; to decide anew give a reason'
                    ), 400
                );
        END;

        IF @why IS NOT NULL
        BEGIN
            INSERT INTO @answer (n, fact_id, changed, from_status, to_status, why)
            VALUES (@n, @fact_id, 0, @from, @from, @why);
            CONTINUE;
        END;

        SET @evidence_sha256 = NULL;
        SELECT @evidence_sha256 = s.evidence_sha256
        FROM llm.fact_set AS s WITH (INDEX (pk_fact_set))
        WHERE s.run_id = @run_id;
        SELECT
            @job_status = j.status,
            @job_priority = j.priority
        FROM llm.job AS j WITH (INDEX (pk_job))
        WHERE j.job_id = @job_id;
        SET @sample_percent = 2;
        SET @reviewers = 1;
        SELECT TOP (1)
            @sample_percent = p.sample_percent,
            @reviewers = p.reviewers
        FROM llm.review_policy AS p WITH (INDEX (ix_review_policy_key))
        WHERE p.interrogation_key = @interrogation_key
        ORDER BY p.policy_seq DESC;
        -- The key of the value as it was answered, which a correction hides.
        IF @from = N'CORRECTED'
            SELECT TOP (1) @said_key = w.value_key
            FROM llm.fact_review AS w WITH (INDEX (ix_fact_review_fact))
            WHERE w.fact_id = @fact_id
            ORDER BY w.review_seq ASC;

        -- The latest opinion of each person, this one among them; the last one that decides is the one that may hold.
        DELETE FROM @opinion;
        INSERT INTO @opinion (review_seq, decision, voice)
        SELECT
            w.review_seq,
            w.decision,
            CASE
                WHEN w.decision = N'CORRECTED'
                    THEN CONCAT(N'CORRECTED ', COALESCE(w.corrected_value_key, w.corrected_value))
                WHEN w.decision <> N'NOT_SURE' THEN REPLACE(w.decision, N'ADDED', N'ACCEPTED')
            END
        FROM llm.fact_review AS w WITH (INDEX (ix_fact_review_fact))
        WHERE
            w.fact_id = @fact_id
            AND w.actor <> @who
            AND w.decision <> N'NONE'
            AND NOT EXISTS (
                SELECT 1
                FROM llm.fact_review AS later WITH (INDEX (ix_fact_review_fact))
                WHERE
                    later.fact_id = w.fact_id
                    AND later.actor = w.actor
                    AND later.review_seq > w.review_seq
            );
        INSERT INTO @opinion (review_seq, decision, voice)
        SELECT
            NULL,
            e.decision,
            CASE
                WHEN e.decision = N'CORRECTED'
                    THEN CONCAT(N'CORRECTED ', COALESCE(e.corrected_value_key, e.corrected_value))
                WHEN e.decision <> N'NOT_SURE' THEN REPLACE(e.decision, N'ADDED', N'ACCEPTED')
            END
        FROM @element AS e
        WHERE e.n = @n AND e.decision <> N'NONE';

        SELECT
            @opinions = COUNT(*),
            @decisive = COALESCE(SUM(CASE WHEN o.decision <> N'NOT_SURE' THEN 1 ELSE 0 END), 0),
            @doubts = COALESCE(SUM(CASE WHEN o.decision IN (N'CORRECTED', N'REJECTED') THEN 1 ELSE 0 END), 0),
            @held_seq = MAX(CASE WHEN o.decision <> N'NOT_SURE' THEN o.review_seq END)
        FROM @opinion AS o;
        SELECT @voices = COUNT(DISTINCT o.voice) FROM @opinion AS o;

        SELECT
            @held_decision = NULL,
            @held_by = NULL,
            @held_utc = NULL,
            @held_value = NULL,
            @held_key = NULL,
            @held_evidence_id = NULL,
            @held_quote = NULL,
            @held_start = NULL,
            @held_end = NULL;
        IF @decision IN (N'NONE', N'NOT_SURE')
            SELECT
                @held_decision = w.decision,
                @held_by = w.actor,
                @held_utc = w.at_utc,
                @held_value = w.corrected_value,
                @held_key = w.corrected_value_key,
                @held_evidence_id = w.evidence_id,
                @held_quote = w.quote,
                @held_start = w.quote_start,
                @held_end = w.quote_end
            FROM llm.fact_review AS w WITH (INDEX (ix_fact_review_fact))
            WHERE
                w.fact_id = @fact_id
                AND w.review_seq = @held_seq;
        ELSE
            SELECT
                @held_decision = e.decision,
                @held_by = @who,
                @held_utc = @now,
                @held_value = e.corrected_value,
                @held_key = e.corrected_value_key,
                @held_evidence_id = e.evidence_id,
                @held_quote = e.quote,
                @held_start = e.quote_start,
                @held_end = e.quote_end
            FROM @element AS e
            WHERE e.n = @n;

        SET @is_settled = CASE
            WHEN @decisive = 0 THEN 0
            WHEN @reviewers = 1 OR @proof = N'person' OR @decisive >= 3 THEN 1
            WHEN @decisive = 2 AND @voices = 1 THEN 1
            WHEN @from IN (N'ACCEPTED', N'CORRECTED', N'REJECTED') AND @decision NOT IN (N'NONE', N'NOT_SURE')
                AND @because IS NOT NULL THEN 1
            ELSE 0
        END;
        SET @to = CASE
            WHEN @is_settled = 1 THEN REPLACE(@held_decision, N'ADDED', N'ACCEPTED')
            WHEN @proof = N'person' THEN N'REJECTED'
            WHEN @verdict = N'SUPPORTED' AND @doubts = 0 THEN N'NONE'
            ELSE N'OPEN'
        END;

        INSERT INTO llm.fact_review (
            fact_id, run_id, job_id, fact_index, decision, from_status, to_status, at_utc, actor, reason, because,
            interrogation_key, fact_key, value, value_key, proof, verdict, confidence, corrected_value,
            corrected_value_key, evidence_id, quote, quote_start, quote_end
        )
        SELECT
            f.fact_id,
            f.run_id,
            f.job_id,
            f.fact_index,
            e.decision,
            @from,
            @to,
            @now,
            @who,
            @because,
            CASE
                WHEN @review_priority IS NULL THEN N'asked'
                WHEN @verdict <> N'SUPPORTED' THEN N'verdict'
                WHEN @conflict_id IS NOT NULL THEN N'conflict'
                ELSE N'sample'
            END,
            f.interrogation_key,
            f.fact_key,
            f.value,
            @said_key,
            f.proof,
            f.verdict,
            f.confidence,
            e.corrected_value,
            e.corrected_value_key,
            e.evidence_id,
            e.quote,
            e.quote_start,
            e.quote_end
        FROM @element AS e
        INNER JOIN llm.fact AS f WITH (INDEX (pk_fact))
            ON f.fact_id = @fact_id
        WHERE e.n = @n
        OPTION (LOOP JOIN, FORCE ORDER);
        SET @review_seq = SCOPE_IDENTITY();

        UPDATE f
        SET
            review_status = @to,
            reviewed_by = CASE WHEN @is_settled = 1 THEN @held_by WHEN @to = N'REJECTED' THEN @who END,
            reviewed_utc = CASE WHEN @is_settled = 1 THEN @held_utc WHEN @to = N'REJECTED' THEN @now END,
            corrected_value = CASE WHEN @to = N'CORRECTED' THEN COALESCE(@held_value, f.value) END,
            corrected_evidence_id = CASE WHEN @to = N'CORRECTED' THEN @held_evidence_id END,
            corrected_quote = CASE WHEN @to = N'CORRECTED' THEN @held_quote END,
            corrected_quote_start = CASE WHEN @to = N'CORRECTED' THEN @held_start END,
            corrected_quote_end = CASE WHEN @to = N'CORRECTED' THEN @held_end END,
            value_key = CASE WHEN @to = N'CORRECTED' AND @held_value IS NOT NULL THEN @held_key ELSE @said_key END,
            review_round = CASE WHEN @is_settled = 1 THEN 0 WHEN @opinions > 2 THEN 2 ELSE @opinions END,
            review_priority = CASE
                WHEN @is_settled = 1 OR @proof = N'person' THEN NULL
                WHEN @opinions > 0 OR @to = N'OPEN' OR @conflict_id IS NOT NULL
                    OR llm.is_in_review_sample(@fact_id, @sample_percent) = 1
                    THEN @job_priority
            END,
            review_claimed_by = NULL,
            review_claim_expires_utc = NULL
        FROM llm.fact AS f WITH (ROWLOCK, INDEX (pk_fact))
        WHERE f.fact_id = @fact_id;

        EXEC llm.settle_facts
            @run_id = @run_id,
            @interrogation_key = @interrogation_key,
            @entity_type = @entity_type,
            @entity_id = @entity_id,
            @evidence_sha256 = @evidence_sha256;

        INSERT INTO llm.job_event (job_id, run_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
        VALUES (
            @job_id, @run_id, @now, N'fact_reviewed', @job_status, @job_status, @who, @because,
            CONCAT(
                N'{"fact_id": "', LOWER(CAST(@fact_id AS nvarchar(36))), N'", "fact_index": ', @fact_index,
                N', "decision": "', @decision, N'", "from": "', @from, N'", "to": "', @to,
                N'", "review_seq": ', @review_seq, N'}'
            )
        );

        INSERT INTO @answer (n, fact_id, changed, from_status, to_status, why)
        VALUES (@n, @fact_id, 1, @from, @to, NULL);
    END;

    COMMIT TRANSACTION;

    SELECT
        a.n,
        a.fact_id,
        a.changed,
        a.from_status,
        a.to_status,
        a.why
    FROM @answer AS a
    ORDER BY a.n;
END;
GO

GRANT EXECUTE ON llm.usp_review_facts TO llm_operator;
GO
