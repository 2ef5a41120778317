"""Rebuilds what a run was asked: definition, evidence, prompt, request and model."""

import json
import re
from collections.abc import Mapping
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from derive.errors import ConfigurationError
from derive.evidence.bundle import bundle_faults
from derive.evidence.contracts import EvidenceBundle
from derive.interrogations.definition import Correction, Definition
from derive.model_servers.models import split_model
from derive.strict_types import parse_json
from derive.verify.contents import NotJson, first_difference, member, read_object
from derive.verify.findings import Check, Findings
from derive.verify.request_shapes import shape_of
from derive.verify.stored import RunState, StoredRun

_BEFORE_MESSAGES = re.compile(rb'\{"model":"[^"\\\x00-\x1f]*","messages":')
_MOST_REMEMBERED_BYTES = 65_536
_T = TypeVar("_T")


def check_definition(state: RunState, definitions: Mapping[str, Definition], findings: Findings) -> Definition | None:
    """Return the run's definition; None if it is missing or does not match its hash."""
    sha256 = state.definition_sha256
    if sha256 is None:
        return None
    definition = definitions.get(sha256)
    if definition is None:
        findings.add("", Check.DEFINITION, f"llm.interrogation has no definition {sha256}")
        return None
    try:
        actual = definition.definition_sha256
    except ConfigurationError as error:
        findings.add("", Check.DEFINITION, f"the stored definition {sha256} is none: {error}")
        return None
    if actual != sha256:
        findings.add("", Check.DEFINITION, f"the stored definition {sha256} has the hash {actual}")
        return None
    named = (state.interrogation_key, state.interrogation_version)
    if (definition.interrogation_key, definition.version) != named:
        findings.add("", Check.DEFINITION, f"the run names {named[0]} {named[1]}, and its definition is {definition}")
    return definition


def check_evidence(state: RunState, files: Mapping[str, bytes], findings: Findings) -> EvidenceBundle | None:
    """Return the evidence bundle; None if it is missing or inconsistent."""
    data = files.get("evidence.json")
    if data is None:
        return None
    try:
        bundle = EvidenceBundle.model_validate_json(data)
        faults = bundle_faults(bundle)
    except ValidationError as error:
        findings.add("evidence.json", Check.UNREADABLE, f"is not an evidence bundle ({error.error_count()} faults)")
        return None
    for fault in faults:
        findings.add("evidence.json", Check.EVIDENCE, fault)
    if not faults and bundle.sha256 != state.evidence_sha256:
        findings.add(
            "evidence.json", Check.EVIDENCE, f"has the hash {bundle.sha256}, the run names {state.evidence_sha256}"
        )
    return None if faults else bundle


def check_prompt(
    run: StoredRun,
    files: Mapping[str, bytes],
    findings: Findings,
    *,
    definition: Definition | None,
    bundle: EvidenceBundle | None,
    was_corrected: bool,
) -> frozenset[str]:
    """Render the prompt again and compare it with prompt.txt; return those of the two that exist.

    ``was_corrected``: whether the run had a correction, which may be lost.
    """
    stored = _stored_prompt(files, findings)
    correction = _correction(files, findings)
    known = frozenset() if stored is None else frozenset({stored})
    if definition is None or bundle is None or was_corrected != (correction is not None):
        return known
    try:
        job_input = parse_json(run.input_json)
        rendered = definition.render(input=job_input, bundle=bundle, correction=correction)
    except (ValueError, TypeError, AttributeError):
        findings.add("prompt.txt", Check.PROMPT, "cannot be rendered again: the job's input_json is not a JSON object")
        return known
    if stored is not None and stored != rendered:
        findings.add(
            "prompt.txt",
            Check.PROMPT,
            "rendered again from definition, evidence, correction and the job's input, it differs from character "
            f"{first_difference(stored, rendered)} on",
        )
    return known | {rendered}


def _stored_prompt(files: Mapping[str, bytes], findings: Findings) -> str | None:
    data = files.get("prompt.txt")
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        findings.add("prompt.txt", Check.UNREADABLE, "is not UTF-8")
        return None


def _correction(files: Mapping[str, bytes], findings: Findings) -> Correction | None:
    data = files.get("correction.json")
    if data is None:
        return None
    try:
        return Correction.model_validate_json(data)
    except ValidationError as error:
        findings.add("correction.json", Check.UNREADABLE, f"is not a correction ({error.error_count()} faults)")
        return None


def check_request(
    run: StoredRun,
    files: Mapping[str, bytes],
    findings: Findings,
    *,
    definition: Definition | None,
    prompts: frozenset[str],
) -> Any:
    """Compare the request with prompt, definition and row; return it parsed, or None.

    Its message must be one of ``prompts``: if prompt.txt differs from the rendered prompt, that is already reported.
    """
    data = files.get("request.json")
    if data is None:
        return None
    try:
        request, schema_json, has_prompt = _read_request(data, prompts)
    except NotJson as error:
        findings.add("request.json", Check.UNREADABLE, str(error))
        return None
    wrong = []
    if prompts and not has_prompt:
        wrong.append("its message is not the prompt")
    shape = shape_of(request)
    if shape.model(request) != (run.model_name, run.model_tag):
        wrong.append(f"its model is not the run's ({run.model_name}:{run.model_tag})")
    if shape.options(request) != shape.sent_of(_options_of(run)):
        wrong.append("its options are not the run's options_json")
    if definition is not None and schema_json != definition.plain_schema_json:
        wrong.append("its format is not the definition's schema")
    wrong += shape.wrong_in(request)
    for what in wrong:
        findings.add("request.json", Check.REQUEST, what)
    return request


def _read_request(data: bytes, prompts: frozenset[str]) -> tuple[Any, str, bool]:
    """Return a request, its format as JSON, and whether its only message is one of the prompts; raise NotJson.

    Everything but the prompt repeats from run to run: if the prompt is where a worker writes it, the rest is parsed
    without it, and the returned request has null ``messages``.
    """
    for prompt in prompts:
        rest = _without_message(data, prompt)
        if rest is not None:
            return *_remembered(_request, rest), True
    request, schema_json = _request.__wrapped__(data)
    messages = member(request, "messages")
    return request, schema_json, any(messages == [{"role": "user", "content": prompt}] for prompt in prompts)


def _without_message(data: bytes, prompt: str) -> bytes | None:
    """Return the request with null messages; None unless it starts with the model and exactly this message.

    The result is JSON if and only if the request is: only a value was replaced.
    """
    message = [{"role": "user", "content": prompt}]
    try:
        # In a third of the time that json takes.
        written = to_json(message)
    except PydanticSerializationError:
        return None
    before, found, after = data.partition(written)
    return before + b"null" + after if found and _BEFORE_MESSAGES.fullmatch(before) else None


@lru_cache(maxsize=64)
def _request(data: bytes) -> tuple[Any, str]:
    """Parse a request and its format as JSON; raise NotJson."""
    request = read_object(data)
    return request, json.dumps(shape_of(request).schema(request))


def _remembered(read: "_lru_cache_wrapper[_T]", data: bytes) -> _T:
    """Parse data, reusing the result for identical short data."""
    return read(data) if len(data) <= _MOST_REMEMBERED_BYTES else read.__wrapped__(data)


def check_model(run: StoredRun, files: Mapping[str, bytes], findings: Findings, *, request: Any) -> None:
    """Compare the model's snapshot with the row, and with the request if there is one."""
    data = files.get("model.json")
    if data is None:
        return
    try:
        model, digest, options = _remembered(_snapshot, data)
    except NotJson as error:
        findings.add("model.json", Check.UNREADABLE, str(error))
        return
    if digest != run.model_digest:
        findings.add("model.json", Check.MODEL, f"its digest is not the run's ({run.model_digest})")
    shape = shape_of(request)
    asked = shape.model(request) if request is not None else (run.model_name, run.model_tag)
    if not isinstance(model, str) or asked not in (split_model(model), (model, None)):
        findings.add("model.json", Check.MODEL, "its model is not the one that was asked")
    sent = shape.options(request) if request is not None else _options_of(run)
    if sent != (shape.sent_of(json.loads(options)) if request is not None else json.loads(options)):
        findings.add("model.json", Check.MODEL, "its options are not those that were sent")


@lru_cache(maxsize=64)
def _snapshot(data: bytes) -> tuple[Any, Any, str]:
    """Return a snapshot's model, digest and options (as JSON), the same in run after run; raise NotJson."""
    value = read_object(data)
    return member(value, "model"), member(value, "digest"), json.dumps(member(value, "options"))


def _options_of(run: StoredRun) -> Any:
    try:
        return parse_json(run.options_json or "null")
    except ValueError:
        return None
