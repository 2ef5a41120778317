"""An interrogation as loaded from its package: a definition together with its code."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from derive.contracts import Bounds
from derive.facts.terms import OnBadFact
from derive.interrogations.definition import Definition
from derive.interrogations.lint import LintFinding


class LongEvidence(StrEnum):
    """What to do with evidence that does not fit one prompt (an interrogation's ``LONG_EVIDENCE``)."""

    CUT = "cut"
    """The beginning is read, and what was left out is recorded."""
    SPLIT = "split"
    """All of it is read, in parts that are jobs of their own; their answers are joined."""


class OnFailedPart(StrEnum):
    """What to do with a job of which some, but not all parts have no answer (``ON_FAILED_PART``)."""

    FAIL = "fail"
    """The job fails; a requeue repeats only those parts."""
    PARTIAL = "partial"
    """The other parts' answers are joined, and what was not read is recorded."""


@dataclass(frozen=True)
class LoadedInterrogation:
    """A definition with its input and output models, evidence limits and policies.

    ``output_model`` is None for one written without Python: its schema alone says what is valid. ``warnings`` are the
    lint findings that do not prevent its use; ``where`` is the package or folder it came from.
    """

    definition: Definition
    input_model: type[BaseModel]
    output_model: type[BaseModel] | None
    bounds: Bounds
    on_bad_fact: OnBadFact = OnBadFact.ASK_AGAIN
    long_evidence: LongEvidence = LongEvidence.CUT
    on_failed_part: OnFailedPart = OnFailedPart.FAIL
    warnings: tuple[LintFinding, ...] = ()
    where: str = ""

    @property
    def version_place(self) -> str:
        """What to raise when the definition changes: the name that declares the version, and the file."""
        declared = "version in {}/interrogation.toml" if self.output_model is None else "VERSION in {}/output.py"
        return declared.format(self.where)

    @property
    def key(self) -> str:
        """The name that jobs refer to it by."""
        return self.definition.interrogation_key

    @property
    def version(self) -> str:
        """The version, such as ``1.0.0``."""
        return self.definition.version
