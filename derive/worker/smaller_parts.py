"""The halves of a part whose evidence, or the answer to it, is too much for the model."""

from derive.contracts import Claim
from derive.errors import ErrorKind
from derive.evidence.references import EvidenceRefs, PartEvidence, parse_evidence_refs
from derive.split_contracts import PartInput, Split
from derive.windows.budget import overlap_for
from derive.windows.halving import halve
from derive.worker.previous_runs import PreviousRuns

MAX_HALVINGS = 3
"""How often a window is halved: an eighth of a window is read, or the part fails."""
TOO_MUCH = frozenset({ErrorKind.EVIDENCE_TOO_LARGE, ErrorKind.TRUNCATED_OUTPUT})


def halved_part(claim: Claim, runs: PreviousRuns) -> Split | None:
    """Return the two halves of a part; None if it was halved often enough, or is too short.

    May raise what reading the job's evidence raises.
    """
    part = parse_evidence_refs(claim.evidence_ref_json).part
    if part is None or part.halvings >= MAX_HALVINGS:
        return None
    definition = runs.definition(part.definition_sha256)
    if definition is None:
        return None
    whole = runs.whole_of(part.run_id, sha256=part.evidence_sha256)
    texts = {item.evidence_id: item.text for item in whole.items}
    halves = halve(part.windows, texts, overlap=overlap_for(definition.output_schema))
    if halves is None:
        return None
    parts = (part.model_copy(update={"windows": half, "halvings": part.halvings + 1}) for half in halves)
    return Split(
        input_json=claim.input_json,
        parts=tuple(PartInput(part_no=n, evidence_ref_json=ref_json(one)) for n, one in enumerate(parts, start=1)),
    )


def ref_json(part: PartEvidence) -> str:
    """Return the ``evidence_ref_json`` of a part."""
    return EvidenceRefs.model_construct(part=part).model_dump_json(include={"part"})
