-- A definition whose output schema the model server refuses: since when, and what the server says. Workers claim none
-- of its jobs until that is cleared, or a new version takes its place.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.interrogation', N'refused_utc') IS NULL
    ALTER TABLE llm.interrogation ADD refused_utc datetime2(6) NULL, refused_why nvarchar(MAX) NULL;
GO
