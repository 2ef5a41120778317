-- What a completion pays for its facts. A foreign key is checked by a query a row: fact_set has one for all facts of a
-- run, and store_facts, the only way to write a fact, writes both. The facts of a job are found by its runs. What is
-- not supported is among what was ever to be reviewed, which has an index.
ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS fk_fact_run;

DROP INDEX IF EXISTS llm.ix_fact_job;
DROP INDEX IF EXISTS llm.ix_fact_not_supported;
