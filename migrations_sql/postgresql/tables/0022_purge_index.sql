-- What a purge may take: what ended, state by state, the oldest first. States that a policy keeps for ever, and jobs
-- that are held, are not walked over. In the place of ix_job_finished, which knew no states and served the purge alone.
CREATE INDEX IF NOT EXISTS ix_job_purge ON llm.job (status, finished_utc, job_seq)
WHERE finished_utc IS NOT NULL AND hold_utc IS NULL;
DROP INDEX IF EXISTS llm.ix_job_finished;
