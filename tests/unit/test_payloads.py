import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

from derive.contracts import ArtifactFacts, JobInput, JobRef, RunFacts
from derive.sql import payloads
from derive.states import JobStatus

GUID = UUID("0a0a0a0a-0b0b-0c0c-0d0d-0e0e0e0e0e0e")
NASTY = '{"a": "quote \\" backslash \\\\ \\u00e4 ä€🚀 </script> \\n"}'


def test_a_batch_numbers_its_jobs_and_gives_each_an_id() -> None:
    jobs = [
        JobInput(interrogation_key="k", input_json="{}"),
        JobInput(interrogation_key="k", input_json="{}", job_id=GUID),
    ]
    first, second = json.loads(payloads.jobs_json(jobs))
    assert (first["n"], second["n"]) == (0, 1)
    assert UUID(first["job_id"]).version == 4
    assert second["job_id"] == str(GUID)


def test_a_job_in_a_batch_has_all_its_values() -> None:
    job = JobInput(
        interrogation_key='k"ä',
        input_json=NASTY,
        available_utc=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        repeats_run_id=GUID,
        dedupe_key="d\\",
        job_id=uuid4(),
    )
    (element,) = json.loads(payloads.jobs_json([job]))
    del element["n"]
    assert JobInput(**element) == job
    assert element["available_utc"] == "2026-01-02T03:04:05.678901Z"
    assert "evidence_ref_json" not in element


def test_no_jobs_are_an_empty_array() -> None:
    assert payloads.jobs_json([]) == payloads.refs_json([]) == payloads.run_ids_json([]) == "[]"


def test_a_job_is_named_with_the_state_expected_of_it() -> None:
    text = payloads.refs_json([JobRef(job_id=GUID), JobRef(job_id=GUID, expected_status=JobStatus.NEW)])
    assert json.loads(text) == [{"job_id": str(GUID)}, {"job_id": str(GUID), "expected_status": "NEW"}]


def test_a_runs_json_members_stay_text() -> None:
    run = RunFacts(output_json=NASTY, prompt_tokens=3)
    assert json.loads(payloads.run_json(run)) == {"output_json": NASTY, "prompt_tokens": 3}


def test_artifacts_use_the_names_of_the_columns() -> None:
    artifact = ArtifactFacts(
        artifact_id=GUID,
        artifact_type="manifest",
        media_type="application/json",
        content_sha256="ab" * 32,
        byte_count=2,
        lake_uri="llm_runs/x",
    )
    (element,) = json.loads(payloads.artifacts_json((artifact,)))
    assert element == {**artifact.model_dump(), "artifact_id": str(GUID)}
