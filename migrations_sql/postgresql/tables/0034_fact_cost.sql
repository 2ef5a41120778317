-- What a completion pays for its facts. The bounds of a fact are judged by store_facts, the only way to write one: a
-- table's checks are read and planned by every statement that writes (measured: a seventh of storing ten facts). And of
-- the verdicts those that are looked for are indexed: what is supported is found among the latest anyway.
ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS ck_fact_bounds;
ALTER TABLE llm.fact DROP CONSTRAINT IF EXISTS ck_fact_place;

DROP INDEX IF EXISTS llm.ix_fact_verdict;
CREATE INDEX IF NOT EXISTS ix_fact_not_supported ON llm.fact (verdict, fact_seq) WHERE verdict <> 'SUPPORTED';
