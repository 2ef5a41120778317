"""Faults that the tests once missed, written out: each has to be killed by a test of its own promise."""

from dataclasses import dataclass

from tests.mutants.mutation import Mutant


@dataclass(frozen=True)
class DeliberateFault:
    """``before`` stands once in the file; ``after`` in its place breaks what ``breaks`` names."""

    breaks: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]

    def mutant(self, source: str) -> Mutant:
        """Return the file with the fault; raise ValueError where the code is not what it was."""
        if source.count(self.before) != 1:
            raise ValueError(f"{self.path} no longer holds once: {self.before}")
        line = source.count("\n", 0, source.index(self.before)) + 1
        return Mutant(self.path, line, "deliberate", self.breaks, source.replace(self.before, self.after))


_KEYSET = "derive/admin/lists/keyset.py"
_KEYSET_TESTS = ("tests/admin/test_keyset.py", "tests/admin/test_bulk.py")
_LOCKS = ("tests/contract/test_locks.py",)
_PROCEDURES = "migrations_sql/postgresql/procedures"

DELIBERATE_FAULTS = (
    DeliberateFault(
        "a page leaves out the row after its cursor",
        _KEYSET,
        "more = self._write(keys[rows - 1]) if len(keys) > rows else self._write(stop) if stop else None\n"
        "        keys = keys[:rows]\n        up",
        "more = self._write(keys[rows]) if len(keys) > rows else self._write(stop) if stop else None\n"
        "        keys = keys[:rows]\n        up",
        _KEYSET_TESTS,
    ),
    DeliberateFault(
        "a walk that gives up says so one row too late",
        _KEYSET,
        "skip=look_at - 1)",
        "skip=look_at)",
        _KEYSET_TESTS,
    ),
    DeliberateFault(
        "acting on all that match leaves out the newest job",
        _KEYSET,
        "(*found[0][:-1], found[0][-1] + 1)",
        "(*found[0][:-1], found[0][-1])",
        _KEYSET_TESTS,
    ),
    DeliberateFault(
        "leases are reaped at once after a reconnect",
        "derive/worker/lease.py",
        "self._next_reap = time.monotonic() + self._options.heartbeat_seconds",
        "self._next_reap = time.monotonic()",
        ("tests/unit/test_lease_keeper.py",),
    ),
    DeliberateFault(
        "a backoff has no jitter",
        "derive/backoff.py",
        "JITTER = 0.2",
        "JITTER = 0.0",
        ("tests/unit/test_backoff.py",),
    ),
    DeliberateFault(
        "a backoff has another cap",
        "derive/backoff.py",
        "MAX_SECONDS = 3600",
        "MAX_SECONDS = 1800",
        ("tests/unit/test_backoff.py",),
    ),
    DeliberateFault(
        "the circuit breaker never backs off",
        "derive/worker/circuit_breaker.py",
        "min(self._pause_seconds * 2, LONGEST_PAUSE_SECONDS)",
        "min(self._pause_seconds, LONGEST_PAUSE_SECONDS)",
        ("tests/unit/test_circuit_breaker.py",),
    ),
    DeliberateFault(
        "the wait for the database has no cap",
        "derive/worker/database_retry.py",
        "min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)",
        "pause_seconds * 2",
        ("tests/unit/test_database_retry.py",),
    ),
    DeliberateFault(
        "the wait for the database stays 20 ms",
        "derive/worker/database_retry.py",
        "await asyncio.sleep(pause_seconds * _rng.uniform(0.7, 1.3))",
        "await asyncio.sleep(0.02)",
        ("tests/unit/test_database_retry.py",),
    ),
    DeliberateFault(
        "a contended call is said again after a constant 20 ms",
        "derive/sql/calls.py",
        "FIRST_PAUSE_SECONDS * 2**tries * random.random()",
        "FIRST_PAUSE_SECONDS",
        ("tests/unit/test_call_repeats.py",),
    ),
    DeliberateFault(
        "what answered is not compared with what was asked",
        "derive/worker/attempt.py",
        "return check_answer(\n        question.request,\n        answer,\n        digest=snapshot.digest,\n"
        "        loaded=loaded,\n    )",
        "return ()",
        ("tests/faults/test_worker_bad_answers.py", "tests/faults/test_worker_models.py"),
    ),
    DeliberateFault(
        "a scheduled seal ignores its deadline",
        "derive/sealing/chain.py",
        "        if seals and deadline.is_over:\n",
        "        if seals and not deadline:\n",
        ("tests/contract/test_schedulers.py", "tests/contract/test_retention_policies.py"),
    ),
    *(
        DeliberateFault(
            f"{name} locks jobs in no order",
            f"{_PROCEDURES}/{name}.sql",
            " ORDER BY j.job_seq + 0 FOR NO KEY UPDATE;",
            " FOR NO KEY UPDATE;",
            _LOCKS,
        )
        for name in (
            "usp_cancel_jobs",
            "usp_requeue_jobs",
            "usp_reprioritize_jobs",
            "usp_reschedule_jobs",
            "usp_set_hold",
            "usp_set_model_hint",
        )
    ),
    DeliberateFault(
        "a claim by model waits for rows that somebody holds",
        f"{_PROCEDURES}/usp_claim_next_job.sql",
        "LIMIT least(usp_claim_next_job.max_jobs, v_room)\n            FOR NO KEY UPDATE SKIP LOCKED\n        ),\n"
        "        unasked",
        "LIMIT least(usp_claim_next_job.max_jobs, v_room)\n            FOR NO KEY UPDATE\n        ),\n        unasked",
        _LOCKS,
    ),
    DeliberateFault(
        "selected jobs have no bound",
        "derive/admin/jobs/bulk/views.py",
        "if len(refs) > MAX_SELECTED:",
        "if not refs:",
        ("tests/unit/test_bulk_request.py",),
    ),
)
