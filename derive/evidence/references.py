"""The contract of ``evidence_ref_json``: ``{"items": […]}``, where each item refers to one piece of evidence.

An item is exactly one of: inline ``text``; a lake file (``lake_uri``, relative to the lake's root); the output of
an earlier run (``run_id``); or provenance only (``url``, ``document_id``), which is stored but never fetched.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from derive.errors import InvalidInput
from derive.strict_types import MAX_INT, Frozen, Guid, Sha256, check_storable
from derive.windows.window import Window

MAX_REFERENCES = 200
MAX_TEXT_CHARACTERS = 1_000_000
"""Limit of one inline text, to bound the size of a job's row. The bundle's own limits are applied later."""

_MAX_PROBLEMS = 10
_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def check_one_line(text: str) -> str:
    """Return the text if it is one line of printable characters without outer white space; else raise ValueError."""
    if text != text.strip():
        raise ValueError("has blanks at an end")
    if not text.isprintable():
        raise ValueError("holds a line break, a control character or another that cannot be printed")
    return text


def check_lake_uri(uri: str) -> str:
    """Return the URI if it is a plain path under the lake's root; else raise ValueError.

    Only the name is checked here; the lake itself also refuses symbolic links that lead outside its root.
    """
    check_one_line(uri)
    if "\\" in uri or "%" in uri:
        raise ValueError("holds a backslash or a percent sign: write the path plainly, with / between its parts")
    if uri.startswith(("/", "~")) or _DRIVE_OR_SCHEME.match(uri):
        raise ValueError("must be relative to the lake's root")
    if any(part in {"", ".", ".."} for part in uri.split("/")):
        raise ValueError("must not hold an empty part, '.' or '..'")
    return uri


EvidenceId = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(check_one_line)]
SourceUri = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(check_one_line)]
LakeUri = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(check_lake_uri)]
EvidenceText = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_storable)]


class InlineEvidence(Frozen):
    """One piece of evidence carried by the job itself."""

    evidence_id: EvidenceId
    source_uri: SourceUri | None = None
    text: EvidenceText


class Extraction(Frozen):
    """How a text came out of its original: the tool with its version, and the original's SHA-256."""

    tool: Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(check_one_line)]
    version: Annotated[str, StringConstraints(max_length=100), AfterValidator(check_one_line)]
    original_sha256: Sha256


class EvidenceRef(Frozen):
    """One item of ``evidence_ref_json``; ``evidence_id`` defaults to ``ref-N``, its position counted from 1."""

    evidence_id: EvidenceId | None = None
    text: EvidenceText | None = None
    lake_uri: LakeUri | None = None
    run_id: Guid | None = None
    source_uri: SourceUri | None = None
    url: SourceUri | None = None
    document_id: SourceUri | None = None
    extraction: Extraction | None = None

    @model_validator(mode="after")
    def _points_to_one_thing(self) -> Self:
        given = [name for name in ("text", "lake_uri", "run_id") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"gives {' and '.join(given)}: an item is one of text, lake_uri, run_id")
        if not given and self.url is None and self.document_id is None:
            raise ValueError("points to nothing: give text, lake_uri, run_id, url or document_id")
        if self.extraction is not None and self.text is None:
            raise ValueError("extraction tells where a text comes from: give text with it")
        return self

    @property
    def provenance(self) -> str | None:
        """The source of the text, if known."""
        if self.source_uri or self.url:
            return self.source_uri or self.url
        if self.document_id:
            return f"document:{self.document_id}"
        if self.lake_uri:
            return f"lake:{self.lake_uri}"
        return f"run:{self.run_id}" if self.run_id else None


class PartEvidence(Frozen):
    """The evidence of a part of a long job: windows of what the run ``run_id`` stored when it split the job.

    ``evidence_sha256`` is the hash of that evidence as a whole, ``definition_sha256`` what the job is asked by.
    ``halvings``: how often its windows were halved because they were too much for the model.
    """

    run_id: Guid
    evidence_sha256: Sha256
    definition_sha256: Sha256
    windows: Annotated[tuple[Window, ...], Field(min_length=1)]
    halvings: int = Field(default=0, ge=0)


class Trial(Frozen):
    """How a job of an experiment is asked, instead of by the live version and the worker's settings.

    ``num_*`` are tokens. Each ``repeat`` has a seed of its own. Facts of such a job are not stored.
    """

    definition_sha256: Sha256
    temperature: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=0, le=MAX_INT // 2)
    num_ctx: int | None = Field(default=None, ge=1, le=MAX_INT)
    num_predict: int | None = Field(default=None, ge=1, le=MAX_INT)
    repeat: int = Field(default=0, ge=0, le=100)


class EvidenceRefs(Frozen):
    """The whole of ``evidence_ref_json``; ``part`` is only in parts of long jobs, ``trial`` in jobs of experiments."""

    items: Annotated[tuple[EvidenceRef, ...], Field(max_length=MAX_REFERENCES)] = ()
    part: PartEvidence | None = None
    trial: Trial | None = None


def problems_in_words(error: ValidationError) -> str:
    """Return at most ten of Pydantic's findings as text, field by field, without the values."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    said = [f"{_field(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" for problem in found]
    more = [f"and {len(said) - _MAX_PROBLEMS} more"] if len(said) > _MAX_PROBLEMS else []
    return "; ".join(said[:_MAX_PROBLEMS] + more)


def _field(location: tuple[int | str, ...]) -> str:
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{str(part)[:60]}"
    return name.removeprefix(".") or "the whole"


def parse_evidence_refs(evidence_ref_json: str | None) -> EvidenceRefs:
    """Parse ``evidence_ref_json``; None means no references. Raises InvalidInput with each field and reason."""
    if evidence_ref_json is None:
        return EvidenceRefs()
    try:
        return EvidenceRefs.model_validate_json(evidence_ref_json)
    except ValidationError as error:
        raise InvalidInput(f"evidence_ref_json: {problems_in_words(error)}") from None
