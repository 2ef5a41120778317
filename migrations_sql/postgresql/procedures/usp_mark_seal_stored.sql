-- llm.usp_mark_seal_stored: records that the lake has a seal's document, and removes it from SQL.
-- Promises: stored, if there is such a seal with this head; may be repeated.
-- Called by: the sealing of the history.
-- Locks: the seal.
CALL llm.drop_procedure('usp_mark_seal_stored');

CREATE TYPE llm.usp_mark_seal_stored_result AS (
    stored boolean
);

CREATE FUNCTION llm.usp_mark_seal_stored(
    seal_seq bigint,
    sha256 text
)
RETURNS SETOF llm.usp_mark_seal_stored_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE llm.seal AS s
    SET pending_json = NULL
    WHERE s.seal_seq = usp_mark_seal_stored.seal_seq AND s.sha256 = usp_mark_seal_stored.sha256;
    RETURN NEXT ROW(FOUND)::llm.usp_mark_seal_stored_result;
END;
$$;

CALL llm.grant_procedure('usp_mark_seal_stored', 'llm_operator');
