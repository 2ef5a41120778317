"""An interrogation as loaded from its package: a definition together with its code."""

from dataclasses import dataclass

from pydantic import BaseModel

from derive.contracts import Bounds
from derive.facts.terms import OnBadFact
from derive.interrogations.definition import Definition
from derive.interrogations.lint import LintFinding


@dataclass(frozen=True)
class LoadedInterrogation:
    """A definition with its input and output models, evidence limits and policy for bad facts.

    ``warnings`` are the lint findings that do not prevent its use; ``where`` is the package or folder it came from.
    """

    definition: Definition
    input_model: type[BaseModel]
    output_model: type[BaseModel]
    bounds: Bounds
    on_bad_fact: OnBadFact = OnBadFact.ASK_AGAIN
    warnings: tuple[LintFinding, ...] = ()
    where: str = ""

    @property
    def key(self) -> str:
        """The name that jobs refer to it by."""
        return self.definition.interrogation_key

    @property
    def version(self) -> str:
        """The version, such as ``1.0.0``."""
        return self.definition.version
