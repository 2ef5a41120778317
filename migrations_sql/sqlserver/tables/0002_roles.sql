-- The three roles that rights are granted to. They belong to this database; whoever administers it adds members:
-- ALTER ROLE llm_worker ADD MEMBER the_worker;
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = N'llm_worker')
BEGIN
    CREATE ROLE llm_worker;
END;
GO

IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = N'llm_operator')
BEGIN
    CREATE ROLE llm_operator;
END;
GO

IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = N'llm_reader')
BEGIN
    CREATE ROLE llm_reader;
END;
GO
