SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_save_golden_cases: saves up to 20,000 golden cases, all or none.
-- Promises: a case whose set and key are new is created; one that is there already is left alone when it is the same,
--   replaced when replaces is true, and otherwise refused: then nothing is saved at all. Repeatable.
--   cases_json: [{"n", "set_name", "case_key", "interrogation_key", "input_json", "evidence_json", "expected_json",
--   "matching_json"?, "from_run_id"?, "from_review_id"?}]; the *_json members are strings that contain JSON objects.
-- Answers: for each n its outcome: created, replaced, unchanged, exists (refused), skipped (because another exists).
-- Called by: queue.py (commands, admin).
-- Locks: the places of its sets and keys in their index (UPDLOCK, HOLDLOCK), so that of two who save one key the
--   second sees the first; then the rows it changes.
CREATE OR ALTER PROCEDURE llm.usp_save_golden_cases
    @cases_json nvarchar(MAX),
    @actor nvarchar(4000),
    @replaces bit = 0
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @now datetime2(6);
    DECLARE @count int;
    -- Everything as text: a value that does not convert is then our error, with our number.
    DECLARE @read TABLE (
        n nvarchar(MAX) NULL,
        set_name nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        case_key nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        interrogation_key nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        input_json nvarchar(MAX) NULL,
        evidence_json nvarchar(MAX) NULL,
        expected_json nvarchar(MAX) NULL,
        matching_json nvarchar(MAX) NULL,
        from_run_id nvarchar(MAX) NULL,
        from_review_id nvarchar(MAX) NULL
    );
    DECLARE @element TABLE (
        n int NOT NULL PRIMARY KEY,
        set_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        case_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        input_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
        evidence_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
        expected_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL,
        matching_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL,
        from_run_id uniqueidentifier NULL,
        from_review_id uniqueidentifier NULL,
        outcome nvarchar(40) COLLATE Latin1_General_100_BIN2 NULL
    );

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @cases_json IS NULL OR llm.is_json_array(@cases_json) = 0
        THROW 51056, N'HC056: cases_json is malformed: it is not a JSON array', 1;

    INSERT INTO @read (
        n, set_name, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json, from_run_id,
        from_review_id
    )
    SELECT
        c.n,
        c.set_name,
        c.case_key,
        c.interrogation_key,
        c.input_json,
        c.evidence_json,
        c.expected_json,
        c.matching_json,
        c.from_run_id,
        c.from_review_id
    FROM OPENJSON(@cases_json) WITH (
        n nvarchar(MAX) '$.n',
        set_name nvarchar(MAX) '$.set_name',
        case_key nvarchar(MAX) '$.case_key',
        interrogation_key nvarchar(MAX) '$.interrogation_key',
        input_json nvarchar(MAX) '$.input_json',
        evidence_json nvarchar(MAX) '$.evidence_json',
        expected_json nvarchar(MAX) '$.expected_json',
        matching_json nvarchar(MAX) '$.matching_json',
        from_run_id nvarchar(MAX) '$.from_run_id',
        from_review_id nvarchar(MAX) '$.from_review_id'
    ) AS c;

    -- An engine that hands the escapes of JSON strings on shows it here; they are resolved then. It also cuts strings
    -- at 4,000 characters: what may have been cut is refused.
    IF LEN(JSON_VALUE(N'["\""]', '$[0]')) > 1
    BEGIN
        IF EXISTS (
            SELECT 1
            FROM @read AS r
            WHERE
                LEN(r.input_json) >= 4000
                OR LEN(r.evidence_json) >= 4000
                OR LEN(r.expected_json) >= 4000
                OR LEN(r.matching_json) >= 4000
        )
            THROW 51056, N'HC056: cases_json is malformed: this engine takes no text of 4000 characters', 1;

        UPDATE @read
        SET
            set_name = llm.json_text(set_name),
            case_key = llm.json_text(case_key),
            interrogation_key = llm.json_text(interrogation_key),
            input_json = llm.json_text(input_json),
            evidence_json = llm.json_text(evidence_json),
            expected_json = llm.json_text(expected_json),
            matching_json = llm.json_text(matching_json);
    END;

    SELECT @count = COUNT(*)
    FROM @read;
    IF @count NOT BETWEEN 1 AND 20000
        OR EXISTS (
            SELECT 1
            FROM @read AS r
            WHERE
                TRY_CAST(NULLIF(r.n, N'') AS int) IS NULL
                OR COALESCE(LEN(r.set_name), 0) NOT BETWEEN 1 AND 200
                OR r.set_name LIKE N' %'
                OR r.set_name LIKE N'% '
                OR COALESCE(LEN(r.case_key), 0) NOT BETWEEN 1 AND 200
                OR r.case_key LIKE N' %'
                OR r.case_key LIKE N'% '
                OR COALESCE(LEN(r.interrogation_key), 0) NOT BETWEEN 1 AND 200
                OR r.interrogation_key LIKE N' %'
                OR r.interrogation_key LIKE N'% '
                OR COALESCE(llm.is_json_object(r.input_json), 0) = 0
                OR COALESCE(llm.is_json_object(r.evidence_json), 0) = 0
                OR COALESCE(llm.is_json_object(r.expected_json), 0) = 0
                OR (r.matching_json IS NOT NULL AND llm.is_json_object(r.matching_json) = 0)
                OR (
                    r.from_run_id IS NOT NULL
                    AND (LEN(r.from_run_id) <> 36 OR TRY_CAST(r.from_run_id AS uniqueidentifier) IS NULL)
                )
                OR (
                    r.from_review_id IS NOT NULL
                    AND (LEN(r.from_review_id) <> 36 OR TRY_CAST(r.from_review_id AS uniqueidentifier) IS NULL)
                )
        )
        OR EXISTS (SELECT 1 FROM @read AS r GROUP BY r.n HAVING COUNT(*) > 1)
        OR EXISTS (SELECT 1 FROM @read AS r GROUP BY r.set_name, r.case_key HAVING COUNT(*) > 1)
        THROW 51056, N'HC056: cases_json is malformed: not 1 to 20000 different cases, or one is out of bounds', 1;

    INSERT INTO @element (
        n, set_name, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json, from_run_id,
        from_review_id
    )
    SELECT
        CAST(r.n AS int),
        r.set_name,
        r.case_key,
        r.interrogation_key,
        r.input_json,
        r.evidence_json,
        r.expected_json,
        r.matching_json,
        CAST(r.from_run_id AS uniqueidentifier),
        CAST(r.from_review_id AS uniqueidentifier)
    FROM @read AS r;

    BEGIN TRANSACTION;
    SET @now = SYSUTCDATETIME();

    UPDATE e
    SET outcome = CASE
        WHEN g.case_id IS NULL THEN N'created'
        WHEN
            g.interrogation_key = e.interrogation_key
            AND CAST(g.input_json AS varbinary(MAX)) = CAST(e.input_json AS varbinary(MAX))
            AND CAST(g.evidence_json AS varbinary(MAX)) = CAST(e.evidence_json AS varbinary(MAX))
            AND CAST(g.expected_json AS varbinary(MAX)) = CAST(e.expected_json AS varbinary(MAX))
            AND CAST(COALESCE(g.matching_json, N'') AS varbinary(MAX))
            = CAST(COALESCE(e.matching_json, N'') AS varbinary(MAX))
            AND (g.from_run_id = e.from_run_id OR (g.from_run_id IS NULL AND e.from_run_id IS NULL))
            AND (g.from_review_id = e.from_review_id OR (g.from_review_id IS NULL AND e.from_review_id IS NULL))
            THEN N'unchanged'
        WHEN @replaces = 1 THEN N'replaced'
        ELSE N'exists'
    END
    FROM @element AS e
    LEFT JOIN llm.golden_case AS g WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_golden_case_key))
        ON e.set_name = g.set_name AND e.case_key = g.case_key;

    IF EXISTS (SELECT 1 FROM @element AS e WHERE e.outcome = N'exists')
    BEGIN
        UPDATE @element
        SET outcome = N'skipped'
        WHERE outcome <> N'exists';
    END;
    ELSE
    BEGIN
        UPDATE g
        SET
            interrogation_key = e.interrogation_key,
            input_json = e.input_json,
            evidence_json = e.evidence_json,
            expected_json = e.expected_json,
            matching_json = e.matching_json,
            from_run_id = e.from_run_id,
            from_review_id = e.from_review_id,
            changed_utc = @now,
            changed_by = @who
        FROM llm.golden_case AS g
        INNER JOIN @element AS e
            ON g.set_name = e.set_name AND g.case_key = e.case_key
        WHERE e.outcome = N'replaced';

        INSERT INTO llm.golden_case (
            set_name, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json, from_run_id,
            from_review_id, created_utc, created_by, changed_utc, changed_by
        )
        SELECT
            e.set_name,
            e.case_key,
            e.interrogation_key,
            e.input_json,
            e.evidence_json,
            e.expected_json,
            e.matching_json,
            e.from_run_id,
            e.from_review_id,
            @now,
            @who,
            @now,
            @who
        FROM @element AS e
        WHERE e.outcome = N'created'
        ORDER BY e.n;
    END;

    COMMIT TRANSACTION;

    SELECT
        e.n,
        e.outcome
    FROM @element AS e
    ORDER BY e.n;
END;
GO

GRANT EXECUTE ON llm.usp_save_golden_cases TO llm_operator;
GO
