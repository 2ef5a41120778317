-- Why a worker claims nothing, while it does not: what it could not use, or what it could not hand in.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.worker', N'not_claiming_why') IS NULL
    ALTER TABLE llm.worker ADD not_claiming_why nvarchar(1000) NULL;
GO
