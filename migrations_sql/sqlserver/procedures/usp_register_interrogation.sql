SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_register_interrogation: stores a definition by its hash.
-- Promises: registered true if the definition is stored afterwards (why 'already registered': it was before); a
--   changed definition with an existing version is refused: registered false, and why.
-- Called by: workers and the web at their start, for every interrogation in their registry.
-- Locks: the hash, then the key and version (UPDLOCK, HOLDLOCK: the entry, or the gap where it would stand): somebody
--   who is just registering the same is waited for.
CREATE OR ALTER PROCEDURE llm.usp_register_interrogation
    @definition_sha256 nvarchar(4000),
    @interrogation_key nvarchar(4000),
    @version nvarchar(4000),
    @prompt_template nvarchar(MAX),
    @output_schema_json nvarchar(MAX),
    @rubric nvarchar(MAX)
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @own_version nvarchar(4000) = LTRIM(RTRIM(@version));
    DECLARE @callers_transactions int = @@TRANCOUNT;
    DECLARE @turns int = 0;
    DECLARE @message nvarchar(400);
    DECLARE @registered bit;
    DECLARE @why nvarchar(MAX);
    DECLARE @hash_key nvarchar(200);
    DECLARE @hash_version nvarchar(40);
    DECLARE @version_sha256 nvarchar(64);

    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;
    IF @definition_sha256 IS NULL
        OR llm.is_sha256(@definition_sha256) = 0
        OR @own_version IS NULL
        OR LEN(@own_version) NOT BETWEEN 1 AND 40
        OR @prompt_template IS NULL
        OR llm.is_json_object(@output_schema_json) = 0
        OR @rubric IS NULL
    BEGIN
        SET @message = N'HC019: definition_sha256 (64 hex), version (1 to 40 characters), prompt_template, '
            + N'output_schema_json (a JSON object) or rubric is missing or malformed';
        THROW 51019, @message, 1;
    END;

    -- One pass; another one only where lock hints are ignored and another caller was faster.
    WHILE @registered IS NULL
    BEGIN
        SET @turns = @turns + 1;

        BEGIN TRY
            BEGIN TRANSACTION;

            SELECT
                @hash_key = i.interrogation_key,
                @hash_version = i.version
            FROM llm.interrogation AS i WITH (UPDLOCK, HOLDLOCK, ROWLOCK)
            WHERE i.definition_sha256 = @definition_sha256;

            SELECT @version_sha256 = i.definition_sha256
            FROM llm.interrogation AS i WITH (UPDLOCK, HOLDLOCK, ROWLOCK, INDEX (ux_interrogation_version))
            WHERE
                i.interrogation_key = @key
                AND i.version = @own_version;

            IF @hash_key IS NULL AND @version_sha256 IS NULL
            BEGIN
                INSERT INTO llm.interrogation (
                    definition_sha256, interrogation_key, version, prompt_template, output_schema_json, rubric,
                    registered_utc
                )
                VALUES (
                    @definition_sha256, @key, @own_version, @prompt_template, @output_schema_json, @rubric,
                    SYSUTCDATETIME()
                );
                SET @registered = 1;
            END;
            ELSE IF @version_sha256 IS NULL
            BEGIN
                SET @registered = 0;
                SET @why = CONCAT(N'this hash is registered as ', @hash_key, N' version ', @hash_version);
            END;
            ELSE IF @version_sha256 COLLATE Latin1_General_100_BIN2 <> @definition_sha256
            BEGIN
                SET @registered = 0;
                SET @why = CONCAT(
                    @key, N' version ', @own_version, N' is registered with another definition (', @version_sha256,
                    N'): a changed definition needs a new version'
                );
            END;
            ELSE
            BEGIN
                SET @registered = 1;
                SET @why = N'already registered';
            END;

            COMMIT TRANSACTION;
        END TRY
        BEGIN CATCH
            SET @registered = NULL;
            IF @callers_transactions = 0 AND XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            -- 2601, 2627: it was registered between the look and the insert.
            IF @callers_transactions > 0 OR @turns >= 10 OR ERROR_NUMBER() NOT IN (2601, 2627)
                THROW;
        END CATCH;
    END;

    SELECT
        @registered AS registered,
        @why AS why;
END;
GO

GRANT EXECUTE ON llm.usp_register_interrogation TO llm_worker;
GRANT EXECUTE ON llm.usp_register_interrogation TO llm_operator;
GO
