-- Indexes of the reading side: a page of any one filter, and of a state with one other, is read by its key alone.
-- A filter without a state is answered from the seven ranges of its states, so that no second index is kept for it:
-- every index on a job is written again at each of its moves.
CREATE INDEX IF NOT EXISTS ix_job_interrogation_status ON llm.job (interrogation_key, status, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_created_by_status ON llm.job (created_by, status, job_seq);
CREATE INDEX IF NOT EXISTS ix_job_entity_status ON llm.job (entity_id, status, job_seq) WHERE entity_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_model_status ON llm.job (model_hint, status, job_seq) WHERE model_hint IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_job_error_status ON llm.job (error_kind, status, job_seq) WHERE error_kind IS NOT NULL;
DROP INDEX IF EXISTS llm.ix_job_interrogation;
DROP INDEX IF EXISTS llm.ix_job_created_by;
DROP INDEX IF EXISTS llm.ix_job_entity_id;
DROP INDEX IF EXISTS llm.ix_job_model;
DROP INDEX IF EXISTS llm.ix_job_error_kind;

-- What ended lately, in one state. Written once a job, when it ends.
CREATE INDEX IF NOT EXISTS ix_job_ended ON llm.job (status, finished_utc, job_seq) WHERE finished_utc IS NOT NULL;

-- What people did, among millions of events that workers wrote. Workers' events are in neither.
CREATE INDEX IF NOT EXISTS ix_job_event_acts ON llm.job_event (event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld'
);
CREATE INDEX IF NOT EXISTS ix_job_event_actor ON llm.job_event (actor, event_seq)
WHERE event IN (
    'cancel_requested', 'cancelled', 'requeued', 'rescheduled', 'reprioritized', 'model_changed', 'held', 'unheld'
);
