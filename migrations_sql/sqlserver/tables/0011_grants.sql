-- Who may read what. Nobody but the owner writes a table: changes go through the procedures, which grant themselves.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

GRANT SELECT ON llm.schema_script TO llm_worker;
GRANT SELECT ON llm.interrogation TO llm_worker;
GRANT SELECT ON llm.run TO llm_worker;
GRANT SELECT ON llm.artifact TO llm_worker;
GO

GRANT SELECT ON llm.schema_script TO llm_operator;
GRANT SELECT ON llm.job TO llm_operator;
GRANT SELECT ON llm.run TO llm_operator;
GRANT SELECT ON llm.artifact TO llm_operator;
GRANT SELECT ON llm.job_event TO llm_operator;
GRANT SELECT ON llm.worker TO llm_operator;
GRANT SELECT ON llm.interrogation TO llm_operator;
GRANT SELECT ON llm.lake_deletion TO llm_operator;
GO

GRANT SELECT ON llm.schema_script TO llm_reader;
GRANT SELECT ON llm.job TO llm_reader;
GRANT SELECT ON llm.run TO llm_reader;
GRANT SELECT ON llm.artifact TO llm_reader;
GRANT SELECT ON llm.job_event TO llm_reader;
GRANT SELECT ON llm.worker TO llm_reader;
GRANT SELECT ON llm.interrogation TO llm_reader;
GRANT SELECT ON llm.lake_deletion TO llm_reader;
GO
