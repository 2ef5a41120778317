"""Secrets planted in the settings and in the evidence, and then looked for wherever something is kept or said."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holocron.settings import BASE_DIR
from tests import forked
from tests.acceptance.worker_processes import SECRET_KEY, ProcessWorld
from tests.fake_ollama import behaviours
from tests.own_postgres import PASSWORD

MODEL_KEY = "canary-in-the-key-of-the-model"
IN_SETTINGS = (SECRET_KEY[:30], PASSWORD, MODEL_KEY)
IN_EVIDENCE = "sk-CANARY0123456789abcdefghijklmnop"
PASSAGE = f"Tala Venn was born on Corvessa. Her key is {IN_EVIDENCE}."


def evidence(**members: Any) -> str:
    envelope = {"entity_type": "character", "entity_id": "tala-venn"}
    items = [{"evidence_id": "e1", "source_uri": f"http://ada:{IN_EVIDENCE}@127.0.0.1/1", "text": PASSAGE}]
    return json.dumps(envelope | {"extra_params": {"evidence": items}} | members)


def refs(*items: dict[str, Any]) -> str:
    return json.dumps({"items": items})


def everything_in_sql(world: ProcessWorld) -> Iterator[tuple[str, str]]:
    """Each column that holds text, of every table in ``llm`` and of Django's own, with all that stands in it."""
    columns = world.sql(
        "SELECT table_schema AS s, table_name AS t, column_name AS c FROM information_schema.columns "
        "WHERE table_schema IN ('llm', 'public') AND data_type IN ('text', 'character varying')"
    )
    for column in columns:
        where = '"{s}"."{t}"'.format(**column)
        rows = world.sql(f'SELECT "{column["c"]}" AS value FROM {where}')
        yield f"{column['t']}.{column['c']}", "\n".join(str(row["value"]) for row in rows)


def everything_in_files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes().decode("utf-8", "replace")


def said_by(world: ProcessWorld, *arguments: str, **variables: str) -> str:
    done = forked.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env={**os.environ, **world.environment, **variables},
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.fixture
def worked(world: ProcessWorld) -> ProcessWorld:
    """Runs that went well and runs that failed in many ways, by a worker whose settings hold secrets."""
    jobs = [world.enqueue(input_json=evidence(), max_attempts=1)]
    for behaviour in (
        behaviours.crashed(),
        behaviours.wrong_quote("e1"),
        behaviours.not_json_content(),
        behaviours.ends_early(),
        # A proxy that repeats what it refuses; the run is given back, and made again.
        behaviours.status(401, f"Bearer {MODEL_KEY} is unknown"),
    ):
        world.fake.next(behaviour)
        jobs.append(world.enqueue(input_json=evidence(), max_attempts=1))
    jobs.append(world.enqueue(input_json=evidence(surplus=IN_EVIDENCE), max_attempts=1))
    jobs.append(world.enqueue(evidence_ref_json=refs({"evidence_id": "e2", "text": PASSAGE}), max_attempts=1))
    jobs.append(world.enqueue(evidence_ref_json=refs({"surplus": PASSAGE}), max_attempts=1))
    jobs.append(world.enqueue(input_json=evidence(entity_type=IN_EVIDENCE), max_attempts=1))
    limits = ("--max-jobs", str(len(jobs) + 1), "--poll-seconds", "0.1")
    process = world.worker("--loop", *limits, "--verbose", OLLAMA_API_KEY=MODEL_KEY)
    assert process.exit_code() == 0, process.said()
    ended = {world.job(job_id)["status"] for job_id in jobs}
    assert ended == {"SUCCEEDED", "FAILED", "DEADLETTER"}
    return world


def test_a_secret_of_the_settings_is_written_nowhere(worked: ProcessWorld) -> None:
    assert {chat.headers["authorization"] for chat in worked.fake.chats} == {f"Bearer {MODEL_KEY}"}
    nowhere = f"postgresql://holocron:{PASSWORD}@127.0.0.1:1/holocron"
    outputs = [
        ("the list of jobs", said_by(worked, "inspect_jobs", "--list", "--json")),
        ("a database that is away", said_by(worked, "run_llm_worker", "--once", DATABASE_URL=nowhere)),
        ("a key that cannot be sent", said_by(worked, "run_llm_worker", "--once", OLLAMA_API_KEY=f"{MODEL_KEY} ")),
        (
            "a model server that is away",
            said_by(worked, "run_llm_worker", "--once", OLLAMA_BASE_URL=f"http://ada:{MODEL_KEY}@127.0.0.1:1"),
        ),
        ("a lake that is none", said_by(worked, "verify_runs", LAKE_URL=f"s3://ada:{PASSWORD}@")),
    ]
    for where, text in (*everything_in_files(worked.folder), *everything_in_sql(worked), *outputs):
        for secret in IN_SETTINGS:
            assert secret not in text, where


def test_a_secret_of_the_evidence_is_written_only_where_the_job_itself_is_kept(worked: ProcessWorld) -> None:
    kept = {where for where, text in everything_in_sql(worked) if IN_EVIDENCE in text}
    assert kept == {"job.input_json", "job.evidence_ref_json"}
    for where, text in everything_in_files(worked.folder):
        assert IN_EVIDENCE not in text, where
    assert all(IN_EVIDENCE.encode() not in chat.body for chat in worked.fake.chats)
    (succeeded, *_) = worked.sql("SELECT run_id FROM llm.run WHERE status = 'SUCCEEDED'")
    for form in (("--format", "jsonl"), ("--format", "csv", "--facts")):
        exported = said_by(worked, "export_outputs", "-", *form)
        assert str(succeeded["run_id"]) in exported
        assert IN_EVIDENCE not in exported, form
