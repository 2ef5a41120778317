-- Golden cases: questions with the facts that a right answer has. A case carries its own input and evidence, so that it
-- outlives the job it was made from; from_run_id and from_review_id say where it came from and are not foreign keys.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.golden_case', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.golden_case (
        case_seq bigint IDENTITY (1, 1) NOT NULL,
        case_id uniqueidentifier NOT NULL CONSTRAINT df_golden_case_case_id DEFAULT (NEWID()),
        set_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        case_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        input_json nvarchar(MAX) NOT NULL,
        -- As evidence_ref_json of a job: {"items": [{"evidence_id", "text", "source_uri"?}]}.
        evidence_json nvarchar(MAX) NOT NULL,
        -- {"facts": [{"key", "value", "quote"?, "evidence_id"?}]}
        expected_json nvarchar(MAX) NOT NULL,
        -- {"*" or a key: "same", "exact", "present", "ignore"}; null: values are compared by the proof rules' equality.
        matching_json nvarchar(MAX) NULL,
        from_run_id uniqueidentifier NULL,
        from_review_id uniqueidentifier NULL,
        created_utc datetime2(6) NOT NULL,
        created_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        changed_utc datetime2(6) NOT NULL,
        changed_by nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        CONSTRAINT ux_golden_case_seq UNIQUE CLUSTERED (case_seq),
        CONSTRAINT pk_golden_case PRIMARY KEY NONCLUSTERED (case_id),
        CONSTRAINT ck_golden_case_set_name CHECK (
            LEN(set_name) > 0 AND set_name NOT LIKE N' %' AND set_name NOT LIKE N'% '
        ),
        CONSTRAINT ck_golden_case_case_key CHECK (
            LEN(case_key) > 0 AND case_key NOT LIKE N' %' AND case_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_golden_case_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_golden_case_input_json CHECK (
            ISJSON(input_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(input_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_golden_case_evidence_json CHECK (
            ISJSON(evidence_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(evidence_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_golden_case_expected_json CHECK (
            ISJSON(expected_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(expected_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        ),
        CONSTRAINT ck_golden_case_matching_json CHECK (
            ISJSON(matching_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(matching_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_golden_case_key ON llm.golden_case (set_name, case_key);
    CREATE NONCLUSTERED INDEX ix_golden_case_set ON llm.golden_case (set_name, case_seq);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.golden_case TO llm_operator;
GRANT SELECT ON llm.golden_case TO llm_reader;
GO
