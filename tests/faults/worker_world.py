"""A whole worker in this process: the real queue and database, a lake in a folder, a fake Ollama on a real socket.

The worker runs on a thread, so that a test can watch it, stop it and act meanwhile; it is the command's own
``run_worker`` but for the signals, which only a main thread hears (``tests/acceptance`` sends those).
"""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import connections

from derive.contracts import JobInput, JobRef
from derive.lake import ARTIFACTS, Lake
from derive.model_servers.endpoints import EndpointSettings
from derive.model_servers.settings import ModelSettings
from derive.models import Artifact, Job, Run
from derive.queue import JobQueue
from derive.worker import circuit_breaker, claiming, database_retry, lease, options, start
from derive.worker.loop import WorkerLoop, WorkerReport
from derive.worker.options import WorkerOptions, started_now
from tests.contract.scenes import pass_time
from tests.fake_ollama import FakeOllama, behaviours
from tests.fake_ollama.answers import facts_content

DEADLINE_SECONDS = 20
KEY = "sw_entity_facts_v1"
PASSAGE = "Tala Venn was born on Corvessa. She commands the frigate Patient Lantern."
QUOTE = "Tala Venn was born on Corvessa"
GOOD_ANSWER = facts_content(("e1", QUOTE))
OPERATOR = "ada"

PREPARED = frozenset({"evidence.json", "prompt.txt", "request.json"})
ASKED = PREPARED | {"model.json"}
REFUSED = ASKED | {"response.ndjson"}
ANSWERED = REFUSED | {"response.json"}
JUDGED = ANSWERED | {"validation.json"}
SUCCEEDED = JUDGED | {"output.json"}
"""What a run leaves beside its manifest, by how far it came."""

_numbers = count(1)


def wait_until(holds: Callable[[], object], what: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return as soon as the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def input_json(*, text: str = PASSAGE, **members: Any) -> str:
    evidence = [{"evidence_id": "e1", "source_uri": "urn:test:1", "text": text}]
    envelope = {"entity_type": "character", "entity_id": "tala-venn", "extra_params": {"evidence": evidence}}
    return json.dumps(envelope | members, ensure_ascii=False)


class WatchedWorker(WorkerLoop):
    """The worker, on a thread: it hears no signals, and whoever started it can reach it."""

    started: ClassVar["list[WatchedWorker]"] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.started.append(self)

    @contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        yield


class RunningWorker:
    """A worker's thread, and what came of it."""

    def __init__(self, work: Callable[[], WorkerReport]) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._run, name="worker under test", daemon=True)
        self._known_before = len(WatchedWorker.started)
        self._error: BaseException | None = None
        self._report: WorkerReport | None = None
        self._thread.start()

    def _run(self) -> None:
        try:
            self._report = self._work()
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that asks)
            self._error = error
        finally:
            connections.close_all()

    @property
    def worker(self) -> WatchedWorker:
        """The worker itself, as soon as it is made."""
        wait_until(lambda: len(WatchedWorker.started) > self._known_before or self._error, "a worker is made")
        return WatchedWorker.started[self._known_before]

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def in_loop(self, act: Callable[[], object]) -> None:
        """Do something on the worker's own thread, between two steps of its runs."""
        worker = self.worker
        wait_until(lambda: hasattr(worker, "_loop") or self.has_ended, "the worker's loop runs")
        with contextlib.suppress(RuntimeError):  # it has ended
            worker._loop.call_soon_threadsafe(act)

    def stop(self) -> None:
        """As SIGTERM does."""
        self.in_loop(self.worker.stop)

    def join(self) -> None:
        self._thread.join(DEADLINE_SECONDS)
        assert self.has_ended, "the worker does not end"

    def report(self) -> WorkerReport:
        """Wait for the end; return the report, or raise what the worker raised."""
        self.join()
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report


@dataclass
class World:
    """All that a worker stands on; ``ollama`` are the settings it is given, unless it is given ``endpoints``."""

    fake: FakeOllama
    lake_root: Path
    queue: JobQueue = field(default_factory=JobQueue)
    ollama: dict[str, Any] = field(default_factory=dict)
    endpoints: tuple[EndpointSettings, ...] = ()
    interrogations_folder: Path | None = None
    started: list[RunningWorker] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake.open(str(self.lake_root))

    def enqueue(self, **values: Any) -> UUID:
        """Queue a job that a proper answer makes succeed, but for what is changed; its id."""
        job = {"interrogation_key": KEY, "input_json": input_json()} | values
        return self.queue.enqueue(JobInput(**job), actor=OPERATOR).job_id

    def worker(self, **options: Any) -> RunningWorker:
        """Start a worker; it goes on until it is stopped, unless the options say otherwise."""
        given: dict[str, Any] = {
            "worker_id": f"worker-{next(_numbers)}",
            "host": "here",
            "pid": 1,
            "version": "0",
            "lease_seconds": 60,
            "poll_seconds": 0.05,
            "grace_seconds": 10.0,
            "started_utc": started_now(),
        } | options
        settings = ModelSettings(**{"base_url": self.fake.url} | self.ollama)
        running = RunningWorker(
            lambda: start.run_worker(
                WorkerOptions(**given),
                ollama=settings,
                endpoints=self.endpoints,
                lake_url=str(self.lake_root),
                delimiter_key=b"key",
                interrogations_folder=self.interrogations_folder,
            )
        )
        self.started.append(running)
        return running

    def stop_all(self) -> None:
        """End what a failed test left running, without waiting for the model."""
        for running in self.started:
            if not running.has_ended:
                running.stop()
                running.stop()
            running.join()

    @contextmanager
    def working(self, **options: Any) -> Iterator[RunningWorker]:
        """A worker for the block, stopped at its end."""
        running = self.worker(**options)
        try:
            yield running
        finally:
            running.stop()
            running.report()

    def work(self, runs: int = 1, **options: Any) -> WorkerReport:
        """Let a worker make so many runs and end."""
        return self.worker(max_jobs=runs, **options).report()

    def job(self, job_id: UUID) -> Any:
        return Job.objects.get(job_id=job_id)

    def runs(self, job_id: UUID) -> list[Any]:
        return list(Run.objects.filter(job_id=job_id).order_by("attempt"))

    def run(self, job_id: UUID) -> Any:
        """The job's last run."""
        return self.runs(job_id)[-1]

    def wait_for(self, job_id: UUID, status: str) -> None:
        wait_until(lambda: self.job(job_id).status == status, f"the job is {status}")

    def let_lease_be_reaped(self, job_id: UUID, *, seconds: float = 7200) -> None:
        """Let time pass, more than the lease, until a reaper is faster than a heartbeat, which would renew it."""
        (first,) = self.runs(job_id)

        def is_reaped() -> bool:
            pass_time(seconds)
            self.queue.reap(actor="another worker")
            return bool(self.runs(job_id)[0].status != first.status)

        wait_until(is_reaped, "the lease is reaped")

    def cancel(self, job_id: UUID) -> None:
        (change,) = self.queue.cancel([JobRef(job_id=job_id)], actor=OPERATOR, reason="a test wants it")
        assert change.changed

    def file(self, run: Any, name: str) -> bytes:
        return self.lake.read(f"{self.folder(run)}/{name}")

    def folder(self, run: Any) -> str:
        return Lake.run_folder(run.started_utc, run.run_id)

    def has_left(self, run: Any, names: frozenset[str]) -> None:
        """Check that rows, files and manifest tell the same of exactly these files and the manifest itself."""
        folder = self.folder(run)
        rows = {row.lake_uri: row for row in Artifact.objects.filter(run_id=run.run_id)}
        assert set(rows) == {f"{folder}/{name}" for name in names | {"manifest.json"}}
        assert {entry.name for entry in self.lake_root.joinpath(folder).iterdir()} == names | {"manifest.json"}
        for uri, row in rows.items():
            content = self.lake.read(uri)
            assert (row.content_sha256, row.byte_count) == (hashlib.sha256(content).hexdigest(), len(content)), uri
            assert (row.artifact_type, row.media_type) == ARTIFACTS[uri.rpartition("/")[2]]
        manifest = self.lake.read_manifest(folder)
        assert {(file.name, file.content_sha256, file.byte_count) for file in manifest.files} == {
            (uri.rpartition("/")[2], row.content_sha256, row.byte_count)
            for uri, row in rows.items()
            if not uri.endswith("/manifest.json")
        }
        assert (manifest.run_id, manifest.job_id, manifest.attempt) == (run.run_id, run.job_id, run.attempt)
        assert (manifest.status, manifest.error_kind) == (run.status, run.error_kind)
        assert manifest.definition_sha256 == run.definition_sha256
        assert manifest.evidence_sha256 == run.evidence_sha256

    def has_left_nothing(self, run: Any) -> None:
        """Check that neither rows nor files tell of the run."""
        assert not Artifact.objects.filter(run_id=run.run_id).exists()
        folder = self.lake_root / self.folder(run)
        assert not folder.exists() or list(folder.iterdir()) == []

    def nothing_half_written(self) -> None:
        """Check that no file of the lake still bears the hidden name it had while it was written."""
        assert [path for path in self.lake_root.rglob(".*") if path.is_file()] == []


@contextmanager
def a_hurried_world(lake_root: Path, patch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose model answers properly, and whose workers do all that they do, but sooner."""
    patch.setattr(start, "WorkerLoop", WatchedWorker)
    # What is waited for is a condition, and each would come in seconds anyway.
    patch.setattr(options, "HEARTBEAT_SECONDS", 0.05)
    patch.setattr(lease, "REAP_SECONDS", 0.1)
    patch.setattr(lease, "RECONNECT_SECONDS", 0.05)
    patch.setattr(circuit_breaker, "FIRST_PAUSE_SECONDS", 0.02)
    patch.setattr(circuit_breaker, "LONGEST_PAUSE_SECONDS", 0.1)
    patch.setattr(claiming, "AWAY_SECONDS", 0.05)
    patch.setattr(database_retry, "FIRST_PAUSE_SECONDS", 0.02)
    patch.setattr(database_retry, "LONGEST_PAUSE_SECONDS", 0.05)
    with FakeOllama() as fake:
        fake.always(behaviours.answer(GOOD_ANSWER))
        world = World(fake=fake, lake_root=lake_root)
        try:
            yield world
        finally:
            world.stop_all()
