-- The facts in conflict, newest first: the admin's list of facts pages through them in this order.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF NOT EXISTS (
    SELECT 1 FROM sys.indexes WHERE name = N'ix_fact_in_conflict' AND object_id = OBJECT_ID(N'llm.fact')
)
BEGIN
    CREATE NONCLUSTERED INDEX ix_fact_in_conflict ON llm.fact (fact_seq)
    WHERE conflict_id IS NOT NULL;
END;
GO
