"""Rebuilds a run's answer from its stream, judges it again, and compares report, output and row."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from derive.errors import ConfigurationError, RunError, UnsupportedOutput
from derive.evidence.contracts import EvidenceBundle
from derive.facts.terms import OnBadFact, Terms, entity_of
from derive.interrogations.definition import Definition, Validation
from derive.lake import RESPONSE_STREAM_NAME, SSE_RESPONSE_STREAM_NAME
from derive.model_servers.chat import ChatAnswer
from derive.model_servers.stream import AnswerAssembler
from derive.ollama.stream import NdjsonAssembler
from derive.openai_api.stream import SseAssembler
from derive.strict_types import parse_json
from derive.verify.contents import NotJson, member, read_json, read_object
from derive.verify.facts import check_facts
from derive.verify.findings import Check, Findings
from derive.verify.stored import RunState, StoredRun
from derive.verify.stream_compaction import compact

_MAX_ERROR_CHARACTERS = 2000
"""How much of an error a row keeps, in characters."""


def check_response(
    run: StoredRun, state: RunState, files: Mapping[str, bytes], findings: Findings
) -> ChatAnswer | None:
    """Rebuild the answer from its stream and compare it with response.json and the row.

    Returns the answer if it is complete and can be trusted.
    """
    name = next((one for one in (RESPONSE_STREAM_NAME, SSE_RESPONSE_STREAM_NAME) if one in files), None)
    stored = files.get("response.json")
    answer = None
    if name is not None:
        answer = _answer_in(files[name], name=name, must_be_whole=state.succeeded, findings=findings)
    if stored is not None:
        if answer is None:
            # A single line that ends the answer is an answer too.
            answer = _answer_in(stored, name="response.json", must_be_whole=True, findings=findings)
        elif not _same_json(answer.response_json, stored):
            findings.add("response.json", Check.RESPONSE, f"put together again from {name}, the answer is another")
            return None
    if answer is None or not answer.response_json:
        return None
    _check_metrics(run, answer, findings)
    return answer


def _answer_in(data: bytes, *, name: str, must_be_whole: bool, findings: Findings) -> ChatAnswer | None:
    is_sse = name == SSE_RESPONSE_STREAM_NAME or (name == "response.json" and _has_choices(data))
    assembler: AnswerAssembler = (SseAssembler if is_sse else NdjsonAssembler)(max_answer_bytes=len(data) + 1)
    try:
        assembler.feed(data if is_sse else compact(data))
        return assembler.finish()
    except RunError as error:
        if must_be_whole and not assembler.is_done:
            findings.add(name, Check.RESPONSE, f"holds no whole answer: {error}")
            return None
        with contextlib.suppress(RunError):
            return assembler.so_far()
        return None


def _has_choices(data: bytes) -> bool:
    """Whether an answer in one piece uses the OpenAI-compatible protocol."""
    with contextlib.suppress(NotJson):
        return member(read_json(data), "choices") is not None
    return False


def _same_json(one: bytes, other: bytes) -> bool:
    """Whether two texts are equal JSON; another version may have formatted it differently."""
    return one == other or _as_json(one) == _as_json(other) is not None


def _as_json(data: bytes) -> str | None:
    """Return canonical JSON; None if it is not JSON."""
    try:
        return json.dumps(read_json(data))
    except NotJson:
        return None


def _check_metrics(run: StoredRun, answer: ChatAnswer, findings: Findings) -> None:
    metrics = answer.metrics
    wrong = [
        f"{column} in SQL is {found}, the answer says {said}"
        for column, found, said in (
            ("prompt_tokens", run.prompt_tokens, metrics.prompt_eval_count),
            ("output_tokens", run.output_tokens, metrics.eval_count),
        )
        if found != said
    ]
    if not _says_metrics(run.metrics_json or "null", metrics.to_json()):
        wrong.append("metrics_json in SQL is not what the answer says")
    for what in wrong:
        findings.add("response.json", Check.METRICS, what)


def _says_metrics(in_sql: str, answered: str) -> bool:
    try:
        return in_sql == answered or parse_json(in_sql) == json.loads(answered)
    except ValueError:
        return False


def check_judgement(
    run: StoredRun,
    state: RunState,
    files: Mapping[str, bytes],
    findings: Findings,
    *,
    definition: Definition | None,
    bundle: EvidenceBundle | None,
    answer: ChatAnswer | None,
    output_model: type[BaseModel] | None,
) -> None:
    """Validate the answer again and compare the report, output and row with the result.

    Without ``output_model`` (its code has changed) only the schema and the judged facts are used.
    """
    report = _report(files, findings)
    validation = None
    if definition is not None and bundle is not None and answer is not None and (report is not None or state.succeeded):
        try:
            validation = definition.validate(
                answer.content, bundle, output_model=output_model, entity=entity_of_run(run), terms=_terms(report)
            )
        except ConfigurationError as error:
            findings.add("", Check.DEFINITION, f"its schema judges nothing: {error}")
    if validation is not None and report is not None and _is_of_quotes_alone(report):
        validation = _by_quotes_alone(validation)
    if validation is not None and report is not None:
        _compare_report(run, report, validation, findings)
    is_output_right = _check_output(run, state, files, validation, findings)
    if state.succeeded and validation is not None and is_output_right:
        was_judged = report is not None and not _is_of_quotes_alone(report)
        # A part's facts are stored with the joined answer.
        facts = () if run.parent_job_id is not None else validation.facts
        check_facts(run.facts, facts, findings, must_be_stored=was_judged and not run.is_try)


def _report(files: Mapping[str, bytes], findings: Findings) -> Any:
    data = files.get("validation.json")
    if data is None:
        return None
    try:
        return read_object(data)
    except NotJson as error:
        findings.add("validation.json", Check.UNREADABLE, str(error))
        return None


def entity_of_run(run: StoredRun) -> str:
    """Return the name of the subject of a run's facts."""
    try:
        job_input = parse_json(run.input_json)
    except ValueError:
        return ""
    return entity_of(job_input) if isinstance(job_input, dict) else ""


def _terms(report: Any) -> Terms:
    """Return the terms an answer was judged by, from its report, whose own truth is checked elsewhere."""
    on_bad_fact = member(report, "on_bad_fact")
    if on_bad_fact not in list(OnBadFact):
        return Terms(OnBadFact.KEEP if report is None else OnBadFact.STRICT)
    return Terms(OnBadFact(on_bad_fact), may_ask_again=member(report, "may_ask_again") is not False)


def _is_of_quotes_alone(report: Any) -> bool:
    """Whether a report predates the judging of values: quotes were only searched for."""
    return member(report, "on_bad_fact") is None


def _by_quotes_alone(validation: Validation) -> Validation:
    checks = tuple(check for check in validation.checks if check.name != "proof")
    error = None if isinstance(validation.error, UnsupportedOutput) else validation.error
    return replace(validation, checks=checks, error=error)


def _compare_report(run: StoredRun, report: Any, validation: Validation, findings: Findings) -> None:
    kind = validation.error.kind.value if validation.error else None
    stored = _results(report)
    again = {check.name: check.result for check in validation.checks}
    if again.get("model") == "skipped":
        # The output model's code has changed: keep its old verdict where only it could judge.
        if stored.get("model") == "failed":
            return
        stored["model"] = "skipped"
    elif stored.get("model") == "skipped":
        again["model"] = "skipped"
    if (member(report, "valid"), member(report, "error_kind"), stored) != (validation.valid, kind, again):
        judged = "valid" if validation.valid else f"{kind}"
        findings.add("validation.json", Check.VALIDATION, f"judged again, the answer is {judged}; the report differs")
    said = member(report, "error")
    is_runs_error = run.error_kind is not None and run.error_kind == member(report, "error_kind")
    if is_runs_error and isinstance(said, str) and run.error != said[:_MAX_ERROR_CHARACTERS]:
        findings.add("validation.json", Check.VALIDATION, "the run's error in SQL is not the report's")


def _results(report: Any) -> dict[str, Any]:
    checks = member(report, "checks")
    found = checks if isinstance(checks, list) else []
    return {str(member(check, "name")): member(check, "result") for check in found}


def _check_output(
    run: StoredRun,
    state: RunState,
    files: Mapping[str, bytes],
    validation: Validation | None,
    findings: Findings,
) -> bool:
    """Return whether the output is the judged answer's."""
    before = len(findings.found)
    if not state.succeeded:
        if run.output_json is not None:
            findings.add("output.json", Check.OUTPUT, "SQL has an output_json for a run without a valid answer")
        return False
    outputs: dict[str, bytes] = {"output_json in SQL": (run.output_json or "").encode()}
    if "output.json" in files:
        outputs["output.json"] = files["output.json"]
    if validation is None:
        if len({_as_json(output) for output in outputs.values()}) > 1:
            findings.add("output.json", Check.OUTPUT, "output_json in SQL is another")
    elif validation.error is not None:
        findings.add("output.json", Check.OUTPUT, f"the answer it was made of is not valid: {validation.error.kind}")
    else:
        said = (validation.output_json or "").encode()
        wrong = [name for name, output in outputs.items() if not _same_json(output, said)]
        if wrong:
            findings.add("output.json", Check.OUTPUT, f"not what the answer says: {', '.join(wrong)}")
    return len(findings.found) == before
