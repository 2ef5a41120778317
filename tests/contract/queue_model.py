"""The queue as plain Python: what the contract says a call answers and leaves, without SQL, locks or rows.

Times are seconds on a clock that moves only when a test lets time pass.
"""

from dataclasses import dataclass, field
from uuid import UUID

from derive.states import HOLDS_DEDUPE_KEY, LIVE, REQUEUEABLE, WAITING, JobStatus, LeaseState, RunStatus

Move = tuple[str, str | None, str]


@dataclass
class ModelRun:
    """One attempt; ``said`` is the completion that ended it and what that answered, for when it is said again."""

    run_id: UUID
    worker_id: str
    status: RunStatus = RunStatus.RUNNING
    counted: bool = True
    error_kind: str | None = None
    said: tuple[RunStatus, JobStatus] | None = None


@dataclass
class ModelJob:
    """One job with its runs in the order of their attempts and its events as (event, from, to)."""

    job_id: UUID
    status: JobStatus
    priority: int
    max_attempts: int
    model_hint: str | None
    dedupe_key: str | None
    available: float
    attempt_count: int = 0
    error_kind: str | None = None
    lease_until: float = 0
    cancel_requested: bool = False
    held: bool = False
    runs: list[ModelRun] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)

    def move(self, event: str, to: JobStatus) -> None:
        self.moves.append((event, self.status.value, to.value))
        self.status = to

    def end_run(self, status: RunStatus, *, counted: bool, error_kind: str | None) -> ModelRun:
        run = self.runs[-1]
        run.status, run.counted, run.error_kind = status, counted, error_kind
        self.attempt_count -= not counted
        self.error_kind = error_kind
        return run


class ModelQueue:
    """All jobs by id, in the order in which they were queued."""

    def __init__(self) -> None:
        self.now: float = 0
        self.jobs: dict[UUID, ModelJob] = {}

    def holder(self, dedupe_key: str | None) -> ModelJob | None:
        found = (job for job in self.jobs.values() if job.dedupe_key == dedupe_key and job.status in HOLDS_DEDUPE_KEY)
        return next(found, None) if dedupe_key is not None else None

    def enqueue(self, job: ModelJob) -> tuple[UUID, bool, JobStatus]:
        holder = self.holder(job.dedupe_key)
        if holder:
            return holder.job_id, True, holder.status
        self.jobs[job.job_id] = job
        job.moves.append(("enqueued", None, job.status.value))
        return job.job_id, False, job.status

    def waiting_state(self, available: float) -> JobStatus:
        return JobStatus.SCHEDULED if available > self.now else JobStatus.NEW

    def promote(self) -> int:
        due = [job for job in self.jobs.values() if job.status is JobStatus.SCHEDULED and job.available <= self.now]
        for job in due:
            job.move("promoted", JobStatus.NEW)
        return len(due)

    def claimable(self, model: str | None) -> list[ModelJob]:
        ready = (job for job in self.jobs.values() if job.status is JobStatus.NEW)
        return [job for job in ready if model is None or job.model_hint in {None, model}]

    def claim(self, job: ModelJob, run: ModelRun, lease_seconds: int) -> None:
        job.runs.append(run)
        job.attempt_count += 1
        job.lease_until = self.now + lease_seconds
        job.move("claimed", JobStatus.RUNNING)

    def heartbeat(self, worker_id: str, named: list[UUID], lease_seconds: int) -> dict[UUID, LeaseState]:
        states = dict.fromkeys(named, LeaseState.LOST)
        for job in self.jobs.values():
            if job.status is not JobStatus.RUNNING or job.runs[-1].worker_id != worker_id:
                continue
            run_id = job.runs[-1].run_id
            if run_id in states:
                states[run_id] = LeaseState.CANCEL_REQUESTED if job.cancel_requested else LeaseState.HELD
                job.lease_until = self.now + lease_seconds
            else:
                states[run_id] = LeaseState.STRAY
        return states

    def complete(
        self, job: ModelJob, run: ModelRun, status: RunStatus, kind: str | None, retry: int | None, *, count: bool
    ) -> tuple[bool, JobStatus]:
        if run.status is not RunStatus.RUNNING or (status is RunStatus.CANCELLED and not job.cancel_requested):
            return (True, run.said[1]) if run.said and run.said[0] is status else (False, job.status)
        counted = status is RunStatus.SUCCEEDED or (status is RunStatus.FAILED and count)
        job.end_run(status, counted=counted, error_kind=kind)
        if status is RunStatus.SUCCEEDED:
            job.move("completed", JobStatus.SUCCEEDED)
        elif job.cancel_requested:
            job.move("cancelled", JobStatus.CANCELLED)
        elif retry is None:
            job.move("completed", JobStatus.FAILED)
        elif job.attempt_count >= job.max_attempts:
            job.move("dead_lettered", JobStatus.DEADLETTER)
        else:
            job.available = self.now + retry if retry else job.available
            job.move("retried", JobStatus.SCHEDULED if retry else JobStatus.NEW)
        run.said = (status, job.status)
        return True, job.status

    def release(self, job: ModelJob) -> JobStatus:
        job.end_run(RunStatus.CANCELLED, counted=False, error_kind="released")
        if job.cancel_requested:
            job.move("released", JobStatus.RUNNING)
            job.move("cancelled", JobStatus.CANCELLED)
        else:
            job.move("released", JobStatus.NEW)
        return job.status

    def reap(self) -> dict[UUID, JobStatus]:
        expired = [j for j in self.jobs.values() if j.status is JobStatus.RUNNING and j.lease_until < self.now]
        for job in expired:
            first = all(run.error_kind != "lease_expired" for run in job.runs)
            job.end_run(RunStatus.FAILED, counted=True, error_kind="lease_expired")
            if job.cancel_requested or job.attempt_count >= job.max_attempts:
                job.move("lease_expired", JobStatus.RUNNING)
                if job.cancel_requested:
                    job.move("cancelled", JobStatus.CANCELLED)
                else:
                    job.move("dead_lettered", JobStatus.DEADLETTER)
            else:
                if not first:
                    job.available = self.now + min(3600, 30 * 2 ** (job.attempt_count - 1))
                job.move("lease_expired", JobStatus.NEW if first else JobStatus.SCHEDULED)
        return {job.runs[-1].run_id: job.status for job in expired}

    def cancel(self, job: ModelJob) -> bool:
        if job.status not in LIVE or (job.status is JobStatus.RUNNING and job.cancel_requested):
            return False
        running = job.status is JobStatus.RUNNING
        job.cancel_requested = True
        job.move(*(("cancel_requested", JobStatus.RUNNING) if running else ("cancelled", JobStatus.CANCELLED)))
        return True

    def requeue(self, job: ModelJob, delay: int) -> bool:
        if job.status not in REQUEUEABLE or self.holder(job.dedupe_key):
            return False
        job.available, job.attempt_count, job.error_kind, job.cancel_requested = self.now + delay, 0, None, False
        job.move("requeued", self.waiting_state(job.available))
        return True

    def reschedule(self, job: ModelJob, delay: int) -> bool:
        if job.status not in WAITING:
            return False
        job.available = self.now + delay
        job.move("rescheduled", self.waiting_state(job.available))
        return True

    def reprioritize(self, job: ModelJob, priority: int) -> bool:
        if job.status is JobStatus.SUCCEEDED or job.priority == priority:
            return False
        job.priority = priority
        job.move("reprioritized", job.status)
        return True

    def set_model_hint(self, job: ModelJob, model_hint: str | None) -> bool:
        if job.status is JobStatus.SUCCEEDED or job.model_hint == model_hint:
            return False
        job.model_hint = model_hint
        job.move("model_changed", job.status)
        return True

    def set_hold(self, job: ModelJob, *, hold: bool) -> bool:
        if job.held == hold:
            return False
        job.held = hold
        job.move("held" if hold else "unheld", job.status)
        return True
