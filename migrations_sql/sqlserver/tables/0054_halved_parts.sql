-- A part whose window was too much for its model is halved: halved_ref_json refers to what it reads since. Its
-- evidence_ref_json stays, as that of any queued job. The other half is a further part of its parent.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.job', N'halved_ref_json') IS NULL
BEGIN
    ALTER TABLE llm.job ADD halved_ref_json nvarchar(MAX) NULL;
END;
GO

SET XACT_ABORT ON;
BEGIN TRANSACTION;

ALTER TABLE llm.job DROP CONSTRAINT IF EXISTS ck_job_halved_ref_json;
ALTER TABLE llm.job ADD CONSTRAINT ck_job_halved_ref_json CHECK (
    ISJSON(halved_ref_json) = 1
    AND LEFT(LTRIM(
        REPLACE(REPLACE(REPLACE(
            LEFT(halved_ref_json, 4000), NCHAR(9), N' '), NCHAR(10), N' '), NCHAR(13), N' '
        )
    ), 1) = N'{'
);

COMMIT TRANSACTION;
SET XACT_ABORT OFF;
GO

IF OBJECT_ID(N'llm.v_part', N'V') IS NOT NULL
    DROP VIEW llm.v_part;
GO

-- The parts of split jobs and what their runs left, for the run that joins them. Views read with their owner's rights.
CREATE VIEW llm.v_part (
    parent_job_id,
    part_no,
    part_count,
    job_id,
    status,
    error_kind,
    last_error,
    evidence_ref_json,
    run_id,
    model_name,
    definition_sha256,
    evidence_sha256,
    output_json
)
AS
SELECT
    p.parent_job_id,
    p.part_no,
    p.part_count,
    p.job_id,
    p.status,
    p.error_kind,
    p.last_error,
    COALESCE(p.halved_ref_json, p.evidence_ref_json),
    r.run_id,
    r.model_name,
    r.definition_sha256,
    r.evidence_sha256,
    r.output_json
FROM llm.job AS p
LEFT JOIN llm.run AS r
    ON
        p.job_id = r.job_id
        AND r.status = N'SUCCEEDED'
WHERE p.parent_job_id IS NOT NULL;
GO

GRANT SELECT ON llm.v_part TO llm_worker;
GRANT SELECT ON llm.v_part TO llm_reader;
GRANT SELECT ON llm.v_part TO llm_operator;
GO
