"""One run from start to end: prepare, ask, judge, record.

``run_attempt`` always returns an outcome and never touches SQL. A slot is held only while the model works.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import ParamSpec, TypeVar

from pydantic_core import to_json

from derive.backoff import backoff_seconds
from derive.contracts import Claim, Outcome
from derive.errors import (
    OUT_OF_FILES,
    Cancelled,
    ErrorKind,
    EvidenceTooLarge,
    InternalError,
    LakeUnavailable,
    ModelCrashed,
    ModelUnavailable,
    NextStep,
    QueueError,
    RunError,
    SchemaRefused,
    is_out_of_files,
    places_of,
)
from derive.evidence.tokens import TokenRates
from derive.lake import Lake
from derive.lake_identity import settle_lake
from derive.model_servers.chat import AnswerCheck, ChatAnswer, ChatRequest, answer_of, check_answer
from derive.model_servers.client import ModelClient
from derive.model_servers.models import ModelSnapshot
from derive.split_contracts import Split
from derive.states import RunStatus
from derive.worker import spans
from derive.worker.database_retry import until_database_answers
from derive.worker.joining_run import join_parts
from derive.worker.model_turns import ModelTurns
from derive.worker.open_files import check_open_files
from derive.worker.question import Question, Sources, fit_to_model, longer_answer, prepare_question
from derive.worker.run_record import RunRecord
from derive.worker.slots import Place
from derive.worker.smaller_parts import TOO_MUCH, halved_part
from derive.worker.token_history import model_key

log = logging.getLogger(__name__)
GONE_SECONDS = 2.0
"""How long a server that broke an answer off is asked whether it is there."""
_rng = Random()  # noqa: S311 - spreads retries, guards nothing

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Dependencies shared by all runs of a worker."""

    worker_id: str
    sources: Sources
    client: ModelClient
    lake: Lake
    threads: Executor
    queue_thread: Executor
    turns: ModelTurns | None = None
    concurrency: int = 1
    others_can_answer: bool = False
    """Whether the worker has other endpoints, which may take the job of one that goes away."""

    async def probe_lake(self) -> None:
        """Check that the lake is this database's and writable; raise LakeUnavailable if not.

        Also raises it if this process may open too few files for all its slots.
        """
        check_open_files(self.concurrency)
        loop = asyncio.get_running_loop()
        if not self.lake.is_identified:
            try:
                await loop.run_in_executor(self.queue_thread, settle_lake, self.lake)
            except QueueError as error:
                raise LakeUnavailable(f"SQL does not say which lake is this database's: {error}") from error
        await loop.run_in_executor(self.threads, self.lake.probe)


async def run_attempt(
    claim: Claim,
    tools: Tools,
    *,
    place: Place,
    was_cancelled: Callable[[], bool],
    on_failure: Callable[[RunError], None],
) -> Outcome:
    """Run one claim and return its outcome.

    Cancelling the task closes the model's connection. The run then ends as CANCELLED if ``was_cancelled`` says that an
    operator asked for it; otherwise nothing is stored and the cancellation propagates. ``on_failure`` is called with a
    failure before its slot is free for another run.
    """
    record = RunRecord(claim, lake=tools.lake, worker_id=tools.worker_id)
    question: Question | None = None
    try:
        record.know(trace_id=spans.trace_id())
        with spans.step("evidence"):
            prepared = await until_database_answers(
                lambda: _in_thread(tools, _prepare, claim, tools.sources, record, tools.client.body)
            )
        if isinstance(prepared, Outcome):
            place.begin_ending()
            return prepared
        question = prepared
        snapshot = await _know_snapshot(question, tools, record)
        question = fit_to_model(question, snapshot, record, tools.client.body)
        async with place.asking():
            try:
                answer = await _ask(question, tools, record)
            except ModelCrashed as error:
                await _give_back_if_server_is_gone(error, claim, tools)
                raise
            if answer.time_to_first_token_ms is not None:
                place.first_token_seconds = answer.time_to_first_token_ms / 1000
            if tools.turns is not None:
                tools.turns.note_load((answer.metrics.load_duration or 0) / 1e9)
        checks = await _look_again(question, answer, snapshot, tools)
        return await _in_thread(tools, _judge, question, answer, checks, record, tools.sources.token_rates)
    except RunError as error:
        on_failure(error)
        place.begin_ending()
        smaller = await _smaller_parts(error, question, record, tools)
        return await _in_thread(tools, _close_failed, error, question, record, smaller)
    except asyncio.CancelledError:
        if not was_cancelled():
            record.abandon()
            raise
        place.begin_ending()
        stopped = Cancelled("an operator asked for this job to be cancelled")
        return await _in_thread(tools, _close_cancelled, stopped, record)
    except Exception as error:  # noqa: BLE001 (said below)
        # The one boundary where a slot must survive its job's errors.
        if is_out_of_files(error):
            unable = LakeUnavailable(OUT_OF_FILES)
            on_failure(unable)
            place.begin_ending()
            return await _in_thread(tools, _close_failed, unable, question, record)
        place.begin_ending()
        log.error(
            "run.internal_error", extra={"job_id": claim.job_id, "run_id": claim.run_id, "error": places_of(error)}
        )
        internal = InternalError(f"a fault in the worker: {places_of(error)}")
        return await _in_thread(tools, _close_failed, internal, question, record)


def _prepare(
    claim: Claim, sources: Sources, record: RunRecord, body_of: Callable[[ChatRequest], bytes]
) -> Question | Outcome:
    """Return what the model is to be asked, or the outcome of a run that asks none: it splits its job, or joins it."""
    if claim.joins_parts:
        return join_parts(claim, sources, record)
    prepared = prepare_question(claim, sources, record, body_of)
    if isinstance(prepared, Split):
        return record.close(RunStatus.SPLIT, split=prepared)
    return prepared


async def _in_thread(tools: Tools, work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """Run work on a thread to its end; a cancelled caller waits, since the thread owns the record until then."""
    # In the run's own context, so that its spans are children of the run's.
    call = partial(copy_context().run, partial(work, *given, **named))
    future = asyncio.get_running_loop().run_in_executor(tools.threads, call)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise


async def _know_snapshot(question: Question, tools: Tools, record: RunRecord) -> ModelSnapshot:
    snapshot = await tools.client.snapshot(question.request.model, job_has_own_model=question.is_jobs_own_model)
    record.know(model_digest=snapshot.digest)
    record.add_file("model.json", snapshot.model_json(question.request.options.to_json()))
    return snapshot


async def _ask(question: Question, tools: Tools, record: RunRecord) -> ChatAnswer:
    with spans.chat(
        question.request, base_url=tools.client.shown_base_url, provider=tools.sources.ollama.protocol.value
    ) as tell:
        try:
            answer = await tools.client.chat(
                question.body,
                sink=record.take_bytes,
                job_has_own_model=question.is_jobs_own_model,
                on_cancelled=record.know_answer,
            )
        except SchemaRefused as error:
            refused = SchemaRefused(f"the output schema of {question.definition} is refused: {error}")
            refused.partial_answer = error.partial_answer
            refused.definition_sha256 = question.definition.definition_sha256
            raise refused from error
        except EvidenceTooLarge as error:
            too_large = EvidenceTooLarge(f"{error}; the prompt was expected to be {question.estimate}")
            too_large.partial_answer = error.partial_answer
            raise too_large from error
        tell(answer)
    return answer


async def _give_back_if_server_is_gone(error: ModelCrashed, claim: Claim, tools: Tools) -> None:
    """Raise ModelUnavailable when the server broke off because it went away, and others can answer.

    Not twice in a row for one job: it may be what takes servers down, and is counted then.
    """
    was_given_back = claim.previous_error_kind == ErrorKind.MODEL_UNAVAILABLE
    if not (tools.others_can_answer and error.connection_broke) or was_given_back:
        return
    try:
        async with asyncio.timeout(GONE_SECONDS):
            await tools.client.probe()
    except ModelUnavailable as gone:
        given_back = ModelUnavailable(f"{error}; and now {gone}")
        given_back.partial_answer = error.partial_answer
        raise given_back from error
    except TimeoutError:
        return


async def _look_again(
    question: Question, answer: ChatAnswer, snapshot: ModelSnapshot, tools: Tools
) -> tuple[AnswerCheck, ...]:
    """Check that the model that was asked answered; an unreachable server does not invalidate the answer."""
    try:
        loaded = await tools.client.loaded(question.request.model)
    except RunError:
        loaded = None
    return check_answer(
        question.request,
        answer,
        digest=snapshot.digest,
        loaded=loaded,
    )


def _judge(
    question: Question,
    answer: ChatAnswer,
    checks: tuple[AnswerCheck, ...],
    record: RunRecord,
    rates: TokenRates,
) -> Outcome:
    record.know_answer(answer)
    rates.learn(question.make_up, answer.metrics.prompt_eval_count or 0, model=model_key(question.request.model))
    with spans.step("validate"):
        validation = question.validate_and_judge_facts(answer.content)
    report = {**validation.report(), "answer_checks": checks}
    record.add_file("validation.json", to_json(report, indent=2))
    if validation.error is not None:
        return _close_failed(validation.error, question, record)
    output = validation.output_json
    if output is not None:
        record.add_file("output.json", output)
        record.know(output_json=output)
    # A part's facts are stored with the joined answer, where their places in the whole evidence are known.
    facts = () if record.claim.parent_job_id is not None else validation.facts
    return record.close(RunStatus.SUCCEEDED, facts=facts if question.keeps_facts else None)


async def _smaller_parts(error: RunError, question: Question | None, record: RunRecord, tools: Tools) -> Split | None:
    """Return what to read instead of failing, if the evidence or the answer is too much for the model; else None."""
    if error.kind not in TOO_MUCH or _has_room_for_twice(error, question, record.claim):
        return None
    runs = tools.sources.previous_runs
    try:
        if record.claim.parent_job_id is not None:
            return await until_database_answers(lambda: _in_thread(tools, halved_part, record.claim, runs))
        return None if question is None else await _in_thread(tools, question.in_parts)
    except (RunError, QueueError) as unreadable:
        log.warning("run.not_halved", extra={"run_id": record.claim.run_id, "error": str(unreadable)})
        return None
    except asyncio.CancelledError:
        record.abandon()
        raise


def _has_room_for_twice(error: RunError, question: Question | None, claim: Claim) -> bool:
    """Whether asking again for an answer of twice the length is possible: that repeats less than smaller parts do."""
    if error.then is not NextStep.ASK_LONGER or question is None or claim.is_last_attempt:
        return False
    answer = answer_of(error)
    used = (answer.metrics.prompt_eval_count or 0) if answer else 0
    options = question.request.options
    return longer_answer(options, prompt_tokens=used) == 2 * options.num_predict


def _close_failed(
    error: RunError, question: Question | None, record: RunRecord, smaller: Split | None = None
) -> Outcome:
    partial = answer_of(error)
    if partial is not None:
        record.know_answer(partial)
    if smaller is not None:
        return record.close(RunStatus.SPLIT, error=error, split=smaller)
    return record.close(
        RunStatus.FAILED, error=error, retry_after_seconds=_retry_after_seconds(error, question, partial, record.claim)
    )


def _close_cancelled(error: Cancelled, record: RunRecord) -> Outcome:
    return record.close(RunStatus.CANCELLED, error=error)


def _retry_after_seconds(
    error: RunError, question: Question | None, partial: ChatAnswer | None, claim: Claim
) -> int | None:
    """Return the seconds until the job is retried, or None if a retry cannot help."""
    match error.then:
        case NextStep.ASK_AGAIN | NextStep.GIVE_BACK:
            return 0
        case NextStep.BACK_OFF:
            return backoff_seconds(claim.attempt_count, _rng)
        case NextStep.ASK_LONGER:
            used = (partial.metrics.prompt_eval_count or 0) if partial else 0
            has_room = question is not None and longer_answer(question.request.options, prompt_tokens=used) is not None
            return 0 if has_room or claim.is_last_attempt else None
        case NextStep.FAIL | NextStep.STOP:
            return None
