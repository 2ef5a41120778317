-- Answers into tables of the user's own. A derivation may declare a target; llm.delivery is its outbox: a row for each
-- change of a subject's answer in use. Whoever delivers takes rows and writes the target in one transaction.
ALTER TABLE llm.derivation ADD COLUMN IF NOT EXISTS target_json text COLLATE "C" NULL;
-- All subjects are to be delivered, since the target is another than before: those after this subject_seq still are.
ALTER TABLE llm.derivation ADD COLUMN IF NOT EXISTS fill_after_seq bigint NULL;

CREATE TABLE IF NOT EXISTS llm.delivery (
    delivery_seq bigint GENERATED ALWAYS AS IDENTITY,
    derivation_seq bigint NOT NULL,
    subject_seq bigint NOT NULL,
    queued_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The target refused this subject's row: it waits for the subject's next change, and is not tried until then.
    refused_utc timestamptz NULL,
    why varchar(1000) COLLATE "C" NULL,
    CONSTRAINT pk_delivery PRIMARY KEY (delivery_seq)
);

CREATE INDEX IF NOT EXISTS ix_delivery_waiting ON llm.delivery (derivation_seq, delivery_seq) INCLUDE (subject_seq)
WHERE refused_utc IS NULL;
CREATE INDEX IF NOT EXISTS ix_delivery_refused ON llm.delivery (derivation_seq, subject_seq)
WHERE refused_utc IS NOT NULL;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('llm_reader', 'llm_operator')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON llm.delivery TO %I', v_role);
    END LOOP;
END;
$$;
