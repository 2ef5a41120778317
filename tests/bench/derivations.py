"""Comparing a source with unchanged subjects: seconds and memory, for 100,000 and for a million of them."""

import resource
import time
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection

from derive.derivation_contracts import Declaration
from derive.derivations.declarations import Declared
from derive.derivations.planning import make_plan
from derive.derivations.wanted import Wanted
from derive.evidence.references import EvidenceRef
from derive.models import Derivation
from derive.queue import JobQueue
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable

KEY = "bench"
TARGETS = {100_000: 3.0, 1_000_000: 30.0}
HASHED = 20_000
MIN_HASHED = 20_000
TEXT = "Hoth is a cold planet. Its sun is far away, and its storms last for days. " * 27

FILL = """
INSERT INTO llm.subject (
    derivation_seq, entity_type, entity_id, state, change_token, evidence_sha256, definition_sha256, model, job_id
)
SELECT
    %(seq)s, 'planet', 'folder/planet-' || g || '.txt', 'CURRENT', %(view)s || ':' || g, repeat('a', 64),
    %(definition)s, %(model)s, gen_random_uuid()
FROM generate_series(1, %(subjects)s) AS g
"""


class Numbers(Source):
    """A source of numbered subjects, with change tokens or without."""

    name, kind = "numbers", "numbers"

    def __init__(self, amount: int, *, has_tokens: bool) -> None:
        self._amount = amount
        self._has_tokens = has_tokens

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        for number in range(1, self._amount + 1):
            token = str(number) if self._has_tokens else None
            yield SourceSubject("planet", f"folder/planet-{number}.txt", token, "numbers:")

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        for subject in subjects:
            items = (EvidenceRef.model_construct(evidence_id="text", text=TEXT + subject.entity_id),)
            yield SubjectEvidence(subject, items)


def measure() -> Iterator[dict[str, Any]]:
    """Yield the seconds of a plan over unchanged subjects with change tokens, then rows per second without."""
    declared = Declared(KEY, Declaration(source="numbers", interrogation="sw_entity_facts_v1"), "admin", None)
    JobQueue().declare_derivation(KEY, declared.usable(), declared_in="admin", actor="bench")
    row = Derivation.objects.get(derivation_key=KEY)
    declared = Declared(KEY, declared.declaration, "admin", row)
    wanted = Wanted.of(KEY, declared.usable())
    for subjects, target in TARGETS.items():
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE llm.subject")
            values: dict[str, Any] = {"seq": row.derivation_seq, "view": wanted.view, "subjects": subjects}
            cursor.execute(FILL, values | {"definition": wanted.definition_sha256, "model": wanted.model})
            cursor.execute("ANALYZE llm.subject")
        before = _peak_mib()
        begun = time.perf_counter()
        plan = make_plan(declared, Numbers(subjects, has_tokens=True))
        seconds = time.perf_counter() - begun
        if (plan.current, plan.to_derive, plan.gone) != (subjects, 0, 0):
            raise AssertionError(plan)
        yield {
            "name": f"plan over {subjects:,} unchanged subjects",
            "seconds": round(seconds, 2),
            "peak_growth_mib": round(_peak_mib() - before, 1),
            "target": f"<= {target} s",
            "met": seconds <= target,
        }
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM llm.subject WHERE subject_seq > (SELECT min(subject_seq) + %s FROM llm.subject)", [HASHED - 1]
        )
        cursor.executemany(
            "UPDATE llm.subject SET change_token = %s WHERE entity_id = %s",
            [
                (wanted.token_of_text(one.items), one.subject.entity_id)
                for one in Numbers(HASHED, has_tokens=False).read_all()
                if isinstance(one, SubjectEvidence)
            ],
        )
    begun = time.perf_counter()
    plan = make_plan(declared, Numbers(HASHED, has_tokens=False))
    if plan.current != HASHED:
        raise AssertionError(plan)
    rate = HASHED / (time.perf_counter() - begun)
    yield {
        "name": f"plan over {HASHED:,} texts of 2 KB without change tokens",
        "rows_per_second": round(rate),
        "target": f">= {MIN_HASHED}",
        "met": rate >= MIN_HASHED,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
