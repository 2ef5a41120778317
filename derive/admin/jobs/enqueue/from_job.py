"""The enqueue form filled with an earlier job, to repeat it changed: other input, evidence, model or settings."""

import json
from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from pydantic import BaseModel

from derive.admin.jobs.enqueue.evidence_formset import MAX_ITEMS
from derive.admin.jobs.enqueue.schema_form import EVIDENCE_MEMBER, PREFIX, Member, input_form, takes_evidence
from derive.models import Job
from derive.states import HOLDS_DEDUPE_KEY
from derive.strict_types import parse_json

_INNER_MEMBERS = frozenset({"trial", "part"})
_PIECE = ("evidence_id", "source_uri", "text")


def typed_from(job: Job, input_model: type[BaseModel]) -> QueryDict:
    """Return what somebody would have typed to queue this job. Whatever its input holds, this raises nothing."""
    form = QueryDict(mutable=True)
    values = _object(job.input_json)
    extra = values.get(EVIDENCE_MEMBER)
    evidence: Any = None
    if takes_evidence(input_model) and isinstance(extra, dict):
        evidence = extra.get("evidence")
        values = {**values, EVIDENCE_MEMBER: {name: one for name, one in extra.items() if name != "evidence"} or None}
    for name, field in input_form(input_model, QueryDict(), is_whole=False).fields.items():
        if (value := values.get(name)) is not None and isinstance(field, Member):
            form[f"{PREFIX}{name}"] = _typed(value, field)
    references = _without_inner_members(job.evidence_ref_json or "")
    if evidence is None and references and not takes_evidence(input_model):
        evidence = _texts(_object(references).get("items"))
        references = "" if evidence else references
    for place, piece in enumerate(pieces := _pieces(evidence)):
        for name in _PIECE:
            form[f"evidence-{place}-{name}"] = str(piece.get(name) or "")
    form.update({
        "interrogation": job.interrogation_key,
        "evidence-TOTAL_FORMS": str(len(pieces)),
        "evidence-INITIAL_FORMS": "0",
        "priority": str(job.priority),
        "max_attempts": str(job.max_attempts),
        "model_hint": job.model_hint or "",
        # A key that is still held would refuse the new job.
        "dedupe_key": "" if job.status in HOLDS_DEDUPE_KEY else job.dedupe_key or "",
        "evidence_ref_json": references,
        "reason": f"repeats {job.job_id}, changed",
    })  # fmt: skip
    return form


def _typed(value: Any, field: Member) -> str:
    if field.kind == "lines" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    if field.kind == "yes_no":
        return "on" if value is True else ""
    return value if isinstance(value, str) and field.kind != "json" else json.dumps(value, ensure_ascii=False)


def _pieces(evidence: Any) -> list[Mapping[str, Any]]:
    found = evidence if isinstance(evidence, list) else []
    texts = [{"text": one} if isinstance(one, str) else one for one in found[:MAX_ITEMS]]
    return [one for one in texts if isinstance(one, dict)]


def _without_inner_members(references: str) -> str:
    """Return references without what an experiment or a split adds: the job that is queued is an ordinary one."""
    read = _object(references)
    if not read.keys() & _INNER_MEMBERS:
        return references
    return json.dumps({name: value for name, value in read.items() if name not in _INNER_MEMBERS}, ensure_ascii=False)


def _texts(items: Any) -> list[Any] | None:
    """Return the items if all are texts, which the form shows; None if one refers to something else."""
    are_texts = isinstance(items, list) and all(isinstance(one, dict) and set(one) <= set(_PIECE) for one in items)
    return items if are_texts else None


def _object(text: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
