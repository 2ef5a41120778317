-- Which lake holds this database's files: the id that stands in the file lake.json at the lake's root. One row, or none
-- until the first worker has settled it.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.lake', N'U') IS NULL
BEGIN
    CREATE TABLE llm.lake (
        lake_key int NOT NULL CONSTRAINT df_lake_lake_key DEFAULT (1),
        lake_id uniqueidentifier NOT NULL,
        recorded_utc datetime2(6) NOT NULL,
        CONSTRAINT pk_lake PRIMARY KEY CLUSTERED (lake_key),
        CONSTRAINT ck_lake_lake_key CHECK (lake_key = 1)
    );
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.lake TO llm_worker;
GRANT SELECT ON llm.lake TO llm_operator;
GRANT SELECT ON llm.lake TO llm_reader;
-- Whether a root may be taken is also told by the files that wait for their deletion.
GRANT SELECT ON llm.lake_deletion TO llm_worker;
GO
