-- The schema, and the record of which script was applied with which text. Everything else stands on these two.
-- The schema and all that is in it have one owner, so that EXECUTE on a procedure is enough to use it (ownership
-- chaining) and no role needs a right to write a table.
-- Every table is made with its indexes in one transaction: a table that exists is whole, whatever was interrupted.
-- XACT_ABORT is given back at the end, because the connection that migrates goes on being used.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- CREATE SCHEMA must stand alone in its batch, hence the EXEC.
IF SCHEMA_ID(N'llm') IS NULL
BEGIN
    EXEC (N'CREATE SCHEMA llm');
END;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.schema_script', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.schema_script (
        script_name nvarchar(200) COLLATE Latin1_General_100_BIN2 NOT NULL,
        sha256 nvarchar(64) COLLATE Latin1_General_100_BIN2 NOT NULL,
        applied_utc datetime2(6) NOT NULL CONSTRAINT df_schema_script_applied_utc DEFAULT (SYSUTCDATETIME()),
        CONSTRAINT pk_schema_script PRIMARY KEY CLUSTERED (script_name),
        -- 64 hexadecimal digits: every digit is turned into a zero.
        CONSTRAINT ck_schema_script_sha256 CHECK (
            TRANSLATE(sha256, N'123456789abcdef', N'000000000000000') = REPLICATE(N'0', 64)
        )
    );

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO
