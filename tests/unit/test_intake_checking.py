import json
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from derive.intake.checking import CheckedJob, RecordCheck, RecordRefused
from derive.intake.importing import check_records, new_import_id
from derive.intake.line_format import LineFormat
from derive.intake.one_job import TypedJob
from derive.intake.records import Record, read_records
from derive.intake.spool import BATCH_JOBS, RecordSpool
from derive.interrogations.registry import Registry

REGISTRY = Registry.load(None)
IMPORT_ID = UUID("6f1c2a4e-5a0e-4c7e-9a53-000000000000")
ENVELOPE = {"entity_type": "planet", "entity_id": "hoth"}
GOOD: dict[str, Any] = {"interrogation_key": "sw_entity_facts_v1", "input": ENVELOPE}


def check(values: dict[str, Any], *, line: int = 1) -> CheckedJob:
    return RecordCheck(REGISTRY, import_id=IMPORT_ID).check(values, line=line)


def test_an_object_is_equivalent_to_its_json_text() -> None:
    refs = {"items": [{"text": "Ice."}]}
    job = check({**GOOD, "evidence_ref": refs}).job
    assert json.loads(job.input_json) == ENVELOPE
    assert json.loads(job.evidence_ref_json or "") == refs


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trial", {"definition_sha256": "a" * 64}),
        (
            "part",
            {
                "run_id": str(IMPORT_ID),
                "evidence_sha256": "a" * 64,
                "definition_sha256": "a" * 64,
                "windows": [{"part_no": 1, "evidence_id": "e1", "start": 0, "end": 4}],
            },
        ),
    ],
)
def test_what_only_experiments_and_parts_carry_is_refused(name: str, value: dict[str, Any]) -> None:
    with pytest.raises(RecordRefused, match=f"^evidence_ref_json: {name} is only for .*; leave it out$"):
        check({**GOOD, "evidence_ref": {"items": [{"text": "Ice."}], name: value}})


def test_text_is_kept_as_it_was_given() -> None:
    text = '{ "entity_type": "planet",  "entity_id": "höth 🪐" }'
    assert check({"interrogation_key": "sw_entity_facts_v1", "input_json": text}).job.input_json == text


def test_null_is_what_was_not_given() -> None:
    job = check({**GOOD, "priority": None, "model_hint": None}).job
    assert (job.priority, job.model_hint) == (100, None)


def test_every_parameter_of_the_procedure_may_be_given() -> None:
    checked = check({
        **GOOD, "priority": 7, "model_hint": "m", "max_attempts": 2, "available_utc": "2030-01-31T12:00:00+02:00",
        "dedupe_key": "d", "entity_type": "planet", "entity_id": "hoth", "repeats_run_id": str(IMPORT_ID),
        "job_id": str(IMPORT_ID), "actor": "zoë",
    })  # fmt: skip
    assert (checked.actor, checked.job.job_id, checked.job.priority) == ("zoë", IMPORT_ID, 7)
    assert str(checked.job.available_utc) == "2030-01-31 10:00:00+00:00"


def test_a_line_sent_again_gets_the_same_job_id() -> None:
    ids = [check(GOOD, line=line).job.job_id for line in (1, 2, 2)]
    assert ids[0] != ids[1] == ids[2]
    assert new_import_id() != new_import_id()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"interrogation_key": "sw_entity_fact_v1"}, "did you mean sw_entity_facts_v1"),
        ({"interrogation_key": None}, "interrogation_key: Field required"),
        ({"input": None}, "input_json: Field required"),
        ({"input": {}}, "invalid_input"),
        ({"input": {**ENVELOPE, "entity_type": "sandwich"}}, "entity_type"),
        ({"input": []}, "input: must be a JSON object"),
        ({"input": "[]"}, "must be a JSON object"),
        ({"input": "{"}, "input_json"),
        ({"input": '{"a": NaN}'}, "NaN is not JSON"),
        ({"input": {"a": float("inf")}}, "Infinity is not JSON"),
        ({"input": {**ENVELOPE, "entity_id": "\x00"}}, "U+0000"),
        ({"input": {**ENVELOPE, "entity_id": "\ud800"}}, "surrogate"),
        ({"input_json": "{}"}, "gives both input and input_json"),
        ({"prioritty": 1}, "unknown key 'prioritty'; did you mean priority?"),
        ({"n": 1}, "unknown key 'n'"),
        ({"priority": -1}, "priority"),
        ({"priority": True}, "priority: must be a whole number"),
        ({"priority": 1.0}, "priority: must be a whole number"),
        ({"priority": "high"}, "priority: must be a whole number"),
        ({"priority": 2**31}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"available_utc": 1700000000}, "available_utc"),
        ({"available_utc": "tomorrow"}, "available_utc"),
        ({"available_utc": "2030-01-01T00:00:00"}, "available_utc"),
        ({"dedupe_key": ""}, "dedupe_key"),
        ({"dedupe_key": " a"}, "blanks"),
        ({"model_hint": "m" * 201}, "model_hint"),
        ({"job_id": "not a guid"}, "job_id"),
        ({"evidence_ref": {"items": [{}]}}, "points to nothing"),
        ({"evidence_ref": {"items": [{"lake_uri": "../secret"}]}}, "lake_uri"),
        ({"actor": ""}, "actor"),
        ({"actor": 5}, "actor"),
        ({"actor": "\ud800"}, "surrogate"),
    ],
)
def test_what_cannot_be_queued_is_refused_with_its_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RecordRefused) as refused:
        check({**GOOD, **changes})
    assert why in str(refused.value)
    assert "sandwich" not in str(refused.value)


def test_a_cell_of_csv_may_hold_a_number() -> None:
    assert check({**GOOD, "priority": "7", "input": json.dumps(ENVELOPE)}).job.priority == 7


def test_the_first_pass_keeps_valid_lines_and_reports_invalid_ones() -> None:
    good = json.dumps(GOOD).encode()
    told: list[Record] = []
    with RecordSpool() as spool:
        bad = check_records(
            read_records(BytesIO(good + b"\n{}\nnonsense\n" + good), LineFormat.JSONL),
            registry=REGISTRY,
            import_id=IMPORT_ID,
            spool=spool,
            on_bad=told.append,
        )
        assert (bad, spool.count) == (2, 2)
        assert [record.line for record in told] == [2, 3]
        assert all(record.why for record in told)
        (batch,) = spool.batches()
    assert batch.lines == (1, 4)
    assert [job.input_json for job in batch.jobs] == [check(GOOD).job.input_json] * 2


def test_a_spool_gives_back_what_was_put_in_by_batches_of_one_actor() -> None:
    with RecordSpool() as spool:
        put_in = [
            (line, CheckedJob(check(GOOD, line=line).job, "zoë\n\t" if line in {5, 6} else None))
            for line in range(1, BATCH_JOBS + 10)
        ]
        for line, checked in put_in:
            spool.add(line, checked)
        batches = list(spool.batches())
        again = list(spool.batches())
    assert [len(batch.jobs) for batch in batches] == [4, 2, BATCH_JOBS, 3]
    assert [batch.actor for batch in batches] == [None, "zoë\n\t", None, None]
    assert [(line, job) for batch in batches for line, job in zip(batch.lines, batch.jobs, strict=True)] == [
        (line, checked.job) for line, checked in put_in
    ]
    assert again == batches


def test_a_batch_of_long_jobs_ends_sooner() -> None:
    long_job = CheckedJob(check({**GOOD, "input": {**ENVELOPE, "source_refs": ["x" * 2000] * 100}}).job, None)
    with RecordSpool() as spool:
        for line in range(1, 101):
            spool.add(line, long_job)
        assert [len(batch.jobs) for batch in spool.batches()] == [41, 41, 18]


def test_typed_options_make_the_envelope(tmp_path: Path) -> None:
    (tmp_path / "hoth.txt").write_bytes(b"\xef\xbb\xbfHoth is cold.")
    typed = TypedJob(
        entity_type="planet", entity_id="hoth", evidence=["Ice.", "Snow."], evidence_files=[tmp_path / "hoth.txt"]
    )
    evidence = json.loads(check(typed.to_record()).job.input_json)["extra_params"]["evidence"]
    assert evidence == [
        {"evidence_id": "evidence-1", "text": "Ice."},
        {"evidence_id": "evidence-2", "text": "Snow."},
        {"evidence_id": "file-1", "source_uri": "file:hoth.txt", "text": "Hoth is cold."},
    ]


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        (TypedJob(entity_type="planet"), "--entity-id"),
        (TypedJob(input_json="{}", evidence=["x"]), "holds its own evidence"),
        (TypedJob(entity_type="planet", entity_id="x", evidence_files=[Path("/nowhere/at/all")]), "cannot be read"),
        (TypedJob(entity_type="planet", entity_id="x", evidence_files=[Path("/")]), "cannot be read"),
    ],
)
def test_options_that_do_not_go_together_are_refused(typed: TypedJob, why: str) -> None:
    with pytest.raises(RecordRefused, match=why):
        typed.to_record()


def test_an_evidence_file_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(RecordRefused, match="not UTF-8"):
        TypedJob(entity_type="planet", entity_id="x", evidence_files=[path]).to_record()


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({}, True),
        ({"input": {**ENVELOPE, "extra_params": {"evidence": []}}}, True),
        ({"input": {**ENVELOPE, "extra_params": {"evidence": [{"evidence_id": "a", "text": " \n"}]}}}, True),
        ({"evidence_ref": {"items": [{"url": "https://example.org/hoth"}, {"text": " "}]}}, True),
        ({"input": {**ENVELOPE, "extra_params": {"evidence": [{"evidence_id": "a", "text": "Ice."}]}}}, False),
        ({"evidence_ref": {"items": [{"text": "Ice."}]}}, False),
        ({"evidence_ref": {"items": [{"lake_uri": "notes/hoth.txt"}]}}, False),
        ({"evidence_ref": {"items": [{"run_id": str(IMPORT_ID)}]}}, False),
        ({"repeats_run_id": str(IMPORT_ID)}, False),
    ],
)
def test_a_job_whose_run_could_only_find_no_evidence_is_known(more: dict[str, Any], lacks: bool) -> None:
    assert check(GOOD | more).lacks_evidence is lacks
