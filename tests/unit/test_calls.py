"""What is sent for each call: it must fit the procedures of an engine that is not there to try it on."""

import re
from pathlib import Path

import pytest

from derive.sql import procedures
from derive.sql.calls import render_call
from derive.sql.procedures import PROCEDURES, Procedure
from derive.sql.scripts import SCRIPTS_FOLDER
from derive.sql.tables import Engine

HEADER = re.compile(
    r"CREATE\s+OR\s+ALTER\s+PROCEDURE\s+llm\.(?P<name>\w+)\s*(?P<parameters>.*?)\n(?:WITH\s[^\n]*\n)?AS\s*\n",
    re.IGNORECASE | re.DOTALL,
)
PARAMETER = re.compile(r"@(?P<name>\w+)\s+\w+\s*(?:\([^)]*\))?\s*(?P<default>=)?")
COMMENT = re.compile(r"--[^\n]*")

OPTIONAL: dict[str, set[str]] = {
    "usp_enqueue_job": set(procedures.ENQUEUE_JOB.parameters) - {"interrogation_key", "input_json"},
    "usp_enqueue_jobs": {"actor", "reason", "batch_id", "with_answer"},
    "usp_stage_jobs": {"part_no", "jobs_json"},
    "usp_publish_jobs": {"actor", "reason", "batch_id"},
    "usp_open_batch": set(procedures.OPEN_BATCH.parameters) - {"name"},
    "usp_set_batch": set(procedures.SET_BATCH.parameters) - {"batch_id", "actor"},
    "usp_mark_batch_jobs": {"max_rows"},
    "usp_sweep_batches": {"max_batches", "actor"},
    "usp_set_derivation": set(procedures.SET_DERIVATION.parameters) - {"derivation_key", "actor"},
    "usp_set_subjects": {"jobs_json", "batch_id", "reason"},
    "usp_settle_subjects": {"max_events"},
    "usp_split_job": {"run_json", "artifacts_json", "error", "error_kind"},
    "usp_take_deliveries": {"max_rows"},
    "usp_fill_deliveries": {"max_rows", "restart"},
    "usp_refuse_delivery": set(),
    "usp_join_due_jobs": {"max_rows", "actor"},
    "usp_claim_next_job": set(procedures.CLAIM_NEXT_JOB.parameters) - {"worker_id"},
    "usp_set_model": set(procedures.SET_MODEL.parameters) - {"model", "actor"},
    "usp_measure_loads": {"max_runs"},
    "usp_forget_workers": {"silent_days", "max_rows"},
    "usp_escalate_aged_jobs": set(procedures.ESCALATE_AGED_JOBS.parameters)
    - {"actor", "waiting_seconds", "raise_by", "max_priority"},
    "usp_heartbeat": set(procedures.HEARTBEAT.parameters) - {"worker_id", "run_ids_json"},
    "usp_complete_job": set(procedures.COMPLETE_JOB.parameters) - {"job_id", "run_id", "status"},
    "usp_complete_jobs": set(),
    "usp_rebuild_facts": set(),
    "usp_claim_facts": set(procedures.CLAIM_FACTS.parameters) - {"actor"},
    "usp_set_review_policy": {"sample_percent", "reviewers", "reason"},
    "usp_save_golden_cases": {"replaces"},
    "usp_open_experiment": {"repeats", "reason"},
    "usp_record_experiment": set(),
    "usp_set_gate": {"set_name", "gates_json", "reason"},
    "usp_release_job": {"reason"},
    "usp_promote_due_jobs": {"max_rows"},
    "usp_reap_expired_leases": {"max_rows", "actor"},
    "usp_roll_up_hours": {"max_events", "with_answer"},
    "usp_requeue_jobs": {"available_utc", "reason"},
    "usp_register_interrogation": set(),
    "usp_purge_jobs": {"max_rows", "dry_run", "reason"},
    "usp_seal_horizon": set(),
    "usp_record_seal": set(),
    "usp_mark_seal_stored": set(),
    "usp_record_lake_deletions": set(),
    "usp_settle_lake": {"lake_id", "replaces"},
    "usp_set_schema_refusal": {"why"},
}


def declared_parameters(path: Path) -> dict[str, bool]:
    """Return the parameters of a procedure's script in order, each with whether it has a default."""
    headers = HEADER.finditer(COMMENT.sub("", path.read_text(encoding="utf-8")))
    (header,) = (found for found in headers if found["name"] == path.stem)
    return {match["name"]: bool(match["default"]) for match in PARAMETER.finditer(header["parameters"])}


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
def test_the_calls_for_sql_server_fit_the_procedures_parameters(procedure: Procedure) -> None:
    declared = declared_parameters(SCRIPTS_FOLDER / Engine.SQLSERVER / "procedures" / f"{procedure.name}.sql")
    assert tuple(declared) == procedure.parameters
    optional = {name for name, has_default in declared.items() if has_default}
    assert optional == OPTIONAL.get(procedure.name, {"reason"})


@pytest.mark.parametrize("engine", Engine)
def test_every_procedure_of_the_tree_is_known_to_the_queue(engine: Engine) -> None:
    names = {path.stem for path in (SCRIPTS_FOLDER / engine / "procedures").glob("usp_*.sql")}
    assert names == {procedure.name for procedure in PROCEDURES}


def test_a_call_names_only_the_parameters_given() -> None:
    names = ("worker_id", "max_jobs")
    assert render_call(Engine.SQLSERVER, procedures.CLAIM_NEXT_JOB, names) == (
        "EXEC llm.usp_claim_next_job @worker_id = %s, @max_jobs = %s"
    )
    sql = render_call(Engine.POSTGRESQL, procedures.CLAIM_NEXT_JOB, names)
    assert sql.endswith(" FROM llm.usp_claim_next_job(worker_id => %s, max_jobs => %s)")
    assert sql.startswith("SELECT job_id, run_id, attempt, ")


def test_a_null_needs_no_type_on_sql_server() -> None:
    names, nulls = ("jobs_json", "actor", "model_hint"), frozenset({"model_hint"})
    assert render_call(Engine.SQLSERVER, procedures.SET_MODEL_HINT, names, nulls) == (
        "EXEC llm.usp_set_model_hint @jobs_json = %s, @actor = %s, @model_hint = NULL"
    )


@pytest.mark.parametrize("engine", Engine)
def test_a_parameter_that_the_procedure_does_not_have_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="no parameter nonsense"):
        render_call(engine, procedures.CLAIM_NEXT_JOB, ("worker_id", "nonsense"))


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
def test_no_call_holds_what_the_backends_rewrite(procedure: Procedure) -> None:
    """mssql-django numbers the parameters of SQL that holds GROUP BY anew; a lone % would be taken for one."""
    for engine in Engine:
        sql = render_call(engine, procedure, procedure.parameters)
        assert "GROUP BY" not in sql
        assert sql.count("%") == sql.count("%s") == len(procedure.parameters)


THROW = re.compile(r"THROW\s+51(?P<number>\d{3}),\s*(?P<message>N'[^']*'|@message)")


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.name)
def test_every_error_that_sql_server_throws_begins_with_its_code(procedure: Procedure) -> None:
    """The driver mssql_python tells the text of an error and not its number."""
    text = (SCRIPTS_FOLDER / Engine.SQLSERVER / "procedures" / f"{procedure.name}.sql").read_text(encoding="utf-8")
    for thrown in THROW.finditer(text):
        message = thrown["message"]
        if message == "@message":
            assert f"N'HC{thrown['number']}: " in text
        else:
            assert message.startswith(f"N'HC{thrown['number']}: ")
