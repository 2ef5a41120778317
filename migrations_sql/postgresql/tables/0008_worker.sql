-- Workers as their heartbeats tell of them. A few rows, rewritten every few seconds: HOT, in a loosely filled page.
CREATE TABLE IF NOT EXISTS llm.worker (
    worker_id varchar(200) COLLATE "C" NOT NULL,
    host varchar(200) COLLATE "C" NULL,
    pid integer NULL,
    version varchar(100) COLLATE "C" NULL,
    started_utc timestamptz NULL,
    last_seen_utc timestamptz NOT NULL,
    concurrency integer NULL,
    active_runs integer NOT NULL DEFAULT 0,
    stopping boolean NOT NULL DEFAULT FALSE,
    CONSTRAINT pk_worker PRIMARY KEY (worker_id),
    CONSTRAINT ck_worker_active_runs CHECK (active_runs >= 0)
) WITH (fillfactor = 50);
