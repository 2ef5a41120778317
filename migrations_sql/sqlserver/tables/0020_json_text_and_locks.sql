-- What JSON strings need on the second engine, and what a purge's many rows need on the first.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- A JSON string as it stands between its quotes, with its escapes resolved. SQL Server's JSON functions do that by
-- themselves; Babelfish's hand the escapes on, so that JSON within JSON would not read as such: there, and there only,
-- the procedures call this. \u0001 and the like stay as they are: what JSON may hold has no such characters.
-- NCHAR(1) stands for a backslash meanwhile; it cannot be in an escaped text itself. By code point, because other
-- collations may overlook it.
IF OBJECT_ID(N'llm.json_text', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.json_text (@escaped nvarchar(MAX))
RETURNS nvarchar(MAX)
AS
BEGIN
    DECLARE @text nvarchar(MAX) = REPLACE(@escaped COLLATE Latin1_General_100_BIN2, N''\\'', NCHAR(1));
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\"'', N''"'');
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\/'', N''/'');
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\b'', NCHAR(8));
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\t'', NCHAR(9));
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\n'', NCHAR(10));
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\f'', NCHAR(12));
    SET @text = REPLACE(@text COLLATE Latin1_General_100_BIN2, N''\r'', NCHAR(13));
    RETURN REPLACE(@text COLLATE Latin1_General_100_BIN2, NCHAR(1), N''\'');
END');
END;
GO

-- A purge deletes thousands of rows in one statement, and 5,000 row locks would become a lock on the table, which every
-- claim and completion inserts into. The second engine locks rows only and does not know the option: hence the EXEC.
IF SERVERPROPERTY('BabelfishVersion') IS NULL
BEGIN
    EXEC (N'ALTER TABLE llm.run SET (LOCK_ESCALATION = DISABLE)');
    EXEC (N'ALTER TABLE llm.artifact SET (LOCK_ESCALATION = DISABLE)');
    EXEC (N'ALTER TABLE llm.job_event SET (LOCK_ESCALATION = DISABLE)');
END;
GO
