-- llm.usp_purge_jobs: deletes up to max_rows ended jobs with their runs, artifact rows, facts, reviews and events,
--   the oldest first.
-- Promises: only jobs that ended before finished_before_utc in one of the named states, never a held one, one whose run
--   a live job will repeat, nor one whose answer a derivation uses.
--   A job and its parts go together, and count as one. llm.lake_deletion then lists what to delete from the lake: every
--   file, and the folder of a run that recorded none. An event 'purged' of each job remains, and says who and why.
--   Returns a row per file
--   (lake_uri null: the job has none). A dry run returns the same and changes nothing.
--   Jobs that the hours have not counted (usp_roll_up_hours) are not deleted: they are counted first, in one step, and
--   a job that is still not counted is left for the next call. So none is deleted while a transaction with older
--   events stays open. A dry run, which counts nothing, answers as if all were counted. Batches keep the purged
--   jobs in their counts.
-- Called by: maintainers and the purge schedule.
-- Locks: the jobs, SKIP LOCKED; the counting's, not waited for. Every writer of the jobs' runs, artifacts and events
--   locks the job before, so these have no other holder, and go in the order that the foreign keys want. Before any
--   fact the slots of their entities, in order: whoever stores facts may be about to say that these are superseded.
CALL llm.drop_procedure('usp_purge_jobs');

CREATE TYPE llm.usp_purge_jobs_result AS (
    job_id uuid,
    lake_uri varchar(400)
);

CREATE FUNCTION llm.usp_purge_jobs(
    finished_before_utc timestamptz,
    statuses_json text,
    actor text,
    max_rows integer DEFAULT 500,
    dry_run boolean DEFAULT FALSE,
    reason text DEFAULT NULL
)
RETURNS SETOF llm.usp_purge_jobs_result
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan  -- plan once per connection, not per call
SET enable_seqscan = off  -- a plan made while the tables are small is kept, so use the indexes from the start
SET enable_bitmapscan = off  -- and in ix_job_purgeable's order, which a sort would read to its end
SET enable_sort = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_actor text := llm.read_actor(usp_purge_jobs.actor);
    v_statuses text[];
    v_job_ids uuid[];
    v_parts uuid[];
    v_uncounted uuid[];
    v_tombstones bigint[];
    v_sets llm.fact_set[];
    v_set llm.fact_set;
BEGIN
    IF usp_purge_jobs.finished_before_utc IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HC017', MESSAGE = 'finished_before_utc is missing';
    END IF;
    IF usp_purge_jobs.finished_before_utc NOT BETWEEN '2000-01-01 00:00:00+00' AND '9000-12-31 23:59:59.999999+00' THEN
        RAISE EXCEPTION USING ERRCODE = 'HC028', MESSAGE = 'finished_before_utc is not in the years 2000 to 9000';
    END IF;
    IF coalesce(usp_purge_jobs.max_rows NOT BETWEEN 1 AND 500, TRUE) THEN
        RAISE EXCEPTION USING ERRCODE = 'HC003', MESSAGE = 'max_rows is not between 1 and 500';
    END IF;
    BEGIN
        v_statuses := ARRAY(SELECT s FROM json_array_elements_text(usp_purge_jobs.statuses_json::json) AS s);
    EXCEPTION
        WHEN data_exception THEN
            RAISE EXCEPTION USING ERRCODE = 'HC016', MESSAGE = 'statuses_json is malformed: ' || SQLERRM;
    END;
    IF usp_purge_jobs.statuses_json IS NULL
        OR v_statuses = '{}'
        OR array_position(v_statuses, NULL) IS NOT NULL
        OR NOT v_statuses <@ ARRAY['SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED']
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'HC016',
            MESSAGE = 'statuses_json is not an array of SUCCEEDED, FAILED, DEADLETTER, CANCELLED';
    END IF;

    -- A dry run uses the same statement; its locks end with its transaction. Takes the oldest of each state, then the
    -- oldest of all, so that kept jobs are not read, however many there are.
    v_job_ids := ARRAY(
        SELECT old.job_id
        FROM (SELECT DISTINCT s.status FROM unnest(v_statuses) AS s (status)) AS named
        CROSS JOIN LATERAL (
            SELECT j.job_id, j.finished_utc, j.job_seq
            FROM llm.job AS j
            WHERE j.status = named.status
                AND j.finished_utc < usp_purge_jobs.finished_before_utc
                AND j.hold_utc IS NULL
                AND j.parent_job_id IS NULL
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.run AS r
                    JOIN llm.job AS again ON again.repeats_run_id = r.run_id
                    WHERE r.job_id = j.job_id
                        AND again.status NOT IN ('SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.subject AS used
                    WHERE used.answer_job_id = j.job_id AND used.state <> 'RETIRED'
                )
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.subject AS asked
                    WHERE asked.job_id = j.job_id AND asked.state = 'QUEUED'
                )
                -- A part that is held, or whose run a live job will repeat, keeps all of its job.
                AND NOT EXISTS (
                    SELECT 1
                    FROM llm.job AS p
                    WHERE p.parent_job_id = CASE WHEN j.part_count IS NOT NULL THEN j.job_id END
                        AND (
                            p.hold_utc IS NOT NULL
                            OR EXISTS (
                                SELECT 1
                                FROM llm.run AS r
                                JOIN llm.job AS again ON again.repeats_run_id = r.run_id
                                WHERE r.job_id = p.job_id
                                    AND again.status NOT IN ('SUCCEEDED', 'FAILED', 'DEADLETTER', 'CANCELLED')
                            )
                        )
                )
            ORDER BY j.finished_utc, j.job_seq
            LIMIT usp_purge_jobs.max_rows
            FOR UPDATE OF j SKIP LOCKED
        ) AS old
        ORDER BY old.finished_utc, old.job_seq
        LIMIT usp_purge_jobs.max_rows
    );

    -- Nobody makes a part unfinished but who holds its parent.
    v_parts := ARRAY(
        SELECT p.job_id
        FROM unnest(v_job_ids) WITH ORDINALITY AS chosen (job_id, place)
        JOIN llm.job AS j ON j.job_id = chosen.job_id
        JOIN llm.job AS p ON p.parent_job_id = CASE WHEN j.part_count IS NOT NULL THEN j.job_id END
        ORDER BY chosen.place, p.part_no
    );
    IF v_parts <> '{}' THEN
        PERFORM 1 FROM unnest(v_parts) AS s (job_id) JOIN llm.job AS p ON p.job_id = s.job_id FOR UPDATE OF p;
        v_job_ids := v_job_ids || v_parts;
    END IF;

    IF NOT coalesce(usp_purge_jobs.dry_run, FALSE) THEN
        -- Writing an event requires the lock on its job, so these jobs have all of their events.
        IF EXISTS (
            SELECT 1
            FROM unnest(v_job_ids) AS chosen (job_id)
            JOIN llm.job_event AS e ON e.job_id = chosen.job_id
            WHERE e.event_seq > coalesce(
                (SELECT m.event_seq FROM llm.stat_mark AS m WHERE m.stat_name = 'stat_hour'), 0
            )
        )
        THEN
            PERFORM llm.usp_roll_up_hours(with_answer => FALSE);
        END IF;
        v_uncounted := ARRAY(
            SELECT coalesce(j.parent_job_id, j.job_id)
            FROM unnest(v_job_ids) AS chosen (job_id)
            JOIN llm.job AS j ON j.job_id = chosen.job_id
            WHERE EXISTS (
                SELECT 1
                FROM llm.job_event AS e
                WHERE e.job_id = chosen.job_id
                    AND e.event_seq > coalesce(
                        (SELECT m.event_seq FROM llm.stat_mark AS m WHERE m.stat_name = 'stat_hour'), 0
                    )
            )
        );
        IF v_uncounted <> '{}' THEN
            v_job_ids := ARRAY(
                SELECT chosen.job_id
                FROM unnest(v_job_ids) WITH ORDINALITY AS chosen (job_id, place)
                JOIN llm.job AS j ON j.job_id = chosen.job_id
                WHERE coalesce(j.parent_job_id, j.job_id) <> ALL (v_uncounted)
                ORDER BY chosen.place
            );
        END IF;
    END IF;

    RETURN QUERY
    SELECT chosen.job_id, file.lake_uri
    FROM unnest(v_job_ids) WITH ORDINALITY AS chosen (job_id, place)
    LEFT JOIN LATERAL (
        SELECT a.lake_uri, a.artifact_seq
        FROM llm.run AS r
        JOIN llm.artifact AS a ON a.run_id = r.run_id
        WHERE r.job_id = chosen.job_id
    ) AS file ON TRUE
    ORDER BY chosen.place, file.artifact_seq;
    IF coalesce(usp_purge_jobs.dry_run, FALSE) THEN
        RETURN;
    END IF;

    INSERT INTO llm.lake_deletion (job_id, run_id, lake_uri, requested_utc, requested_by, reason)
    SELECT r.job_id, a.run_id, a.lake_uri, clock_timestamp(), v_actor, usp_purge_jobs.reason
    FROM llm.run AS r
    JOIN llm.artifact AS a ON a.run_id = r.run_id
    WHERE r.job_id = ANY (v_job_ids)
    ORDER BY a.artifact_seq;

    -- Between claim and completion, a run may have written files without rows.
    INSERT INTO llm.lake_deletion (job_id, run_id, lake_uri, requested_utc, requested_by, reason)
    SELECT
        r.job_id, r.run_id,
        'llm_runs/' || to_char(r.started_utc AT TIME ZONE 'UTC', 'YYYY/MM/DD') || '/' || r.run_id::text,
        clock_timestamp(), v_actor, usp_purge_jobs.reason
    FROM llm.run AS r
    WHERE r.job_id = ANY (v_job_ids)
        AND NOT EXISTS (SELECT 1 FROM llm.artifact AS a WHERE a.run_id = r.run_id)
    ORDER BY r.run_seq;

    WITH left_behind AS (
        INSERT INTO llm.job_event (job_id, at_utc, event, from_status, to_status, actor, reason, detail_json)
        SELECT
            j.job_id, clock_timestamp(), 'purged', j.status, j.status, v_actor, usp_purge_jobs.reason,
            format(
                '{"runs": %s, "artifacts": %s, "facts": %s}',
                (SELECT count(*) FROM llm.run AS r WHERE r.job_id = j.job_id),
                (
                    SELECT count(*)
                    FROM llm.run AS r
                    JOIN llm.artifact AS a ON a.run_id = r.run_id
                    WHERE r.job_id = j.job_id
                ),
                (
                    SELECT count(*)
                    FROM llm.run AS r
                    JOIN llm.fact AS f ON f.run_id = r.run_id
                    WHERE r.job_id = j.job_id
                )
            )
        FROM unnest(v_job_ids) WITH ORDINALITY AS chosen (job_id, place)
        JOIN llm.job AS j ON j.job_id = chosen.job_id
        RETURNING event_seq
    )
    SELECT array_agg(left_behind.event_seq) INTO v_tombstones FROM left_behind;

    -- Whoever counts a batch sees all of this or nothing of it.
    INSERT INTO llm.batch_count (batch_id, status, error_kind, is_purged, jobs)
    SELECT gone.batch_id, gone.status, gone.error_kind, side.is_purged, gone.jobs * side.factor
    FROM (
        SELECT j.batch_id, j.status, coalesce(j.error_kind, '') AS error_kind, count(*) AS jobs
        FROM llm.job AS j
        WHERE j.job_id = ANY (v_job_ids) AND j.batch_id IS NOT NULL AND j.parent_job_id IS NULL
        GROUP BY j.batch_id, j.status, coalesce(j.error_kind, '')
    ) AS gone
    CROSS JOIN (VALUES (TRUE, 1), (FALSE, -1)) AS side (is_purged, factor);

    v_sets := ARRAY(
        SELECT s
        FROM llm.run AS r
        JOIN llm.fact_set AS s ON s.run_id = r.run_id
        WHERE r.job_id = ANY (v_job_ids)
    );
    IF v_sets <> '{}' THEN
        PERFORM 1
        FROM llm.entity_lock AS l
        WHERE l.slot IN (SELECT llm.entity_slot(s.entity_type, s.entity_id) FROM unnest(v_sets) AS s)
        ORDER BY l.slot
        FOR NO KEY UPDATE;

        DELETE FROM llm.fact_review AS w WHERE w.run_id IN (SELECT s.run_id FROM unnest(v_sets) AS s);

        DELETE FROM llm.fact AS f WHERE f.run_id IN (SELECT s.run_id FROM unnest(v_sets) AS s);

        DELETE FROM llm.fact_set AS gone USING unnest(v_sets) AS s WHERE gone.run_id = s.run_id;

        -- If an older run of the same kind remains, it is now the newest.
        FOR v_set IN
            SELECT DISTINCT ON (s.entity_id, s.entity_type, s.interrogation_key, s.evidence_sha256) s.*
            FROM unnest(v_sets) AS s
            JOIN llm.fact_set AS older
                ON older.entity_id = s.entity_id
                AND older.entity_type = s.entity_type
                AND older.interrogation_key = s.interrogation_key
                AND older.evidence_sha256 = s.evidence_sha256
                AND older.run_seq < s.run_seq
        LOOP
            PERFORM llm.settle_facts(
                NULL, v_set.interrogation_key, v_set.entity_type, v_set.entity_id, v_set.evidence_sha256
            );
        END LOOP;
    END IF;

    DELETE FROM llm.artifact AS a
    USING llm.run AS r
    WHERE r.job_id = ANY (v_job_ids) AND a.run_id = r.run_id;

    DELETE FROM llm.run AS r WHERE r.job_id = ANY (v_job_ids);

    DELETE FROM llm.job_event AS e WHERE e.job_id = ANY (v_job_ids) AND e.event_seq <> ALL (v_tombstones);

    DELETE FROM llm.job AS j WHERE j.job_id = ANY (v_job_ids);
END;
$$;

CALL llm.grant_procedure('usp_purge_jobs', 'llm_operator');
