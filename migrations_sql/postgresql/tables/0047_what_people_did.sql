-- What people did: enqueues and reviews too, which the indexes of 0021 left out. Enqueues have indexes of their own:
-- there are so many that looking for other actions would pass over all of them. The new ones are there before the old
-- ones go.
CREATE INDEX IF NOT EXISTS ix_job_event_action ON llm.job_event (event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld',
    'purged', 'fact_reviewed'
);
CREATE INDEX IF NOT EXISTS ix_job_event_action_by ON llm.job_event (actor, event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld',
    'purged', 'fact_reviewed'
);
CREATE INDEX IF NOT EXISTS ix_job_event_enqueued ON llm.job_event (event_seq) WHERE event = 'enqueued';
CREATE INDEX IF NOT EXISTS ix_job_event_enqueued_by ON llm.job_event (actor, event_seq) WHERE event = 'enqueued';
DROP INDEX IF EXISTS llm.ix_job_event_acted;
DROP INDEX IF EXISTS llm.ix_job_event_acted_by;
