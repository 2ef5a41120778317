"""Cuts evidence that does not fit one prompt into parts, and builds the question of one part."""

import json
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from derive.contracts import Bounds
from derive.errors import EvidenceTooLarge, InvalidInput
from derive.evidence.bundle import delimiter_of, hash_items
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.references import EvidenceRefs, PartEvidence
from derive.interrogations.definition import Definition
from derive.interrogations.rendering import without_evidence
from derive.split_contracts import MAX_PARTS, PartInput, Split
from derive.windows.budget import MIN_WINDOW_TOKENS, WindowLimits, evidence_tokens
from derive.windows.cutting import cut
from derive.windows.part_evidence import evidence_of_part
from derive.worker.previous_runs import PreviousRuns


def split_evidence(
    whole: EvidenceBundle,
    *,
    definition: Definition,
    job_input: Mapping[str, Any],
    bounds: Bounds,
    run_evidence: Callable[[], PartEvidence],
    num_ctx: int,
    num_predict: int,
    tokens_of: Callable[[str], int],
    most_tokens: int | None = None,
) -> Split:
    """Return the parts of a job with this evidence; each refers to its windows, and none repeats the document.

    ``run_evidence`` is the reference without windows; ``most_tokens`` limits a part further. Raises EvidenceTooLarge if
    a context leaves no space for evidence, or there would be more than ``MAX_PARTS`` parts.
    """
    shown = without_evidence(job_input)
    empty = definition.render(input=shown, bundle=_nothing(bounds))
    left = evidence_tokens(num_ctx=num_ctx, num_predict=num_predict, prompt_tokens=tokens_of(empty))
    limits = WindowLimits.of(
        tokens=left if most_tokens is None else min(left, most_tokens), bounds=bounds, schema=definition.output_schema
    )
    reference = run_evidence()
    parts: list[PartInput] = []
    for part_no, windows in groupby(cut(whole.items, limits, tokens_of), key=attrgetter("part_no")):
        if part_no > MAX_PARTS:
            raise EvidenceTooLarge(
                f"the evidence would be more than {MAX_PARTS} parts: split the job, or raise OLLAMA_NUM_CTX or BOUNDS"
            )
        part = reference.model_copy(update={"windows": tuple(windows)})
        refs = EvidenceRefs.model_construct(part=part)
        parts.append(PartInput(part_no=part_no, evidence_ref_json=refs.model_dump_json(include={"part"})))
    return Split(input_json=json.dumps(shown, ensure_ascii=False), parts=tuple(parts))


def half_of_tokens(bundle: EvidenceBundle, tokens_of: Callable[[str], int]) -> int | None:
    """Return half of the tokens of the evidence; None if that is no useful window."""
    half = sum(tokens_of(item.text) for item in bundle.items) // 2
    return half if half >= MIN_WINDOW_TOKENS else None


def part_bundle(
    part: PartEvidence, previous_runs: PreviousRuns, *, bounds: Bounds | None, delimiter_key: bytes
) -> EvidenceBundle:
    """Return the evidence of a part; raise InvalidInput if what the split run stored is gone or has changed."""
    whole = previous_runs.whole_of(part.run_id, sha256=part.evidence_sha256)
    try:
        return evidence_of_part(whole, part.windows, bounds=bounds or whole.bounds, delimiter_key=delimiter_key)
    except KeyError as error:
        raise InvalidInput(f"the evidence of run {part.run_id} has no item {error}") from None


def _nothing(bounds: Bounds) -> EvidenceBundle:
    """Return a bundle without items, for the rest of the prompt."""
    sha256 = hash_items(())
    return EvidenceBundle(items=(), bounds=bounds, delimiter=delimiter_of((), sha256=sha256, key=b""), sha256=sha256)
