-- Why a worker claims nothing, while it does not: what it could not use, or what it could not hand in.
ALTER TABLE llm.worker
ADD COLUMN IF NOT EXISTS not_claiming_why varchar(1000);
