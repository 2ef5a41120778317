"""Proves a joined answer from its parts: reads their answers, judges them again, and joins them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from derive.errors import LakeError, RunError
from derive.evidence.contracts import EvidenceBundle
from derive.interrogations.definition import Definition
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.rejudging import JoinedAnswer, join_parts_of
from derive.verify.contents import MAX_LOOKED_INTO_BYTES, NotJson, read_json
from derive.verify.facts import check_facts
from derive.verify.findings import Check, Findings
from derive.verify.stored import RunState, StoredRun

ReadLake = Callable[..., bytes]
"""``Lake.read``."""


def check_joined(
    run: StoredRun,
    state: RunState,
    files: Mapping[str, bytes],
    findings: Findings,
    *,
    definition: Definition | None,
    bundle: EvidenceBundle | None,
    entity: str,
    read_lake: ReadLake,
) -> None:
    """Join the parts that ``parts.json`` lists again, and compare report, output, row and facts with the result."""
    document = _document(files.get("parts.json"), findings)
    if not state.succeeded or document is None or definition is None or bundle is None:
        return
    joined = _join(document, bundle, definition, findings, entity=entity, read_lake=read_lake)
    if joined is not None:
        _compare(run, document, joined, files, findings)


def join_again(
    parts_json: bytes,
    bundle: EvidenceBundle,
    definition: Definition,
    findings: Findings,
    *,
    entity: str,
    read_lake: ReadLake,
) -> JoinedAnswer | None:
    """Return the answer that the parts listed in a ``parts.json`` give; None after a finding."""
    document = _document(parts_json, findings)
    if document is None:
        return None
    return _join(document, bundle, definition, findings, entity=entity, read_lake=read_lake)


def _join(
    document: PartsDocument,
    bundle: EvidenceBundle,
    definition: Definition,
    findings: Findings,
    *,
    entity: str,
    read_lake: ReadLake,
) -> JoinedAnswer | None:
    if document.evidence_sha256 != bundle.sha256:
        findings.add("parts.json", Check.EVIDENCE, "names other evidence than the run's")
        return None
    answers = {
        part.part_no: answer
        for part in document.parts
        if part.run_id is not None and (answer := _answer_of(part, read_lake, findings)) is not None
    }
    if len(answers) < len(document.parts) - len(document.unread):
        return None
    try:
        return join_parts_of(document, answers, bundle, definition, entity=entity)
    except (RunError, KeyError, ValueError) as error:
        findings.add("parts.json", Check.OUTPUT, f"its parts cannot be joined again: {type(error).__name__}")
        return None


def _document(data: bytes | None, findings: Findings) -> PartsDocument | None:
    if data is None:
        return None
    try:
        return PartsDocument.model_validate_json(data)
    except ValidationError as error:
        findings.add("parts.json", Check.UNREADABLE, f"is not a list of parts ({error.error_count()} faults)")
        return None


def _answer_of(part: PartRecord, read_lake: ReadLake, findings: Findings) -> Any:
    """Return a part's answer; None after a finding."""
    if part.output_uri is None:
        findings.add("parts.json", Check.MISSING, f"names no file of the answer of part {part.part_no}")
        return None
    try:
        content = read_lake(part.output_uri, max_bytes=MAX_LOOKED_INTO_BYTES)
    except LakeError as error:
        findings.add("parts.json", Check.MISSING, f"the answer of part {part.part_no} cannot be read: {error}")
        return None
    if hashlib.sha256(content).hexdigest() != part.output_sha256:
        findings.add("parts.json", Check.BYTES, f"the answer of part {part.part_no} has another SHA-256")
        return None
    try:
        return read_json(content)
    except NotJson as error:
        findings.add("parts.json", Check.UNREADABLE, f"the answer of part {part.part_no} {error}")
        return None


def _compare(
    run: StoredRun, document: PartsDocument, joined: JoinedAnswer, files: Mapping[str, bytes], findings: Findings
) -> None:
    outputs = {"output_json in SQL": (run.output_json or "").encode()}
    outputs |= {name: files[name] for name in ("output.json",) if name in files}
    wrong = [name for name, output in outputs.items() if _json(output) != joined.answer]
    if wrong:
        findings.add("output.json", Check.OUTPUT, f"not what the parts' answers say: {', '.join(wrong)}")
    report = files.get("validation.json")
    again = json.loads(json.dumps(joined.report(document)))
    if report is not None and _json(report) != again:
        findings.add("validation.json", Check.VALIDATION, "joined again, the report differs")
    check_facts(run.facts, joined.facts, findings, must_be_stored=True)


def _json(data: bytes) -> Any:
    try:
        return read_json(data)
    except NotJson:
        return None
