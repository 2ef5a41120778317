-- A definition whose output schema the model server refuses: since when, and what the server says. Workers claim none
-- of its jobs until that is cleared, or a new version takes its place.
ALTER TABLE llm.interrogation
ADD COLUMN IF NOT EXISTS refused_utc timestamptz,
ADD COLUMN IF NOT EXISTS refused_why text;
