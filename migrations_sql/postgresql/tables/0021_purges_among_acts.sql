-- What people did, purges among it: the indexes of 0013 left those out. The new ones are there before the old ones go.
CREATE INDEX IF NOT EXISTS ix_job_event_acted ON llm.job_event (event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld',
    'purged'
);
CREATE INDEX IF NOT EXISTS ix_job_event_acted_by ON llm.job_event (actor, event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld',
    'purged'
);
DROP INDEX IF EXISTS llm.ix_job_event_acts;
DROP INDEX IF EXISTS llm.ix_job_event_actor;
