-- Experiments: variants of a question, asked about the cases of a golden set and compared. The answers are jobs of the
-- experiment's batch. llm.experiment_case is its own copy of the cases, so that a set may change meanwhile.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.experiment', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.experiment (
        experiment_seq bigint IDENTITY (1, 1) NOT NULL,
        experiment_id uniqueidentifier NOT NULL,
        set_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        batch_id uniqueidentifier NOT NULL,
        created_utc datetime2(6) NOT NULL,
        created_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        reason nvarchar(MAX) NULL,
        -- {"variants": [...]}: exact definitions, models and options.
        variants_json nvarchar(MAX) NOT NULL,
        -- {"gates": [...]}
        gates_json nvarchar(MAX) NOT NULL,
        repeats int NOT NULL,
        cases int NOT NULL,
        -- Once every job has ended.
        result_json nvarchar(MAX) NULL,
        is_passed bit NULL,
        scored_utc datetime2(6) NULL,
        CONSTRAINT ux_experiment_seq UNIQUE CLUSTERED (experiment_seq),
        CONSTRAINT pk_experiment PRIMARY KEY NONCLUSTERED (experiment_id),
        CONSTRAINT ck_experiment_bounds CHECK (repeats BETWEEN 1 AND 100 AND cases >= 1),
        CONSTRAINT ck_experiment_set_name CHECK (
            LEN(set_name) > 0 AND set_name NOT LIKE N' %' AND set_name NOT LIKE N'% '
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_experiment_variants_json CHECK (
            ISJSON(variants_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(variants_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_experiment_gates_json CHECK (
            ISJSON(gates_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(gates_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_experiment_result_json CHECK (
            ISJSON(result_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(result_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    -- Which jobs are an experiment's, and so in no export.
    CREATE UNIQUE NONCLUSTERED INDEX ux_experiment_batch ON llm.experiment (batch_id);

    CREATE TABLE llm.experiment_case (
        experiment_case_seq bigint IDENTITY (1, 1) NOT NULL,
        experiment_id uniqueidentifier NOT NULL,
        case_no int NOT NULL,
        case_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        input_json nvarchar(MAX) NOT NULL,
        evidence_json nvarchar(MAX) NOT NULL,
        expected_json nvarchar(MAX) NOT NULL,
        matching_json nvarchar(MAX) NULL,
        CONSTRAINT pk_experiment_case PRIMARY KEY CLUSTERED (experiment_case_seq),
        CONSTRAINT ck_experiment_case_case_key CHECK (
            LEN(case_key) > 0 AND case_key NOT LIKE N' %' AND case_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_experiment_case_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_experiment_case_input_json CHECK (
            ISJSON(input_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(input_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_experiment_case_evidence_json CHECK (
            ISJSON(evidence_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(evidence_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_experiment_case_expected_json CHECK (
            ISJSON(expected_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(expected_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_experiment_case_matching_json CHECK (
            ISJSON(matching_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(matching_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_experiment_case_no ON llm.experiment_case (experiment_id, case_no);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.experiment TO llm_operator;
GRANT SELECT ON llm.experiment_case TO llm_operator;
GRANT SELECT ON llm.experiment TO llm_reader;
GRANT SELECT ON llm.experiment_case TO llm_reader;
GO
