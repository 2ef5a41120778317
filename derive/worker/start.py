"""Assembles a worker and runs it, after checking its dependencies, so that no job is claimed in vain."""

import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from django.db import connection

from derive.errors import ConfigurationError, InvalidInput, LakeFileTooLarge, QueueError
from derive.evidence.redaction_file import read_redactor
from derive.evidence.sources import MAX_SOURCE_BYTES
from derive.evidence.tokens import TokenRates
from derive.interrogations.live_registry import LiveRegistry
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.lake import Lake
from derive.model_clients import open_client
from derive.model_servers.endpoints import EndpointSettings, only_endpoint
from derive.model_servers.settings import ModelSettings
from derive.queue.worker import WorkerQueue
from derive.sql.scripts import check_schema
from derive.worker.attempt import Tools
from derive.worker.call_thread import CallThread
from derive.worker.load_times import known_load_seconds
from derive.worker.loop import WorkerLoop, WorkerReport
from derive.worker.model_turns import ModelTurns
from derive.worker.options import WorkerOptions
from derive.worker.previous_runs import PreviousRuns
from derive.worker.question import Sources
from derive.worker.token_history import counted_prompts, learn_from_prompts

log = logging.getLogger(__name__)

FILE_THREADS = 8
"""Threads that prepare questions, judge answers and write the lake: enough to overlap disk waits."""
QUEUE_CALL_SECONDS = 30.0
"""Time limit of a claim, a completion or a read: longer than any wait for locks. A call that hangs on a frozen
connection is abandoned then, and a completion repeated on a new one."""
SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter. Each system call releases it, and with Python's default of 5 ms a busy
event loop delays each of a run's file operations that long: measured, eight writers beside a loop that is busy half
the time write 427 runs/s, and 219 with the default."""
OBJECTS_BEFORE_COLLECTING = 10_000
"""Python's own 700 are a few jobs' objects, of which next to none are in cycles."""


def run_worker(
    options: WorkerOptions,
    *,
    ollama: ModelSettings,
    endpoints: Sequence[EndpointSettings] = (),
    lake_url: str,
    interrogations_folder: Path | None,
    delimiter_key: bytes,
    redaction_file: Path | None = None,
) -> WorkerReport:
    """Run a worker to its end and return its report; without ``endpoints`` it uses the one server of ``ollama``.

    Raises before anything is claimed: SchemaMismatch if the database's scripts differ from this tree's,
    ConfigurationError for an invalid redaction pattern or a folder of interrogations that cannot be read,
    DatabaseUnavailable, WorkerIdInUse. An interrogation that is broken is logged, and its jobs are not claimed.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is loaded by now stays to the end: no collection need look through it.
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTING)
    asked = _endpoints_of(options, endpoints or (only_endpoint(ollama, slots=options.concurrency),))
    options = replace(options, concurrency=sum(endpoint.slots for endpoint in asked))
    redactor = read_redactor(redaction_file)
    lake = Lake.open(lake_url)
    with (
        CallThread("queue", seconds=QUEUE_CALL_SECONDS) as queue_thread,
        ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="files") as threads,
    ):
        interrogations = queue_thread.submit(_register_interrogations, interrogations_folder).result()
        rates = TokenRates()
        threads.submit(_learn_from_previous_runs, rates, lake, queue_thread)
        sources = Sources(
            interrogations=interrogations,
            redactor=redactor,
            delimiter_key=delimiter_key,
            ollama=asked[0].server,
            read_lake=partial(_read_evidence, lake),
            previous_runs=PreviousRuns(lake, queue_thread=queue_thread),
            token_rates=rates,
        )
        return asyncio.run(_run(options, asked, sources, lake, threads=threads, queue_thread=queue_thread))


def _endpoints_of(options: WorkerOptions, endpoints: Sequence[EndpointSettings]) -> list[EndpointSettings]:
    """Return the endpoints that serve the one model the options name; all of them when they name none."""
    model = options.model
    if model is None:
        return list(endpoints)
    serving = [
        replace(endpoint, server=endpoint.server.model_copy(update={"model": model}))
        for endpoint in endpoints
        if endpoint.serves(model)
    ]
    if not serving:
        raise ConfigurationError(f"--model {model}: no endpoint of HOLOCRON_ENDPOINTS has it among its models")
    return serving


def _learn_from_previous_runs(rates: TokenRates, lake: Lake, queue_thread: CallThread) -> None:
    """Learn from earlier runs in the background; never delays or fails a start."""
    try:
        prompts = queue_thread.submit(counted_prompts).result()
        learned = learn_from_prompts(rates, prompts, lake)
    except QueueError as error:
        log.warning("worker.rates_not_learned", extra={"error": str(error)})
        return
    if learned:
        log.info("worker.rates_learned", extra={"runs": learned})


def _read_evidence(lake: Lake, uri: str) -> bytes:
    try:
        return lake.read(uri, max_bytes=MAX_SOURCE_BYTES)
    except LakeFileTooLarge as error:
        raise InvalidInput(f"{error}, the most that is read as one piece of evidence: split it") from error


def _register_interrogations(folder: Path | None) -> LiveRegistry:
    """Check the database's scripts, then load the interrogations, each registered before it is used."""
    check_schema(connection)
    queue = WorkerQueue()

    def register(interrogation: LoadedInterrogation) -> str | None:
        definition = interrogation.definition
        registration = queue.register(
            definition_sha256=definition.definition_sha256,
            interrogation_key=definition.interrogation_key,
            version=definition.version,
            prompt_template=definition.prompt_template,
            output_schema_json=definition.output_schema_json,
            rubric=definition.rubric,
        )
        return None if registration.registered else f"{definition}: {registration.why}"

    return LiveRegistry(folder, accept=register, keep_last_good=True)


async def _run(
    options: WorkerOptions,
    endpoints: Sequence[EndpointSettings],
    sources: Sources,
    lake: Lake,
    *,
    threads: ThreadPoolExecutor,
    queue_thread: CallThread,
) -> WorkerReport:
    is_by_model = options.model_affinity and options.model is None
    load_seconds = await asyncio.wrap_future(queue_thread.submit(known_load_seconds)) if is_by_model else {}
    async with AsyncExitStack() as clients:
        asked = []
        for endpoint in endpoints:
            client = open_client(endpoint.server)
            clients.push_async_callback(client.aclose)
            turns = ModelTurns(
                endpoint.server.model, quantum_seconds=options.model_quantum_seconds, load_seconds=load_seconds
            )
            tools = Tools(
                worker_id=options.worker_id,
                sources=replace(sources, ollama=endpoint.server),
                client=client,
                lake=lake,
                threads=threads,
                queue_thread=queue_thread,
                turns=turns if is_by_model else None,
                concurrency=options.concurrency,
                others_can_answer=len(endpoints) > 1,
            )
            asked.append((endpoint, tools))
        return await WorkerLoop(options, asked, queue_thread=queue_thread).run()
