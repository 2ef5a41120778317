-- The facts in conflict, newest first: the admin's list of facts pages through them in this order.
CREATE INDEX IF NOT EXISTS ix_fact_in_conflict ON llm.fact (fact_seq) WHERE conflict_id IS NOT NULL;
