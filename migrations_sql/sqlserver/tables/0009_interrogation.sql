-- Definitions of interrogations, by their hash. A version, once registered, never changes.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.interrogation', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.interrogation (
        definition_sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
        interrogation_key nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        version nvarchar(40) COLLATE Latin1_General_100_BIN2 NOT NULL,
        prompt_template nvarchar(MAX) NOT NULL,
        output_schema_json nvarchar(MAX) NOT NULL,
        rubric nvarchar(MAX) NOT NULL,
        registered_utc datetime2(6) NOT NULL CONSTRAINT df_interrogation_registered_utc DEFAULT (SYSUTCDATETIME()),
        CONSTRAINT pk_interrogation PRIMARY KEY CLUSTERED (definition_sha256),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_interrogation_definition_sha256 CHECK (
            TRANSLATE(definition_sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        ),
        CONSTRAINT ck_interrogation_interrogation_key CHECK (
            LEN(interrogation_key) > 0 AND interrogation_key NOT LIKE N' %' AND interrogation_key NOT LIKE N'% '
        ),
        CONSTRAINT ck_interrogation_version CHECK (
            LEN(version) > 0 AND version NOT LIKE N' %' AND version NOT LIKE N'% '
        ),
        -- A JSON object: the first character that is no JSON blank is a brace.
        CONSTRAINT ck_interrogation_output_schema_json CHECK (
            ISJSON(output_schema_json) = 1
            AND LEFT(LTRIM(
                REPLACE(REPLACE(REPLACE(
                    LEFT(output_schema_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
                )
            ), 1) = N'{'
        )
    );

    CREATE UNIQUE NONCLUSTERED INDEX ux_interrogation_version ON llm.interrogation (interrogation_key, version);

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
