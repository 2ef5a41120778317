"""Checks a file of golden cases, line by line, before anything is saved."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from derive.contracts import Bounds, JobInput
from derive.errors import HolocronError
from derive.evidence.contracts import EvidenceBundle, EvidenceItem
from derive.evidence.references import problems_in_words
from derive.evidence.sources import inline_sources
from derive.golden.lines import CaseLine
from derive.golden_contracts import CaseInput
from derive.interrogations.grounding import Grounds
from derive.interrogations.registry import Registry
from derive.interrogations.report import Detail
from derive.strict_types import parse_json

MAX_CASES = 20_000
MAX_LINE_CHARACTERS = 8_000_000


class CaseRefused(ValueError):
    """The line is no valid case; the message says why."""


@dataclass
class CheckedFile:
    """The valid cases of a file, and what is wrong with each bad line, by its number."""

    cases: list[CaseInput] = field(default_factory=list)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)


def check_lines(lines: Iterable[str], registry: Registry, *, set_name: str | None = None) -> CheckedFile:
    """Check every line; blank ones are skipped. ``set_name`` is the set of lines that name none.

    Never raises for what a file contains.
    """
    checked = CheckedFile()
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = check_line(line, registry, set_name=set_name)
            first = seen.setdefault((case.set_name, case.case_key), number)
            if first != number:
                raise CaseRefused(f"the case {case.case_key!r} of set {case.set_name!r} is on line {first} already")
            if len(seen) > MAX_CASES:
                raise CaseRefused(f"a file has at most {MAX_CASES:,} cases")
            checked.cases.append(case)
        except CaseRefused as error:
            checked.bad_lines.append((number, str(error)))
    return checked


def check_line(line: str, registry: Registry, *, set_name: str | None = None) -> CaseInput:
    """Return the case of a line; raises CaseRefused."""
    if len(line) > MAX_LINE_CHARACTERS:
        raise CaseRefused(f"a line has at most {MAX_LINE_CHARACTERS:,} characters")
    try:
        members = parse_json(line)
    except ValueError as error:
        raise CaseRefused(f"not JSON: {error}") from None
    if not isinstance(members, dict):
        raise CaseRefused("not a JSON object")
    if set_name is not None:
        members = {"set": set_name, **members}
    return check_case(members, registry)


def check_case(members: dict[str, Any], registry: Registry) -> CaseInput:
    """Return a case of the members of a line; raises CaseRefused."""
    try:
        case = CaseLine.model_validate(members)
        checked = case.to_input()
    except ValidationError as error:
        raise CaseRefused(problems_in_words(error)) from None
    except RecursionError:
        raise CaseRefused("nested too deeply") from None
    _check_job(checked, registry)
    _check_evidence(case)
    return checked


def _check_job(case: CaseInput, registry: Registry) -> None:
    """Check what would be asked: a case that cannot be a job can never be tried."""
    try:
        registry.check(
            JobInput(
                interrogation_key=case.interrogation_key,
                input_json=case.input_json,
                evidence_ref_json=case.evidence_json,
            )
        )
    except HolocronError as error:
        raise CaseRefused(str(error)) from None


def _check_evidence(case: CaseLine) -> None:
    items = {item.evidence_id: item.text for item in case.evidence}
    if len(items) != len(case.evidence):
        raise CaseRefused("two evidence items have the same evidence_id")
    try:
        items |= {source.evidence_id: source.text for source in inline_sources(dict[str, Any](case.input))}
    except HolocronError as error:
        raise CaseRefused(str(error)) from None
    grounds = Grounds(
        EvidenceBundle.model_construct(
            items=tuple(
                EvidenceItem.model_construct(evidence_id=name, source_uri=None, text=text, sha256="")
                for name, text in items.items()
            ),
            bounds=Bounds(),
            delimiter="",
            sha256="",
        )
    )
    for place, fact in enumerate(case.expected):
        where = f"expected[{place}]"
        if fact.evidence_id is not None and fact.evidence_id not in items:
            raise CaseRefused(f"{where}.evidence_id: there is no evidence {fact.evidence_id!r}")
        if fact.quote is None:
            continue
        ids = [fact.evidence_id] if fact.evidence_id is not None else list(items)
        found = grounds.place_of({"evidence_ids": ids, "quote": fact.quote}, (where,))
        if isinstance(found, Detail):
            raise CaseRefused(f"{where}.quote is not in the evidence: {fact.quote[:80]!r}")
