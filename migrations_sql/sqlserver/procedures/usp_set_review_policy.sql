SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

-- llm.usp_set_review_policy: says which share of an interrogation's admitted facts people look at (sample_percent, 0 to
--   100), and how many reviewers decide (reviewers, 1 or 2). Null leaves a value as it is.
-- Promises: facts that are stored after this call go by it, and decisions too. changed false: it was so already. The
--   row before stays.
-- Called by: maintainers (admin).
-- Locks: none that another waits for.
CREATE OR ALTER PROCEDURE llm.usp_set_review_policy
    @interrogation_key nvarchar(4000),
    @actor nvarchar(4000),
    @sample_percent decimal(9, 2) = NULL,
    @reviewers int = NULL,
    @reason nvarchar(MAX) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;

    DECLARE @key nvarchar(4000) = LTRIM(RTRIM(@interrogation_key));
    DECLARE @who nvarchar(4000) = LTRIM(RTRIM(@actor));
    DECLARE @old_percent decimal(5, 2) = 2;
    DECLARE @old_reviewers int = 1;
    DECLARE @changed bit = 0;

    IF @who IS NULL OR LEN(@who) NOT BETWEEN 1 AND 200
        THROW 51014, N'HC014: actor is missing, blank or longer than 200 characters', 1;
    IF @key IS NULL OR LEN(@key) NOT BETWEEN 1 AND 200
        THROW 51004, N'HC004: interrogation_key is missing, blank or longer than 200 characters', 1;
    IF @sample_percent NOT BETWEEN 0 AND 100 OR @reviewers NOT BETWEEN 1 AND 2
        THROW 51052, N'HC052: sample_percent is not between 0 and 100, or reviewers not 1 or 2', 1;

    SELECT TOP (1)
        @old_percent = p.sample_percent,
        @old_reviewers = p.reviewers
    FROM llm.review_policy AS p WITH (INDEX (ix_review_policy_key))
    WHERE p.interrogation_key = @key
    ORDER BY p.policy_seq DESC;

    IF COALESCE(@sample_percent, @old_percent) <> @old_percent OR COALESCE(@reviewers, @old_reviewers) <> @old_reviewers
    BEGIN
        SET @changed = 1;
        INSERT INTO llm.review_policy (interrogation_key, sample_percent, reviewers, changed_utc, changed_by, reason)
        VALUES (
            @key,
            COALESCE(@sample_percent, @old_percent),
            COALESCE(@reviewers, @old_reviewers),
            SYSUTCDATETIME(),
            @who,
            NULLIF(LTRIM(RTRIM(@reason)), N'')
        );
    END;

    SELECT @changed AS changed;
END;
GO

GRANT EXECUTE ON llm.usp_set_review_policy TO llm_operator;
GO
