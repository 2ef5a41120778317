"""Decides whether an answer is accepted with the facts it has."""

from collections.abc import Sequence
from typing import Literal

from derive.contracts import JudgedFact
from derive.errors import RunError, UngroundedOutput, UnsupportedOutput
from derive.facts.judging import MAX_PROBLEMS, Judged
from derive.facts.terms import Terms
from derive.interrogations.report import Detail, ValidationCheck, excerpt_of, message_of
from derive.states import Verdict

Checks = tuple[ValidationCheck, ValidationCheck]


def is_grounded(fact: JudgedFact) -> bool:
    """Whether the evidence that the fact cites contains its quote."""
    return fact.evidence_id is not None


def is_bad(fact: JudgedFact) -> bool:
    """Whether the fact is known to be wrong: its quote is not in the evidence, or contradicts its value."""
    return not is_grounded(fact) or fact.verdict is Verdict.REFUTED


def check_acceptance(judged: Judged, terms: Terms) -> tuple[Checks, RunError | None]:
    """Return an answer's checks ``grounding`` and ``proof``, and the error if it is not accepted."""
    ungrounded = sum(not is_grounded(fact) for fact in judged.facts)
    refuted = [fact for fact in judged.facts if fact.verdict is Verdict.REFUTED]
    stands = terms.admit(bad=ungrounded + len(refuted), facts=len(judged.facts))
    grounding = _check("grounding", judged.problems, stands=stands)
    proof = _check("proof", _details(refuted), stands=stands)
    if stands:
        return (grounding, proof), None
    problems = message_of((*grounding.details, *proof.details))
    if ungrounded:
        return (grounding, proof), UngroundedOutput(f"the answer is not grounded: {problems}")
    return (grounding, proof), UnsupportedOutput(f"the answer's own quotes refute its values: {problems}")


def _details(refuted: Sequence[JudgedFact]) -> tuple[Detail, ...]:
    return tuple(
        Detail(
            path=fact.path,
            problem=f"has a value that its quote refutes (rule {fact.proof})",
            excerpt=excerpt_of(fact.value),
            why=fact.why,
        )
        for fact in refuted[:MAX_PROBLEMS]
    )


def _check(name: Literal["grounding", "proof"], details: tuple[Detail, ...], *, stands: bool) -> ValidationCheck:
    if not details:
        return ValidationCheck(name=name, result="passed")
    return ValidationCheck(name=name, result="kept" if stands else "failed", details=details)
