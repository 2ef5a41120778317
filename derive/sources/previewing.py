"""The first subjects of a source with their evidence as a model will see it."""

import time
from dataclasses import dataclass, field
from itertools import islice

from derive.contracts import Bounds
from derive.errors import EvidenceMissing, RunError
from derive.evidence.bundle import build_bundle
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.redaction import Redactor
from derive.evidence.sources import SourceText
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable

PREVIEWED_SUBJECTS = 10
MOST_LOOKED_AT = 200
"""Of a source in which hardly anything can be read, no more is looked at."""


@dataclass(frozen=True, slots=True)
class PreviewedSubject:
    """A subject and its bundle: bounded, redacted, hashed."""

    subject: SourceSubject
    bundle: EvidenceBundle = field(repr=False)
    interrogation_key: str | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class SourcePreview:
    """The subjects that were looked at, by what becomes of them. ``is_whole``: there are no others."""

    subjects: tuple[PreviewedSubject, ...]
    skipped: tuple[SkippedSubject, ...]
    unreadable: tuple[Unreadable, ...]
    is_whole: bool


def preview_source(
    source: Source, *, bounds: Bounds, redactor: Redactor, delimiter_key: bytes, until: float | None = None
) -> SourcePreview:
    """Read subjects until ten can be shown, or until a time of the monotonic clock.

    Raises SourceError if the source cannot be read.
    """
    subjects: list[PreviewedSubject] = []
    skipped: list[SkippedSubject] = []
    unreadable: list[Unreadable] = []
    is_whole = False
    remaining = source.read_all()
    for found in islice(remaining, MOST_LOOKED_AT):
        if isinstance(found, Unreadable):
            unreadable.append(found)
        elif isinstance(found, SkippedSubject):
            skipped.append(found)
        else:
            try:
                subjects.append(_shown(found, bounds, redactor, delimiter_key))
            except RunError as error:
                unreadable.append(Unreadable(found.subject.address, str(error), found.subject))
        if len(subjects) == PREVIEWED_SUBJECTS or (until is not None and time.monotonic() > until):
            break
    else:
        is_whole = next(remaining, None) is None
    _close(remaining)
    return SourcePreview(tuple(subjects), tuple(skipped), tuple(unreadable), is_whole)


def _shown(found: SubjectEvidence, bounds: Bounds, redactor: Redactor, delimiter_key: bytes) -> PreviewedSubject:
    texts = [
        SourceText(
            evidence_id=item.evidence_id or f"ref-{place}",
            source_uri=item.provenance,
            text=item.text or "",
            extraction=item.extraction,
        )
        for place, item in enumerate(found.items, start=1)
    ]
    if not texts:
        raise EvidenceMissing("it has no evidence")
    bundle = build_bundle(texts, bounds=bounds, redactor=redactor, delimiter_key=delimiter_key)
    return PreviewedSubject(found.subject, bundle, found.interrogation_key, found.rule)


def _close(remaining: object) -> None:
    """End what the source holds open, such as a connection, if it is a generator."""
    close = getattr(remaining, "close", None)
    if close is not None:
        close()


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many subjects a source has; those ``without_token`` are read each time. ``reasons`` counts the unreadable."""

    subjects: int
    without_token: int
    skipped: int
    unreadable: int
    reasons: dict[str, int]


_MOST_REASONS = 20


def count_source(source: Source) -> SourceCount:
    """Go through all subjects without reading texts that need not be read; raise SourceError."""
    subjects = without_token = skipped = unreadable = 0
    reasons: dict[str, int] = {}
    for found in source.subjects():
        if isinstance(found, SourceSubject):
            subjects += 1
            without_token += found.change_token is None
        elif isinstance(found, SkippedSubject):
            skipped += 1
        else:
            unreadable += 1
            if found.reason in reasons or len(reasons) < _MOST_REASONS:
                reasons[found.reason] = reasons.get(found.reason, 0) + 1
    return SourceCount(subjects, without_token, skipped, unreadable, reasons)
