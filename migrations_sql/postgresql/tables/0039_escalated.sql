-- When an escalation policy last raised a job's priority. In no index: it is judged at the job's own row.
ALTER TABLE llm.job
ADD COLUMN IF NOT EXISTS escalated_utc timestamptz NULL;
