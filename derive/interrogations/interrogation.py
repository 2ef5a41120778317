"""An interrogation as it is registered: a definition with the code that belongs to it."""

from dataclasses import dataclass

from pydantic import BaseModel

from derive.contracts import Bounds
from derive.facts.terms import OnBadFact
from derive.interrogations.definition import Definition
from derive.interrogations.lint import LintFinding


@dataclass(frozen=True)
class Interrogation:
    """A definition, the models of its input and output, how much evidence it looks at, what it does about bad facts.

    ``warnings`` is what the lint found and let pass; ``where`` is the package or folder it came from.
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
        """The name jobs ask for it by."""
        return self.definition.interrogation_key

    @property
    def version(self) -> str:
        """Its version, like ``1.0.0``."""
        return self.definition.version
