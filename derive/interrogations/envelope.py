"""The input envelope: the entity a job asks about, and the evidence it carries."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from derive.evidence.references import InlineEvidence, SourceUri, check_one_line
from derive.strict_types import Frozen

MAX_INLINE_ITEMS = 200

EntityName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(check_one_line)]


class ExtraParams(Frozen):
    """Material that accompanies the question; currently only evidence."""

    evidence: Annotated[tuple[InlineEvidence, ...], Field(max_length=MAX_INLINE_ITEMS)] = ()


class EntityInput(Frozen):
    """``{"entity_type", "entity_id", "source_refs": [], "extra_params": {"evidence": [{"evidence_id", "source_uri",
    "text"}]}}``: the input of every interrogation that does not declare its own. Other members are rejected.
    """  # noqa: D205 - the envelope is one literal so that it can be searched for

    model_config = ConfigDict(allow_inf_nan=False)

    entity_type: EntityName
    entity_id: EntityName
    source_refs: Annotated[tuple[SourceUri, ...], Field(max_length=100)] = ()
    extra_params: ExtraParams = ExtraParams()
