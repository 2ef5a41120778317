-- Answers into tables of the user's own. A derivation may declare a target; llm.delivery is its outbox: a row for each
-- change of a subject's answer in use. Whoever delivers takes rows and writes the target in one transaction.
SET ANSI_NULLS ON;
SET QUOTED_IDENTIFIER ON;
GO

IF COL_LENGTH(N'llm.derivation', N'target_json') IS NULL
BEGIN
    ALTER TABLE llm.derivation ADD target_json nvarchar(MAX) COLLATE Latin1_General_100_BIN2 NULL;
END;
-- All subjects are to be delivered, since the target is another than before: those after this subject_seq still are.
IF COL_LENGTH(N'llm.derivation', N'fill_after_seq') IS NULL
BEGIN
    ALTER TABLE llm.derivation ADD fill_after_seq bigint NULL;
END;
GO

SET XACT_ABORT ON;
IF OBJECT_ID(N'llm.delivery', N'U') IS NULL
BEGIN
    BEGIN TRANSACTION;

    CREATE TABLE llm.delivery (
        delivery_seq bigint IDENTITY (1, 1) NOT NULL,
        derivation_seq bigint NOT NULL,
        subject_seq bigint NOT NULL,
        queued_utc datetime2(6) NOT NULL CONSTRAINT df_delivery_queued_utc DEFAULT (SYSUTCDATETIME()),
        -- The target refused this subject's row: it waits for the subject's next change, and is not tried until then.
        refused_utc datetime2(6) NULL,
        why nvarchar(1000) COLLATE Latin1_General_100_BIN2 NULL,
        CONSTRAINT pk_delivery PRIMARY KEY CLUSTERED (delivery_seq)
    );

    CREATE NONCLUSTERED INDEX ix_delivery_waiting ON llm.delivery (derivation_seq, delivery_seq)
    INCLUDE (subject_seq)
    WHERE refused_utc IS NULL;
    CREATE NONCLUSTERED INDEX ix_delivery_refused ON llm.delivery (derivation_seq, subject_seq)
    WHERE refused_utc IS NOT NULL;

    COMMIT TRANSACTION;
END;
SET XACT_ABORT OFF;
GO

GRANT SELECT ON llm.delivery TO llm_operator;
GRANT SELECT ON llm.delivery TO llm_reader;
GO
