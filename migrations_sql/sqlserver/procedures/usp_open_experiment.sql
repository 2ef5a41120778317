SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_open_experiment: records an experiment on a golden set, with its own copy of the set's cases.
-- Promises: the copy is the set as it was at one moment. An experiment_id that is there already is answered and not
--   changed:
--   repeatable. A set without cases makes none: cases is 0. The jobs of batch_id are the experiment's from now on.
-- Called by: queue.py (evaluate, admin).
-- Locks: the set's cases while they are copied; the rows it adds.
CREATE OR ALTER PROCEDURE llm.usp_open_experiment
    @experiment_id uniqueidentifier,
    @set_name nvarchar(4000),
    @batch_id uniqueidentifier,
    @variants_json nvarchar(MAX),
    @gates_json nvarchar(MAX),
    @actor nvarchar(4000),
    @repeats int = 1,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @cases int;
    DECLARE @is_new bit = 0;

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @experiment_id IS NULL
        OR @batch_id IS NULL
        OR COALESCE(@repeats, 0) NOT BETWEEN 1 AND 100
        OR COALESCE(llm.is_json_object(@variants_json), 0) = 0
        OR COALESCE(llm.is_json_object(@gates_json), 0) = 0
        THROW 51057, N'HC057: an id is missing, repeats is not 1 to 100, or a JSON parameter is no object', 1;

    BEGIN TRANSACTION;

    SELECT @cases = e.cases
    FROM llm.experiment AS e WITH (UPDLOCK, HOLDLOCK, ROWLOCK)
    WHERE e.experiment_id = @experiment_id;

    IF @cases IS NULL
    BEGIN
        -- One statement: what is copied is what is counted.
        INSERT INTO llm.experiment_case (
            experiment_id, case_no, case_key, interrogation_key, input_json, evidence_json, expected_json, matching_json
        )
        SELECT
            @experiment_id,
            ROW_NUMBER() OVER (ORDER BY g.case_seq) - 1,
            g.case_key,
            g.interrogation_key,
            g.input_json,
            g.evidence_json,
            g.expected_json,
            g.matching_json
        FROM llm.golden_case AS g WITH (HOLDLOCK)
        WHERE g.set_name = @set_name
        ORDER BY g.case_seq;
        SET @cases = @@ROWCOUNT;

        IF @cases > 0
        BEGIN
            SET @is_new = 1;
            INSERT INTO llm.experiment (
                experiment_id, set_name, batch_id, created_utc, created_by, reason, variants_json, gates_json, repeats,
                cases
            )
            VALUES (
                @experiment_id, @set_name, @batch_id, SYSUTCDATETIME(), @who, NULLIF(LTRIM(RTRIM(@reason)), N''),
                @variants_json, @gates_json, @repeats, @cases
            );
        END;
    END;

    COMMIT TRANSACTION;

    SELECT
        @cases AS cases,
        @is_new AS is_new;
END;
GO

GRANT EXECUTE ON llm.usp_open_experiment TO llm_operator;
GO
