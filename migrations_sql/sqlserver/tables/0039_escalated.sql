-- When an escalation policy last raised a job's priority. In no index: it is judged at the job's own row.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.job', N'escalated_utc') IS NULL
    ALTER TABLE llm.job ADD escalated_utc datetime2(6) NULL;
GO
