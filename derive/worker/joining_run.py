"""The run that joins the answers of a job's parts; it asks no model."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic_core import to_json

from derive.contracts import Claim, Outcome
from derive.errors import AnswerTooLarge, InternalError, InvalidInput, PartFailed
from derive.evidence.references import PartEvidence, parse_evidence_refs
from derive.facts.terms import entity_of
from derive.interrogations.loaded_interrogation import LoadedInterrogation, OnFailedPart
from derive.interrogations.validation import MAX_FACTS
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.rejudging import join_parts_of
from derive.sql.parts import PartRow
from derive.states import RunStatus
from derive.strict_types import parse_json
from derive.worker.question import Sources
from derive.worker.run_record import RunRecord

MAX_TOLD = 10
"""Parts without an answer that an error names."""


def join_parts(claim: Claim, sources: Sources, record: RunRecord) -> Outcome:
    """Join the answers of a job's parts and return the outcome; raises RunError.

    Raises PartFailed if parts have no answer and the interrogation does not accept that, or if none has one.
    """
    runs = sources.previous_runs
    split = runs.split_of(claim.job_id)
    if split is None:
        raise InternalError("no run of this job has split it")
    definition = runs.definition(split.definition_sha256)
    if definition is None:
        raise InvalidInput(f"the definition {split.definition_sha256} that the job was split by is not registered")
    record.know(interrogation_version=definition.version, definition_sha256=definition.definition_sha256)
    whole = runs.whole_of(split.run_id, sha256=split.evidence_sha256)
    record.know(evidence_sha256=whole.sha256)
    record.add_file("evidence.json", whole.model_dump_json(indent=2))

    rows = runs.parts_of(claim.job_id)
    files = runs.output_files([row.run_id for row in rows if row.run_id is not None])
    document = PartsDocument(
        split_run_id=split.run_id,
        evidence_sha256=whole.sha256,
        parts=tuple(_record(row, files) for row in rows),
    )
    record.add_file("parts.json", document.model_dump_json(indent=2))
    _refuse_unread(document, sources.interrogations.current.with_definition(split.definition_sha256))

    answers = {row.part_no: parse_json(row.output_json) for row in rows if row.output_json is not None}
    entity = entity_of(parse_json(claim.input_json))
    joined = join_parts_of(document, answers, whole, definition, entity=entity)
    if len(joined.facts) > MAX_FACTS:
        raise AnswerTooLarge(f"the parts have {len(joined.facts)} facts, and at most {MAX_FACTS} are stored")
    output = json.dumps(joined.answer, ensure_ascii=False, separators=(",", ":"))
    record.add_file("validation.json", to_json(joined.report(document), indent=2))
    record.add_file("output.json", output)
    record.know(output_json=output)
    return record.close(RunStatus.SUCCEEDED, facts=joined.facts)


def _record(row: PartRow, files: Mapping[UUID, tuple[str, str]]) -> PartRecord:
    part: PartEvidence | None = parse_evidence_refs(row.evidence_ref_json).part
    if part is None:
        raise InternalError(f"part {row.part_no} does not say which evidence it is of")
    uri, sha256 = files.get(row.run_id, (None, None)) if row.run_id is not None else (None, None)
    return PartRecord(
        part_no=row.part_no,
        job_id=row.job_id,
        status=row.status,
        windows=part.windows,
        halvings=part.halvings,
        run_id=row.run_id,
        definition_sha256=row.definition_sha256,
        evidence_sha256=row.evidence_sha256,
        output_uri=uri,
        output_sha256=sha256,
        error_kind=row.error_kind,
        error=row.last_error,
    )


def _refuse_unread(document: PartsDocument, interrogation: LoadedInterrogation | None) -> None:
    unread = document.unread
    accepts = interrogation is not None and interrogation.on_failed_part is OnFailedPart.PARTIAL
    if unread and (not accepts or len(unread) == len(document.parts)):
        raise PartFailed(
            f"{len(unread)} of {len(document.parts)} parts have no answer: {_named(unread)}. A requeue of the job "
            "repeats only those"
        )


def _named(unread: Sequence[PartRecord]) -> str:
    named = [f"{part.part_no} ({part.error_kind or part.status.value})" for part in unread[:MAX_TOLD]]
    return ", ".join(named) + (f" and {len(unread) - MAX_TOLD} more" if len(unread) > MAX_TOLD else "")
