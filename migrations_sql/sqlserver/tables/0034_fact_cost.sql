-- What a completion pays for its facts. The bounds of a fact are judged by store_facts, the only way to write one: on
-- PostgreSQL a table's checks are read and planned by every statement that writes. And of the verdicts those that are
-- looked for are indexed: what is supported is found among the latest anyway.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS ck_fact_bounds;
ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS ck_fact_place;
GO

DROP INDEX IF EXISTS ix_fact_verdict ON llm.fact;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes AS i WHERE i.name = N'ix_fact_not_supported' AND i.object_id = OBJECT_ID(N'llm.fact')
)
    CREATE NONCLUSTERED INDEX ix_fact_not_supported ON llm.fact (verdict, fact_seq)
    WHERE verdict <> N'SUPPORTED';
GO
