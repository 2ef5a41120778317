"""Decides whether an answer stands with the facts it has."""

from collections.abc import Sequence
from typing import Literal

from derive.errors import RunError, UngroundedOutput, UnsupportedOutput
from derive.facts.fact import Fact
from derive.facts.judging import MAX_PROBLEMS, Judged
from derive.facts.terms import Terms
from derive.interrogations.report import Detail, ValidationCheck, excerpt_of, message_of

Checks = tuple[ValidationCheck, ValidationCheck]


def standing_of(judged: Judged, terms: Terms) -> tuple[Checks, RunError | None]:
    """Return the checks ``grounding`` and ``proof`` of an answer, and the error that it ends with unless it stands."""
    ungrounded = sum(not fact.is_grounded for fact in judged.facts)
    refuted = [fact for fact in judged.facts if fact.is_bad and fact.is_grounded]
    stands = terms.admit(bad=ungrounded + len(refuted), facts=len(judged.facts))
    grounding = _check("grounding", judged.problems, stands=stands)
    proof = _check("proof", _details(refuted), stands=stands)
    if stands:
        return (grounding, proof), None
    problems = message_of((*grounding.details, *proof.details))
    if ungrounded:
        return (grounding, proof), UngroundedOutput(f"the answer is not grounded: {problems}")
    return (grounding, proof), UnsupportedOutput(f"the answer's own quotes refute its values: {problems}")


def _details(refuted: Sequence[Fact]) -> tuple[Detail, ...]:
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
