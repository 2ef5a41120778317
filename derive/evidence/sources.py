"""Collects evidence from a job's input, its inline references, lake files and outputs of earlier runs.

Nothing is fetched from a network: URLs and document ids are provenance only. The functions that read the lake and
earlier runs are passed in, so this layer depends on neither.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from derive.errors import EvidenceMissing, InvalidInput, LakeFileMissing, LakePathRefused
from derive.evidence.references import (
    EvidenceRef,
    Extraction,
    InlineEvidence,
    parse_evidence_refs,
    problems_in_words,
)
from derive.strict_types import Frozen, check_storable

MAX_SOURCE_BYTES = 4 * 1024 * 1024
"""Limit of one lake file or output: far above any bundle's limits, and redacted in well under a second."""

ReadLake = Callable[[str], bytes]
"""Returns a lake file's bytes; raises LakeFileMissing, LakePathRefused or LakeUnavailable."""
ReadRunOutput = Callable[[UUID], str]
"""Returns the validated output of an earlier run; raises EvidenceMissing or LookupError if there is none."""

_INLINE = TypeAdapter(tuple[InlineEvidence, ...])


class SourceText(Frozen):
    """One piece of evidence as read, not yet redacted, cut or hashed."""

    evidence_id: str
    source_uri: str | None
    text: str
    extraction: Extraction | None = None


def collect_sources(
    *,
    job_input: Mapping[str, Any],
    evidence_ref_json: str | None,
    read_lake: ReadLake,
    read_run_output: ReadRunOutput,
) -> tuple[SourceText, ...]:
    """Collect the evidence in a job's input, then the evidence its references point to.

    Raises InvalidInput for a reference that is malformed, leads outside the lake or is not text, and EvidenceMissing
    for one whose target does not exist. Other errors of the readers (such as LakeUnavailable) are not caught.
    """
    refs = parse_evidence_refs(evidence_ref_json).items
    return (
        *inline_sources(job_input),
        *referred_sources(refs, read_lake=read_lake, read_run_output=read_run_output),
    )


def referred_sources(
    refs: Iterable[EvidenceRef], *, read_lake: ReadLake, read_run_output: ReadRunOutput
) -> tuple[SourceText, ...]:
    """Collect the evidence that references point to; raises as ``collect_sources``."""
    found: list[SourceText] = []
    for place, ref in enumerate(refs, start=1):
        name = ref.evidence_id or f"ref-{place}"
        text = _read(ref, name=name, read_lake=read_lake, read_run_output=read_run_output)
        if text is not None:
            found.append(SourceText(evidence_id=name, source_uri=ref.provenance, text=text, extraction=ref.extraction))
    return tuple(found)


def inline_sources(job_input: Mapping[str, Any]) -> tuple[SourceText, ...]:
    """Return the evidence in the input envelope (``extra_params.evidence``), empty if there is none.

    Raises InvalidInput unless it is a list of ``{"evidence_id", "source_uri", "text"}``.
    """
    extra_params = job_input.get("extra_params")
    if not isinstance(extra_params, Mapping) or extra_params.get("evidence") is None:
        return ()
    try:
        items = _INLINE.validate_python(extra_params["evidence"])
    except ValidationError as error:
        raise InvalidInput(f"extra_params.evidence: {problems_in_words(error)}") from None
    return tuple(SourceText(**item.model_dump()) for item in items)


def _read(ref: EvidenceRef, *, name: str, read_lake: ReadLake, read_run_output: ReadRunOutput) -> str | None:
    if ref.lake_uri is not None:
        return _lake_text(ref.lake_uri, name=name, read_lake=read_lake)
    if ref.run_id is not None:
        return _run_text(ref.run_id, name=name, read_run_output=read_run_output)
    return ref.text


def _lake_text(lake_uri: str, *, name: str, read_lake: ReadLake) -> str:
    where = f"evidence {name!r}: lake file {lake_uri!r}"
    try:
        content = read_lake(lake_uri)
    except LakePathRefused as error:
        raise InvalidInput(f"{where} is refused: {error}") from error
    except LakeFileMissing as error:
        raise EvidenceMissing(f"{where} does not exist") from error
    if len(content) > MAX_SOURCE_BYTES:
        raise InvalidInput(f"{where} has {len(content)} bytes; at most {MAX_SOURCE_BYTES} are read: split it")
    try:
        return check_storable(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where} is not UTF-8 text (byte {error.start})") from error
    except ValueError as error:
        raise InvalidInput(f"{where} is not text: {error}") from error


def _run_text(run_id: UUID, *, name: str, read_run_output: ReadRunOutput) -> str:
    where = f"evidence {name!r}: the output of run {run_id}"
    try:
        text = read_run_output(run_id)
    except LookupError as error:
        raise EvidenceMissing(f"{where} does not exist") from error
    if len(text.encode(errors="replace")) > MAX_SOURCE_BYTES:
        raise InvalidInput(f"{where} is over {MAX_SOURCE_BYTES} bytes")
    try:
        return check_storable(text)
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}") from error
