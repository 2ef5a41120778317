"""Every argument a procedure refuses, by the number that both engines give it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from derive.errors import BadArgument
from derive.models import Job, Worker
from derive.queue import JobQueue
from derive.sql import procedures
from derive.sql.procedures import Procedure
from derive.strict_types import EARLIEST, LATEST
from tests.contract.scenes import KEY, said

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = {"interrogation_key": KEY, "input_json": "{}"}
LONG = "x" * 201
ELEMENT = f'{{"n": 0, "interrogation_key": "{KEY}", "input_json": "{{}}"'
FILE = (
    f'{{"artifact_type": "manifest", "media_type": "text/plain", "content_sha256": "{"ab" * 32}", "byte_count": 1, '
    '"lake_uri": "x"'
)
END = {"job_id": uuid4(), "run_id": uuid4(), "status": "SUCCEEDED"}
REBUILD = {"run_id": uuid4(), "facts_json": "[]", "actor": "ada"}
ONE = {"jobs_json": f'[{{"job_id": "{uuid4()}"}}]', "actor": "ada"}
MANY = "[" + ",".join(f'{{"job_id": "{uuid4()}"}}' for _ in range(501)) + "]"
PURGE = {"finished_before_utc": NOW, "statuses_json": '["FAILED"]', "actor": "ada"}
DEFINITION = {
    "definition_sha256": "ab" * 32,
    "interrogation_key": KEY,
    "version": "1",
    "prompt_template": "p",
    "output_schema_json": "{}",
    "rubric": "r",
}
SEAL = {
    "seal_seq": 1,
    "first_event_seq": 1,
    "last_event_seq": 2,
    "event_count": 2,
    "previous_sha256": "0" * 64,
    "sha256": "ab" * 32,
    "created_utc": NOW,
    "seal_json": "{}",
}
DERIVATION = {"derivation_key": "people", "actor": "tester"}
AGED = {"actor": "ada", "waiting_seconds": 60, "raise_by": 10, "max_priority": 200}
CASE = (
    '"n": 0, "set_name": "s", "case_key": "c", "interrogation_key": "k", "input_json": "{}", "evidence_json": "{}", '
    '"expected_json": "{}"'
)
GATE = {"interrogation_key": "k", "actor": "ada", "set_name": "s", "gates_json": '{"gates": ["f1>=0.9"]}'}
PROMOTION = {"interrogation_key": "k", "version": "1.0.0", "actor": "ada"}
EXPERIMENT = {
    "experiment_id": uuid4(),
    "set_name": "s",
    "batch_id": uuid4(),
    "variants_json": "{}",
    "gates_json": "{}",
    "actor": "ada",
}
BEAT = {"worker_id": "w", "run_ids_json": "[]"}

REFUSED: list[tuple[int, Procedure, dict[str, Any]]] = [
    (1, procedures.CLAIM_NEXT_JOB, {"worker_id": ""}),
    (1, procedures.CLAIM_NEXT_JOB, {"worker_id": "  "}),
    (1, procedures.CLAIM_NEXT_JOB, {"worker_id": None}),
    (1, procedures.HEARTBEAT, {**BEAT, "worker_id": " "}),
    (2, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "lease_seconds": 0}),
    (2, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "lease_seconds": 86_401}),
    (2, procedures.HEARTBEAT, {**BEAT, "lease_seconds": -1}),
    (3, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "max_jobs": 0}),
    (3, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "max_jobs": 1_001}),
    (35, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "except_interrogations_json": ""}),
    (35, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "except_interrogations_json": "{}"}),
    (35, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "except_interrogations_json": "[null]"}),
    (35, procedures.CLAIM_NEXT_JOB, {"worker_id": "w", "except_interrogations_json": '["a", {"b": 1}]'}),
    (19, procedures.SET_SCHEMA_REFUSAL, {"definition_sha256": None}),
    (3, procedures.PROMOTE_DUE_JOBS, {"max_rows": 0}),
    (3, procedures.PROMOTE_DUE_JOBS, {"max_rows": 501}),
    (3, procedures.REAP_EXPIRED_LEASES, {"max_rows": 501}),
    (3, procedures.PURGE_JOBS, {**PURGE, "max_rows": 0}),
    (27, procedures.ROLL_UP_HOURS, {"max_events": 0}),
    (61, procedures.TAKE_DELIVERIES, {"derivation_key": "none"}),
    (61, procedures.FILL_DELIVERIES, {"derivation_key": "none"}),
    (67, procedures.TAKE_DELIVERIES, {"derivation_key": "none", "max_rows": 0}),
    (67, procedures.TAKE_DELIVERIES, {"derivation_key": "none", "max_rows": None}),
    (67, procedures.FILL_DELIVERIES, {"derivation_key": "none", "max_rows": 1_001}),
    (69, procedures.REFUSE_DELIVERY, {"delivery_seq": 1, "why": ""}),
    (69, procedures.REFUSE_DELIVERY, {"delivery_seq": 1, "why": "x" * 1_001}),
    (27, procedures.ROLL_UP_HOURS, {"max_events": 1_000_001}),
    (27, procedures.ROLL_UP_HOURS, {"max_events": None}),
    (30, procedures.RECORD_SEAL, {**SEAL, "seal_seq": 0}),
    (30, procedures.RECORD_SEAL, {**SEAL, "first_event_seq": 3}),
    (30, procedures.RECORD_SEAL, {**SEAL, "event_count": None}),
    (30, procedures.RECORD_SEAL, {**SEAL, "sha256": "AB" * 32}),
    (30, procedures.RECORD_SEAL, {**SEAL, "previous_sha256": "ab"}),
    (30, procedures.RECORD_SEAL, {**SEAL, "seal_json": "[]"}),
    (3, procedures.ESCALATE_AGED_JOBS, {**AGED, "max_rows": 501}),
    (14, procedures.ESCALATE_AGED_JOBS, {**AGED, "actor": " "}),
    (45, procedures.ESCALATE_AGED_JOBS, {**AGED, "waiting_seconds": 0}),
    (45, procedures.ESCALATE_AGED_JOBS, {**AGED, "waiting_seconds": None}),
    (46, procedures.ESCALATE_AGED_JOBS, {**AGED, "raise_by": 0}),
    (46, procedures.ESCALATE_AGED_JOBS, {**AGED, "max_priority": None}),
    (50, procedures.FORGET_WORKERS, {"silent_days": 0}),
    (50, procedures.FORGET_WORKERS, {"silent_days": 36_501}),
    (50, procedures.FORGET_WORKERS, {"silent_days": None}),
    (3, procedures.FORGET_WORKERS, {"max_rows": 0}),
    (3, procedures.FORGET_WORKERS, {"max_rows": 501}),
    (47, procedures.MEASURE_LOADS, {"max_runs": 0}),
    (47, procedures.MEASURE_LOADS, {"max_runs": 100_001}),
    (31, procedures.RECORD_LAKE_DELETIONS, {"deletions_json": "no"}),
    (31, procedures.RECORD_LAKE_DELETIONS, {"deletions_json": None}),
    (31, procedures.RECORD_LAKE_DELETIONS, {"deletions_json": '[{"error": "x"}]'}),
    (14, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "actor": " "}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "experiment_id": None}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "batch_id": None}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "repeats": 0}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "repeats": 101}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "variants_json": "[]"}),
    (57, procedures.OPEN_EXPERIMENT, {**EXPERIMENT, "gates_json": None}),
    (58, procedures.RECORD_EXPERIMENT, {"experiment_id": uuid4(), "result_json": "[]", "is_passed": True}),
    (58, procedures.RECORD_EXPERIMENT, {"experiment_id": uuid4(), "result_json": "{}", "is_passed": None}),
    (14, procedures.SET_GATE, {**GATE, "actor": " "}),
    (4, procedures.SET_GATE, {**GATE, "interrogation_key": " "}),
    (64, procedures.SET_GATE, {**GATE, "set_name": None}),
    (64, procedures.SET_GATE, {**GATE, "set_name": "x" * 201}),
    (64, procedures.SET_GATE, {**GATE, "gates_json": None}),
    (64, procedures.SET_GATE, {**GATE, "gates_json": "[]"}),
    (64, procedures.SET_GATE, {**GATE, "gates_json": "{}"}),
    (64, procedures.SET_GATE, {**GATE, "gates_json": '{"gates": "f1"}'}),
    (64, procedures.SET_GATE, {**GATE, "gates_json": '{"gates": []}'}),
    (14, procedures.PROMOTE_INTERROGATION, {**PROMOTION, "actor": None}),
    (4, procedures.PROMOTE_INTERROGATION, {**PROMOTION, "interrogation_key": "x" * 201}),
    (63, procedures.PROMOTE_INTERROGATION, {**PROMOTION, "version": " "}),
    (63, procedures.PROMOTE_INTERROGATION, {**PROMOTION, "version": "1" * 41}),
    (14, procedures.ROLL_BACK_INTERROGATION, {"interrogation_key": "k", "actor": " "}),
    (4, procedures.ROLL_BACK_INTERROGATION, {"interrogation_key": None, "actor": "ada"}),
    (14, procedures.SAVE_GOLDEN_CASES, {"cases_json": f"[{{{CASE}}}]", "actor": " "}),
    *(
        (56, procedures.SAVE_GOLDEN_CASES, {"cases_json": cases, "actor": "ada"})
        for cases in (
            "",
            "{}",
            "[]",
            "[{" + CASE + "}, {" + CASE + "}]",
            "[{" + CASE + "}, {" + CASE.replace("0", "1") + "}]",
            "[{" + CASE.replace('"s"', '" s"') + "}]",
            "[{" + CASE.replace('"c"', "null") + "}]",
            "[{" + CASE.replace('"{}"', '"[]"', 1) + "}]",
            "[{" + CASE + ', "matching_json": "x"}]',
            "[{" + CASE + ', "from_run_id": "x"}]',
        )
    ),
    (4, procedures.ENQUEUE_JOB, {**JOB, "interrogation_key": " "}),
    (4, procedures.ENQUEUE_JOB, {**JOB, "interrogation_key": None}),
    (4, procedures.ENQUEUE_JOB, {**JOB, "interrogation_key": LONG}),
    (5, procedures.ENQUEUE_JOB, {**JOB, "input_json": "[]"}),
    (5, procedures.ENQUEUE_JOB, {**JOB, "input_json": "{"}),
    (5, procedures.ENQUEUE_JOB, {**JOB, "input_json": ""}),
    (5, procedures.ENQUEUE_JOB, {**JOB, "input_json": None}),
    (5, procedures.ENQUEUE_JOB, {**JOB, "input_json": "3"}),
    (6, procedures.ENQUEUE_JOB, {**JOB, "priority": -1}),
    (6, procedures.REPRIORITIZE_JOBS, {**ONE, "priority": -1}),
    (7, procedures.ENQUEUE_JOB, {**JOB, "max_attempts": 0}),
    (8, procedures.ENQUEUE_JOB, {**JOB, "dedupe_key": " "}),
    (8, procedures.ENQUEUE_JOB, {**JOB, "dedupe_key": "x" * 401}),
    (9, procedures.ENQUEUE_JOB, {**JOB, "evidence_ref_json": "[]"}),
    (10, procedures.ENQUEUE_JOBS, {"jobs_json": "{"}),
    (10, procedures.ENQUEUE_JOBS, {"jobs_json": "{}"}),
    (10, procedures.ENQUEUE_JOBS, {"jobs_json": "[1]"}),
    (10, procedures.ENQUEUE_JOBS, {"jobs_json": None}),
    (10, procedures.ENQUEUE_JOBS, {"jobs_json": f'[{ELEMENT}, "priority": "high"}}]'}),
    (10, procedures.CANCEL_JOBS, {**ONE, "jobs_json": "nonsense"}),
    (11, procedures.COMPLETE_JOB, {**END, "status": "RUNNING"}),
    (11, procedures.COMPLETE_JOB, {**END, "status": "succeeded"}),
    (12, procedures.COMPLETE_JOB, {**END, "run_json": "["}),
    (12, procedures.COMPLETE_JOB, {**END, "artifacts_json": "{}"}),
    (12, procedures.COMPLETE_JOB, {**END, "artifacts_json": '[{"artifact_type": "manifest"}]'}),
    (12, procedures.COMPLETE_JOB, {**END, "run_json": '{"options_json": "[]"}'}),
    (12, procedures.COMPLETE_JOB, {**END, "facts_json": "{}"}),
    (12, procedures.COMPLETE_JOB, {**END, "facts_json": '[{"fact_index": 0}]'}),
    (12, procedures.COMPLETE_JOB, {**END, "status": "FAILED", "facts_json": '[{"fact_index": 0}]'}),
    (12, procedures.REBUILD_FACTS, {**REBUILD, "facts_json": None}),
    (12, procedures.REBUILD_FACTS, {**REBUILD, "facts_json": "{}"}),
    (14, procedures.REBUILD_FACTS, {**REBUILD, "actor": " "}),
    (15, procedures.REBUILD_FACTS, {**REBUILD, "run_id": None}),
    (13, procedures.COMPLETE_JOB, {**END, "status": "FAILED", "retry_after_seconds": -1}),
    (14, procedures.CANCEL_JOBS, {**ONE, "actor": " "}),
    (14, procedures.PURGE_JOBS, {**PURGE, "actor": None}),
    (15, procedures.COMPLETE_JOB, {**END, "job_id": None}),
    (15, procedures.COMPLETE_JOB, {**END, "run_id": None}),
    (15, procedures.RELEASE_JOB, {"run_id": None}),
    (16, procedures.PURGE_JOBS, {**PURGE, "statuses_json": "FAILED"}),
    (16, procedures.PURGE_JOBS, {**PURGE, "statuses_json": '["RUNNING"]'}),
    (17, procedures.PURGE_JOBS, {**PURGE, "finished_before_utc": None}),
    (18, procedures.HEARTBEAT, {**BEAT, "run_ids_json": "no"}),
    (18, procedures.HEARTBEAT, {**BEAT, "run_ids_json": '["no guid"]'}),
    (19, procedures.REGISTER_INTERROGATION, {**DEFINITION, "definition_sha256": "ab"}),
    (19, procedures.REGISTER_INTERROGATION, {**DEFINITION, "output_schema_json": "[]"}),
    (19, procedures.REGISTER_INTERROGATION, {**DEFINITION, "rubric": None}),
    (21, procedures.ENQUEUE_JOB, {**JOB, "model_hint": " "}),
    (21, procedures.SET_MODEL_HINT, {**ONE, "model_hint": LONG}),
    (22, procedures.SET_HOLD, {**ONE, "hold": None}),
    (23, procedures.CANCEL_JOBS, {**ONE, "jobs_json": MANY}),
    (24, procedures.RESCHEDULE_JOBS, {**ONE, "available_utc": None}),
    (29, procedures.STAGE_JOBS, {"stage_id": None}),
    (29, procedures.STAGE_JOBS, {"stage_id": uuid4(), "part_no": None}),
    (29, procedures.PUBLISH_JOBS, {"stage_id": None}),
    (28, procedures.COMPLETE_JOB, {**END, "artifacts_json": f'[{FILE}, "created_utc": "1999-12-31T23:59:59Z"}}]'}),
    (28, procedures.ENQUEUE_JOBS, {"jobs_json": f'[{ELEMENT}, "available_utc": "9001-01-01T00:00:00Z"}}]'}),
    (28, procedures.ENQUEUE_JOBS, {"jobs_json": f'[{ELEMENT}, "available_utc": "0001-01-01T00:00:00+14:00"}}]'}),
]


WITH_A_TIME: list[tuple[Procedure, str, dict[str, Any]]] = [
    (procedures.ENQUEUE_JOB, "available_utc", JOB),
    (procedures.REQUEUE_JOBS, "available_utc", ONE),
    (procedures.RESCHEDULE_JOBS, "available_utc", ONE),
    (procedures.HEARTBEAT, "started_utc", BEAT),
    (procedures.PURGE_JOBS, "finished_before_utc", PURGE),
    (procedures.RECORD_SEAL, "created_utc", SEAL),
    (procedures.ESCALATE_AGED_JOBS, "after_utc", AGED),
    (procedures.SET_DERIVATION, "next_utc", DERIVATION),
    (procedures.SET_DERIVATION, "paced_until_utc", DERIVATION),
]


@pytest.mark.parametrize(
    ("number", "procedure", "arguments"),
    REFUSED,
    ids=[f"{number:03d}-{procedure.name}-{place}" for place, (number, procedure, _) in enumerate(REFUSED)],
)
def test_a_bad_argument_is_refused_by_its_number(
    queue: JobQueue, number: int, procedure: Procedure, arguments: dict[str, Any]
) -> None:
    with pytest.raises(BadArgument) as refused:
        said(procedure, **arguments)
    assert refused.value.number == number
    assert procedure.name in str(refused.value)
    assert Job.objects.count() == 0


def test_every_parameter_that_is_a_time_is_listed_here() -> None:
    times = {(one.name, name) for one in procedures.PROCEDURES for name in one.parameters if name.endswith("_utc")}
    assert {(procedure.name, name) for procedure, name, _ in WITH_A_TIME} == times


@pytest.mark.parametrize(("procedure", "name", "arguments"), WITH_A_TIME)
@pytest.mark.parametrize("moment", [EARLIEST - timedelta(microseconds=1), LATEST + timedelta(microseconds=1)])
def test_a_time_outside_the_years_2000_to_9000_is_refused(
    queue: JobQueue, procedure: Procedure, name: str, arguments: dict[str, Any], moment: datetime
) -> None:
    with pytest.raises(BadArgument, match=name) as refused:
        said(procedure, **{**arguments, name: moment})
    assert refused.value.number == 28
    assert not Job.objects.exists()
    assert not Worker.objects.exists()


@pytest.mark.parametrize(("procedure", "name", "arguments"), WITH_A_TIME)
@pytest.mark.parametrize("moment", [EARLIEST, LATEST])
def test_the_first_and_the_last_moment_are_taken(
    queue: JobQueue, procedure: Procedure, name: str, arguments: dict[str, Any], moment: datetime
) -> None:
    said(procedure, **{**arguments, name: moment})


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "294276-12-31", "4713-01-01 BC"])
@pytest.mark.parametrize(("procedure", "name", "arguments"), WITH_A_TIME)
def test_a_time_that_only_one_engine_can_store_is_refused(
    queue: JobQueue, procedure: Procedure, name: str, arguments: dict[str, Any], moment: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a parameter of SQL Server's cannot hold it")
    with pytest.raises(BadArgument) as refused:
        said(procedure, **{**arguments, name: moment})
    assert refused.value.number == 28


def test_a_bad_argument_leaves_the_connection_usable(queue: JobQueue) -> None:
    with pytest.raises(BadArgument):
        said(procedures.CLAIM_NEXT_JOB, worker_id="")
    assert queue.claim("w") == []


def test_a_refusal_does_not_repeat_the_input(queue: JobQueue) -> None:
    with pytest.raises(BadArgument) as refused:
        said(procedures.ENQUEUE_JOB, **{**JOB, "input_json": '["a secret"'})
    assert "secret" not in str(refused.value)
