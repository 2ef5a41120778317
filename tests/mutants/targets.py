"""The files that are mutated, and the tests that must notice each mutant."""

from dataclasses import dataclass
from pathlib import Path

from tests.mutants.deliberate import DELIBERATE_FAULTS, DeliberateFault
from tests.mutants.mutation import ROOT, Mutant
from tests.mutants.python_mutants import python_mutants
from tests.mutants.sql_mutants import sql_mutants

PROCEDURES = "migrations_sql/postgresql/procedures"
TSQL_PROCEDURES = "migrations_sql/sqlserver/procedures"


@dataclass(frozen=True)
class Target:
    """A file and the tests that must notice each of its mutants, or one deliberate fault in it.

    ``tests`` are paths below ROOT, or such a path, ``::`` and the name of one test.
    """

    path: str
    tests: tuple[str, ...]
    fault: DeliberateFault | None = None

    @property
    def title(self) -> str:
        """The target's name in tables."""
        return f"deliberate: {self.fault.breaks}" if self.fault else self.path

    def mutants(self) -> list[Mutant]:
        """Return every mutant of the file."""
        if self.fault:
            return [self.fault.mutant(self.source())]
        return list((python_mutants if self.path.endswith(".py") else sql_mutants)(self.path, self.source()))

    def source(self) -> str:
        """Return the file's text."""
        return Path(ROOT, self.path).read_text("utf-8")

    def missing_tests(self) -> list[str]:
        """Return the named tests that do not exist."""
        return [test for test in self.tests if not _exists(*test.partition("::"))]


def _exists(path: str, _colons: str, name: str) -> bool:
    file = Path(ROOT, path)
    return file.exists() and f"def {name}" in file.read_text("utf-8")


_CLAIM = "tests/contract/test_claim.py"
_CLOCK = "tests/contract/test_clock_put_back.py"
_COMPLETION = "tests/contract/test_completion.py"
_DEDUPE = "tests/contract/test_dedupe.py"
_ENDPOINTS = "tests/contract/test_endpoints.py"
_ENQUEUE = "tests/contract/test_enqueue.py"
_LEASES = "tests/contract/test_leases.py"
_LOCKS = "tests/contract/test_locks.py"
_OPERATORS = "tests/contract/test_operators.py"
_PURGE = "tests/contract/test_purge.py"
_PURGE_FACTS = "tests/contract/test_purge_facts.py"
_ENQUEUE_BOUNDS = "tests/contract/test_enqueue_bounds.py"
_ENQUEUE_WHOLE = "tests/contract/test_enqueue_whole.py"
_FACT_CONFLICTS = "tests/contract/test_fact_conflicts.py"
_FACT_RACES = "tests/contract/test_fact_races.py"
_FACT_REBUILDS = "tests/contract/test_fact_rebuilds.py"
_FACT_STORAGE = "tests/contract/test_fact_storage.py"
_INTERROGATIONS = "tests/contract/test_interrogations.py"
_LAKE_IDENTITY = "tests/contract/test_lake_identity.py"
_RETENTION = "tests/contract/test_retention.py"
_LOAD_TIMES = "tests/contract/test_load_times.py"
_ESCALATION = "tests/contract/test_escalation.py"
_SILENT_WORKERS = "tests/contract/test_silent_workers.py"
_MODELS = "tests/contract/test_models.py"
_MODEL_CHOICE = "tests/contract/test_model_choice.py"
_ADMITTED_FACTS = "tests/contract/test_admitted_facts.py"
_FACT_SETTLING = "tests/contract/test_fact_settling.py"
_COMPLETING_TOGETHER = "tests/contract/test_completing_together.py"
_COMPLETING_LOCKS = "tests/contract/test_completing_locks.py"
_ROLL_UP = "tests/contract/test_roll_up.py"
_ROLL_UP_EDGES = "tests/contract/test_roll_up_edges.py"
_SEALING = "tests/contract/test_sealing.py"
_SEAL_PROCEDURES = "tests/contract/test_seal_procedures.py"
_TSQL_LOCKS = "tests/unit/test_sqlserver_locks.py"

_TESTS_OF_PROCEDURES: dict[str, tuple[str, ...]] = {
    "usp_claim_next_job": (_CLAIM, _MODELS, _MODEL_CHOICE, _LOCKS),
    "usp_complete_job": (_COMPLETION, _LOCKS),
    "usp_complete_jobs": (
        _COMPLETING_TOGETHER,
        _COMPLETING_LOCKS,
        f"{_FACT_RACES}::test_completions_in_one_call_lock_no_entity_while_they_wait_for_an_earlier_one",
    ),
    "usp_rebuild_facts": (
        _FACT_STORAGE,
        _FACT_CONFLICTS,
        _FACT_RACES,
        _FACT_REBUILDS,
        _FACT_SETTLING,
        _ADMITTED_FACTS,
    ),
    "usp_set_model": (_MODELS,),
    "usp_measure_loads": (_LOAD_TIMES,),
    "usp_escalate_aged_jobs": (_ESCALATION, _LOCKS),
    "usp_forget_workers": (_SILENT_WORKERS,),
    "usp_release_job": (_LEASES, _LOCKS),
    "usp_heartbeat": (_LEASES, _CLOCK, _ENDPOINTS, _LOCKS),
    "usp_reap_expired_leases": (_LEASES, _CLOCK, _LOCKS),
    "usp_promote_due_jobs": (_CLAIM, _LOCKS),
    "usp_enqueue_jobs": (
        _ENQUEUE_BOUNDS,
        _ENQUEUE,
        _DEDUPE,
        f"{_LOCKS}::test_a_batch_takes_dedupe_keys_in_their_order_not_in_its_own",
    ),
    "usp_cancel_jobs": (_OPERATORS, _LOCKS),
    "usp_requeue_jobs": (_OPERATORS, _DEDUPE, _LOCKS),
    "usp_reprioritize_jobs": (_OPERATORS, _LOCKS),
    "usp_reschedule_jobs": (_OPERATORS, _LOCKS),
    "usp_set_model_hint": (_OPERATORS, _LOCKS),
    "usp_set_hold": (_OPERATORS, _LOCKS),
    "usp_purge_jobs": (_PURGE, _PURGE_FACTS, _ROLL_UP, _FACT_RACES, _LOCKS),
    "usp_stage_jobs": (_ENQUEUE_WHOLE,),
    "usp_publish_jobs": (_ENQUEUE_WHOLE,),
    "usp_register_interrogation": (_INTERROGATIONS,),
    "usp_set_schema_refusal": (_INTERROGATIONS,),
    "usp_record_lake_deletions": (
        _RETENTION,
        f"{_LOCKS}::test_tries_to_delete_files_are_recorded_in_the_order_of_their_numbers",
    ),
    "usp_record_seal": (_SEAL_PROCEDURES, _SEALING),
    "usp_mark_seal_stored": (_SEAL_PROCEDURES, _SEALING),
    "usp_seal_horizon": (_SEAL_PROCEDURES, _SEALING),
    "usp_settle_lake": (_LAKE_IDENTITY,),
    "usp_roll_up_hours": (_ROLL_UP_EDGES, _ROLL_UP),
}

# PostgreSQL's usp_enqueue_job hands its one job to usp_enqueue_jobs: there is nothing to change.
TARGETS: tuple[Target, ...] = (
    Target("derive/backoff.py", ("tests/unit/test_backoff.py",)),
    Target("derive/states.py", ("tests/unit/test_states.py",)),
    Target("derive/worker/circuit_breaker.py", ("tests/unit/test_circuit_breaker.py",)),
    Target("derive/worker/database_retry.py", ("tests/unit/test_database_retry.py",)),
    Target("derive/worker/lease.py", ("tests/unit/test_lease_keeper.py",)),
    Target("derive/worker/slots.py", ("tests/unit/test_worker_slots.py",)),
    Target(
        "derive/schedules/single_flight.py", ("tests/unit/test_deadline.py", "tests/contract/test_single_flight.py")
    ),
    Target("derive/admin/lists/keyset.py", ("tests/admin/test_keyset.py", "tests/admin/test_job_list.py")),
    Target("derive/interrogations/grounding.py", ("tests/unit/test_grounding.py", "tests/unit/test_validation.py")),
    Target(
        "derive/facts/judging.py",
        ("tests/unit/test_facts.py", "tests/unit/test_grounding.py", "tests/unit/test_fact_values.py"),
    ),
    Target("derive/ollama/stream.py", ("tests/unit/test_ollama_stream.py",)),
    Target("derive/model_servers/stream.py", ("tests/unit/test_ollama_stream.py",)),
    Target("derive/evidence/bundle.py", ("tests/unit/test_evidence_bundle.py",)),
    Target("derive/evidence/redaction.py", ("tests/unit/test_redaction.py",)),
    Target("derive/evidence/sources.py", ("tests/unit/test_evidence_sources.py",)),
    *(Target(f"{PROCEDURES}/{name}.sql", tests) for name, tests in _TESTS_OF_PROCEDURES.items()),
    *(Target(f"{TSQL_PROCEDURES}/{name}.sql", (_TSQL_LOCKS,)) for name in (*_TESTS_OF_PROCEDURES, "usp_enqueue_job")),
    *(Target(fault.path, fault.tests, fault) for fault in DELIBERATE_FAULTS),
)
