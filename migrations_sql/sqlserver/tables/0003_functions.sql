-- What the other scripts lean on: judging JSON text and writing a time. Not for callers: no role may execute them.
-- PostgreSQL has four more here. drop_procedure and grant_procedure are not needed: CREATE OR ALTER PROCEDURE takes
-- another signature and keeps the grants, and GRANT names no signature. read_job_list and read_actor raise errors: what
-- a function cannot do here, and what a procedure answers is caught by INSERT EXEC alone, which could then not be used
-- by whoever calls: each procedure reads its list itself.
-- CREATE FUNCTION must stand alone in its batch, hence the EXEC.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- Whether a text is a JSON object. ISJSON alone also takes arrays (its second argument is younger than 2019), so the
-- first character that is no JSON blank is looked at too. The CHECK constraints spell the same test out: a function
-- in a constraint is called row by row and could not be altered while the constraint stands.
IF OBJECT_ID(N'llm.is_json_object', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.is_json_object (@json_text nvarchar(MAX))
RETURNS bit
AS
BEGIN
    DECLARE @is_object bit = 0;
    IF ISJSON(@json_text) = 1
        AND LEFT(LTRIM(
            REPLACE(REPLACE(REPLACE(LEFT(@json_text, 4000), NCHAR(9), N'' ''), NCHAR(10), N'' ''), NCHAR(13), N'' '')
        ), 1) = N''{''
        SET @is_object = 1;
    RETURN @is_object;
END');
END;
GO

-- Whether a text is a JSON array; the same way. (PostgreSQL's json functions refuse anything else by themselves.)
IF OBJECT_ID(N'llm.is_json_array', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.is_json_array (@json_text nvarchar(MAX))
RETURNS bit
AS
BEGIN
    DECLARE @is_array bit = 0;
    IF ISJSON(@json_text) = 1
        AND LEFT(LTRIM(
            REPLACE(REPLACE(REPLACE(LEFT(@json_text, 4000), NCHAR(9), N'' ''), NCHAR(10), N'' ''), NCHAR(13), N'' '')
        ), 1) = N''[''
        SET @is_array = 1;
    RETURN @is_array;
END');
END;
GO

-- Whether a text is a SHA-256 in lower-case hex; null for null. (On PostgreSQL a domain tells.) Every digit is turned
-- into a zero, by code point; comparing ignores blanks at the end, LIKE does not.
IF OBJECT_ID(N'llm.is_sha256', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.is_sha256 (@hex nvarchar(MAX))
RETURNS bit
AS
BEGIN
    RETURN CASE
        WHEN @hex IS NULL THEN NULL
        WHEN LEN(@hex) <> 64 OR @hex LIKE N''% '' THEN 0
        WHEN TRANSLATE(@hex COLLATE Latin1_General_100_BIN2, N''123456789abcdef'', N''000000000000000'')
            <> REPLICATE(N''0'', 64) THEN 0
        ELSE 1
    END;
END');
END;
GO

-- A time as the events' detail_json writes it: ISO 8601, microseconds, Z.
IF OBJECT_ID(N'llm.utc_text', N'FN') IS NULL
BEGIN
    EXEC (N'
CREATE FUNCTION llm.utc_text (@at_utc datetime2(6))
RETURNS nvarchar(40)
AS
BEGIN
    RETURN REPLACE(CAST(@at_utc AS nvarchar(40)), N'' '', N''T'') + N''Z'';
END');
END;
GO
