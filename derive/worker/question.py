"""From a claim to the exact bytes to send: definition, evidence, prompt, options.

A repeated run takes all four from the run it repeats; any other from its registered interrogation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from derive.contracts import Bounds, Claim, JobInput
from derive.errors import ErrorKind, InvalidInput
from derive.evidence.bundle import build_bundle
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.redaction import Redactor
from derive.evidence.references import PartEvidence, Trial, parse_evidence_refs
from derive.evidence.sources import ReadLake, collect_sources
from derive.evidence.tokens import MIN_ANSWER_TOKENS, Estimate, MakeUp, TokenRates, check_fits
from derive.facts.terms import OnBadFact, Terms, entity_of
from derive.interrogations.definition import Correction, Definition, Validation, correction_after
from derive.interrogations.live_registry import LiveRegistry
from derive.interrogations.loaded_interrogation import LoadedInterrogation, LongEvidence
from derive.lake import RESPONSE_STREAM_NAME, SSE_RESPONSE_STREAM_NAME
from derive.model_servers.chat import ChatOptions, ChatRequest
from derive.model_servers.models import ModelSnapshot
from derive.model_servers.settings import ModelSettings, Protocol
from derive.split_contracts import Split
from derive.strict_types import check_json_object, parse_json
from derive.windows.part_evidence import WHOLE, is_long
from derive.worker.previous_runs import PreviousRun, PreviousRuns
from derive.worker.run_record import RunRecord
from derive.worker.splitting import half_of_tokens, part_bundle, split_evidence
from derive.worker.token_history import model_key

ASKED_AGAIN = frozenset({ErrorKind.INVALID_OUTPUT, ErrorKind.UNGROUNDED_OUTPUT, ErrorKind.UNSUPPORTED_OUTPUT})


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the model is asked in one run. ``body`` is the request's bytes.

    ``entity`` is the name of the entity; ``terms`` say whether an answer stands if some facts do not.
    """

    definition: Definition
    output_model: type[BaseModel] | None
    entity: str
    terms: Terms
    bundle: EvidenceBundle
    request: ChatRequest
    is_jobs_own_model: bool
    make_up: MakeUp
    estimate: Estimate
    body: bytes
    in_parts: Callable[[], Split | None]
    """Returns the parts to read instead, if the evidence or the answer turns out too much for the model; else None."""
    keeps_facts: bool = True
    """Whether the facts of the answer are stored; those of an experiment's are not."""

    def validate_and_judge_facts(self, answer: str) -> Validation:
        """Return the report on the model's answer, with a verdict on each fact."""
        return self.definition.validate(
            answer, self.bundle, output_model=self.output_model, entity=self.entity, terms=self.terms
        )


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Sources of a question's parts. Reading may block, and raises the error a run ends with."""

    interrogations: LiveRegistry
    redactor: Redactor
    delimiter_key: bytes
    ollama: ModelSettings
    read_lake: ReadLake
    previous_runs: PreviousRuns
    token_rates: TokenRates


@dataclass(frozen=True)
class _Subject:
    """What a job is asked, and about which evidence; ``interrogation`` is None if its code has changed since."""

    definition: Definition
    interrogation: LoadedInterrogation | None
    bundle: EvidenceBundle
    is_to_be_split: bool = False
    may_be_split: bool = False
    """Whether it is read in parts if the model cannot take it at once."""


def prepare_question(
    claim: Claim, sources: Sources, record: RunRecord, body_of: Callable[[ChatRequest], bytes]
) -> Question | Split:
    """Build the question and record what is known on the way; raises RunError.

    Returns the job's parts instead if its evidence is too long and its interrogation wants all of it read.

    ``body_of`` encodes the request in the server's protocol.

    Built for most models; ``fit_to_model`` later adapts it to this one.
    """
    own_input = _read_input(claim)
    previous = sources.previous_runs.to_repeat(claim.repeats_run_id) if claim.repeats_run_id else None
    trial = None if previous else parse_evidence_refs(claim.evidence_ref_json).trial
    subject = _subject(claim, own_input, previous, sources, record, trial=trial)
    definition, interrogation, bundle = subject.definition, subject.interrogation, subject.bundle
    record.know(evidence_sha256=bundle.sha256)
    record.add_file("evidence.json", bundle.model_dump_json(indent=2))

    model = previous.model if previous else claim.model_hint or sources.ollama.model
    own = _settings_of_trial(trial, _settings_of_model(claim, sources.ollama))
    record.know_model(model, has_tags=sources.ollama.protocol is Protocol.OLLAMA)
    if subject.is_to_be_split:
        options = previous.options if previous else ChatOptions.from_settings(own)
        record.know(options_json=options.to_json(), ollama_base_url=sources.ollama.base_url)
        tokens_of = sources.token_rates.most_tokens(model_key(model))
        return _split(claim, own_input, subject, options=options, tokens_of=tokens_of)

    correction = _correction(claim, sources.previous_runs) or (previous.correction if previous else None)
    if correction is not None:
        record.add_file("correction.json", correction.model_dump_json(indent=2))
    prompt = definition.render(input=own_input, bundle=bundle, correction=correction)
    record.add_file("prompt.txt", prompt)

    make_up = definition.known_lines.make_up_of(prompt)
    estimate = sources.token_rates.estimate(make_up, model=model_key(model))
    check_fits(estimate, own.num_ctx)
    options = _options(
        claim,
        previous.options if previous else ChatOptions.from_settings(own),
        prompt_tokens=estimate.expected,
    )
    record.know(options_json=options.to_json(), ollama_base_url=sources.ollama.base_url)

    request = ChatRequest(
        model=model,
        prompt=prompt,
        schema=definition.output_schema,
        options=options,
        keep_alive=sources.ollama.keep_alive,
    )
    body = body_of(request)
    record.add_file("request.json", body)
    record.open_stream(SSE_RESPONSE_STREAM_NAME if sources.ollama.protocol is Protocol.OPENAI else RESPONSE_STREAM_NAME)
    return Question(
        definition=definition,
        output_model=interrogation.output_model if interrogation else None,
        entity=entity_of(own_input),
        terms=_terms(claim, interrogation),
        bundle=bundle,
        request=request,
        is_jobs_own_model=claim.model_hint is not None or previous is not None,
        make_up=make_up,
        estimate=estimate,
        body=body,
        in_parts=partial(
            _in_parts,
            claim,
            own_input,
            subject,
            options=options,
            tokens_of=sources.token_rates.most_tokens(model_key(model)),
        ),
        keeps_facts=trial is None,
    )


def _subject(
    claim: Claim,
    own_input: dict[str, Any],
    previous: PreviousRun | None,
    sources: Sources,
    record: RunRecord,
    *,
    trial: Trial | None,
) -> _Subject:
    """Return what is asked about: of the run that is repeated, of a part, or of the registered interrogation."""
    registry = sources.interrogations.current
    if previous is not None:
        interrogation = registry.with_definition(previous.definition.definition_sha256)
        _know_definition(record, previous.definition)
        return _Subject(previous.definition, interrogation, previous.bundle, previous.bundle.bounds == WHOLE)
    part = parse_evidence_refs(claim.evidence_ref_json).part
    if part is not None:
        interrogation = registry.with_definition(part.definition_sha256)
        # One that is installed has its template, schema and rules prepared for all parts.
        exact = interrogation.definition if interrogation else sources.previous_runs.definition(part.definition_sha256)
        if exact is None:
            raise InvalidInput(f"the definition {part.definition_sha256} that its job was split by is not registered")
        _know_definition(record, exact)
        bounds = interrogation.bounds if interrogation else None
        bundle = part_bundle(part, sources.previous_runs, bounds=bounds, delimiter_key=sources.delimiter_key)
        return _Subject(exact, interrogation, bundle)
    registered, definition = _asked(claim, trial, sources)
    _know_definition(record, definition)
    if registered is not None:
        registry.check(_as_job_input(claim), registered)
    items = collect_sources(
        job_input=own_input,
        evidence_ref_json=claim.evidence_ref_json,
        read_lake=sources.read_lake,
        read_run_output=sources.previous_runs.output_of,
    )
    build = partial(build_bundle, items, redactor=sources.redactor, delimiter_key=sources.delimiter_key)
    bundle = build(bounds=registered.bounds if registered else Bounds())
    # Neither a part nor a job of an experiment is split.
    if registered is None or trial is not None:
        return _Subject(definition, registered, bundle)
    if registered.long_evidence is LongEvidence.SPLIT and claim.part_count is None:
        estimate = sources.token_rates.estimate(
            registered.definition.known_lines.make_up_of(registered.definition.render(input=own_input, bundle=bundle)),
            model=model_key(claim.model_hint or sources.ollama.model),
        )
        own = _settings_of_model(claim, sources.ollama)
        if is_long(bundle) or estimate.expected + MIN_ANSWER_TOKENS > own.num_ctx:
            return _Subject(registered.definition, registered, build(bounds=WHOLE), is_to_be_split=True)
        return _Subject(registered.definition, registered, bundle, may_be_split=True)
    return _Subject(registered.definition, registered, bundle)


def _split(
    claim: Claim,
    own_input: dict[str, Any],
    subject: _Subject,
    *,
    options: ChatOptions,
    tokens_of: Callable[[str], int],
    most_tokens: int | None = None,
) -> Split:
    bounds = subject.interrogation.bounds if subject.interrogation else Bounds()
    definition = subject.definition
    return split_evidence(
        subject.bundle,
        definition=definition,
        job_input=own_input,
        bounds=bounds,
        run_evidence=lambda: PartEvidence.model_construct(
            run_id=claim.run_id,
            evidence_sha256=subject.bundle.sha256,
            definition_sha256=definition.definition_sha256,
            windows=(),
        ),
        num_ctx=options.num_ctx,
        num_predict=options.num_predict,
        tokens_of=tokens_of,
        most_tokens=most_tokens,
    )


def _in_parts(
    claim: Claim,
    own_input: dict[str, Any],
    subject: _Subject,
    *,
    options: ChatOptions,
    tokens_of: Callable[[str], int],
) -> Split | None:
    """Return at least two parts of evidence that was expected to fit one prompt; None if that is too short, or cut."""
    half = half_of_tokens(subject.bundle, tokens_of)
    if not subject.may_be_split or half is None:
        return None
    split = _split(claim, own_input, subject, options=options, tokens_of=tokens_of, most_tokens=half)
    return split if len(split.parts) > 1 else None


def _asked(claim: Claim, trial: Trial | None, sources: Sources) -> tuple[LoadedInterrogation | None, Definition]:
    """Return what the job is asked by: the live version, or the exact definition of an experiment's variant.

    That one may be registered only: then its code is gone, and the schema alone judges the answer.
    """
    registry = sources.interrogations.current
    if trial is None:
        live = registry.get(claim.interrogation_key)
        return live, live.definition
    installed = registry.with_definition(trial.definition_sha256)
    if installed is not None:
        return installed, installed.definition
    registered = sources.previous_runs.definition(trial.definition_sha256)
    if registered is None:
        raise InvalidInput(f"the definition {trial.definition_sha256} is neither installed here nor registered")
    return None, registered


def _settings_of_trial(trial: Trial | None, settings: ModelSettings) -> ModelSettings:
    """Return the settings with a variant's options; each repeat has a seed of its own."""
    if trial is None:
        return settings
    given = trial.model_dump(include={"temperature", "num_ctx", "num_predict"}, exclude_none=True)
    seed = settings.seed if trial.seed is None else trial.seed
    return settings.model_copy(update={**given, "seed": seed + trial.repeat})


def fit_to_model(
    question: Question, snapshot: ModelSnapshot, record: RunRecord, body_of: Callable[[ChatRequest], bytes]
) -> Question:
    """Return the question adapted to this model, and record what is sent."""
    if snapshot.think == question.request.think:
        return question
    request = replace(question.request, think=snapshot.think)
    body = body_of(request)
    record.add_file("request.json", body)
    return replace(question, request=request, body=body)


def _read_input(claim: Claim) -> dict[str, Any]:
    """Parse the input again: jobs enqueued by SQL have not been checked in Python."""
    try:
        value = parse_json(check_json_object(claim.input_json))
    except ValueError as error:
        raise InvalidInput(f"input_json {error}") from None
    return dict(value)


def _as_job_input(claim: Claim) -> JobInput:
    return JobInput.model_construct(
        interrogation_key=claim.interrogation_key,
        input_json=claim.input_json,
        evidence_ref_json=claim.evidence_ref_json,
    )


def _know_definition(record: RunRecord, definition: Definition) -> None:
    record.know(interrogation_version=definition.version, definition_sha256=definition.definition_sha256)


def _terms(claim: Claim, interrogation: LoadedInterrogation | None) -> Terms:
    on_bad_fact = interrogation.on_bad_fact if interrogation else OnBadFact.ASK_AGAIN
    return Terms(on_bad_fact, may_ask_again=not claim.is_last_attempt)


def _correction(claim: Claim, previous_runs: PreviousRuns) -> Correction | None:
    if claim.previous_run_id is None or claim.previous_error_kind not in ASKED_AGAIN:
        return None
    return correction_after(
        previous_run_id=claim.previous_run_id,
        error_kind=claim.previous_error_kind,
        error=claim.previous_error,
        report_json=previous_runs.report_of(claim.previous_run_id),
    )


def _settings_of_model(claim: Claim, ollama: ModelSettings) -> ModelSettings:
    """Return the settings with the operators' context and longest answer for the job's model, if any."""
    given = {"num_ctx": claim.num_ctx, "num_predict": claim.num_predict}
    return ollama.model_copy(update={name: tokens for name, tokens in given.items() if tokens is not None})


def _options(claim: Claim, options: ChatOptions, *, prompt_tokens: int) -> ChatOptions:
    """Give a truncated answer more tokens; once given, they stay."""
    if claim.previous_options_json is None:
        return options
    try:
        before = ChatOptions.model_validate_json(claim.previous_options_json)
    except ValidationError:
        # Written by another version, so ignored.
        return options
    room = before.num_predict
    if claim.previous_error_kind == ErrorKind.TRUNCATED_OUTPUT:
        room = longer_answer(before, prompt_tokens=prompt_tokens) or room
    return options.model_copy(update={"num_predict": max(options.num_predict, room)})


def longer_answer(options: ChatOptions, *, prompt_tokens: int) -> int | None:
    """Return the doubled ``num_predict`` within the rest of the context; None if there is no more room."""
    doubled = min(options.num_predict * 2, options.num_ctx - prompt_tokens)
    return doubled if doubled > options.num_predict else None
