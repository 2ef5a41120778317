-- llm.usp_record_seal: records the next seal of the chain, with its document until the lake has that.
-- Promises: accepted only if it follows the last one (the next number, based on its head, with later events) and the
--   last one's document is in the lake. So of two concurrent sealers one is refused, and why says so. Repeating the
--   same seal is accepted again.
-- Called by: the sealing of the history.
-- Locks: the chain's own lock, then the seal.
CALL llm.drop_procedure('usp_record_seal');

CREATE TYPE llm.usp_record_seal_result AS (
    accepted boolean,
    why text
);

CREATE FUNCTION llm.usp_record_seal(
    seal_seq bigint,
    first_event_seq bigint,
    last_event_seq bigint,
    event_count integer,
    previous_sha256 text,
    sha256 text,
    created_utc timestamptz,
    seal_json text
)
RETURNS SETOF llm.usp_record_seal_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_last record;
BEGIN
    IF coalesce(usp_record_seal.seal_seq < 1, TRUE)
        OR coalesce(usp_record_seal.first_event_seq > usp_record_seal.last_event_seq, TRUE)
        OR coalesce(usp_record_seal.event_count < 1, TRUE)
        OR coalesce(usp_record_seal.previous_sha256 !~ '^[0-9a-f]{64}$', TRUE)
        OR coalesce(usp_record_seal.sha256 !~ '^[0-9a-f]{64}$', TRUE)
        OR usp_record_seal.created_utc IS NULL
        OR NOT coalesce(llm.is_json_object(usp_record_seal.seal_json), FALSE)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'HC030', MESSAGE = 'an argument of the seal is missing or malformed';
    END IF;
    IF usp_record_seal.created_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'created_utc is not in the years 2000 to 9000';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('llm.seal', 0));

    SELECT s.seal_seq, s.sha256::text, s.last_event_seq, s.pending_json IS NOT NULL AS is_pending
    INTO v_last
    FROM llm.seal AS s
    ORDER BY s.seal_seq DESC
    LIMIT 1;
    IF v_last.seal_seq = usp_record_seal.seal_seq AND v_last.sha256 = usp_record_seal.sha256 THEN
        RETURN NEXT ROW(TRUE, NULL)::llm.usp_record_seal_result;
        RETURN;
    END IF;
    IF coalesce(v_last.seal_seq, 0) + 1 <> usp_record_seal.seal_seq
        OR coalesce(v_last.sha256, repeat('0', 64)) <> usp_record_seal.previous_sha256
        OR coalesce(v_last.last_event_seq, 0) >= usp_record_seal.first_event_seq
    THEN
        RETURN NEXT ROW(FALSE, 'it does not follow the last seal')::llm.usp_record_seal_result;
        RETURN;
    END IF;
    IF coalesce(v_last.is_pending, FALSE) THEN
        RETURN NEXT ROW(FALSE, 'the last seal is not in the lake yet')::llm.usp_record_seal_result;
        RETURN;
    END IF;

    INSERT INTO llm.seal (
        seal_seq, first_event_seq, last_event_seq, event_count, previous_sha256, sha256, created_utc, pending_json
    )
    VALUES (
        usp_record_seal.seal_seq, usp_record_seal.first_event_seq, usp_record_seal.last_event_seq,
        usp_record_seal.event_count, usp_record_seal.previous_sha256, usp_record_seal.sha256,
        usp_record_seal.created_utc, usp_record_seal.seal_json
    );
    RETURN NEXT ROW(TRUE, NULL)::llm.usp_record_seal_result;
END;
$$;

CALL llm.grant_procedure('usp_record_seal', 'llm_operator');
