-- What a completion pays for its facts. A foreign key is checked for each row: fact_set has one for all facts of a run,
-- and store_facts, the only way to write a fact, writes both. The facts of a job are found by its runs. What is not
-- supported is among what was ever to be reviewed, which has an index; and a filtered index serves no parameter.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS fk_fact_run;
GO

DROP INDEX IF EXISTS ix_fact_job ON llm.fact;
DROP INDEX IF EXISTS ix_fact_not_supported ON llm.fact;
GO
