-- For claims that may not take every model: the models of a priority, by one read each. Not deduplicated: a dead entry
-- is then skipped as soon as its own job is claimed, not when all jobs that share it are.
CREATE INDEX IF NOT EXISTS ix_job_ready_priority ON llm.job (priority DESC, coalesce(model_hint, '') DESC)
WITH (deduplicate_items = off) WHERE status = 'NEW';
