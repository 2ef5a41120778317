"""Input, output and version of ``sw_entity_facts_v1``.

The members of a fact stand in alphabetical order because the model may be made to write them so.
``fact_key`` is free snake_case rather than an enum: no closed list covers six kinds of entities, and a model that
finds no fitting name forces a fact under a wrong one. The prompt suggests names, so that equal facts get equal keys.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from derive.interrogations.envelope import EntityInput

VERSION = "1.2.0"

MAX_FACTS = 24

MANY = frozenset(
    {
        *(
            "ability",
            "affiliation",
            "alias",
            "ally",
            "appearance",
            "apprentice",
            "armament",
            "climate",
            "diet",
            "enemy",
        ),
        *("equipment", "event", "exports", "family", "founder", "function", "inhabitants", "language", "languages"),
        *(
            "master",
            "member",
            "occupation",
            "pilot",
            "purpose",
            "served",
            "skin",
            "terrain",
            "trade",
            "trait",
            "vehicle",
        ),
        "weapon",
    }
)
"""Keys of which an entity may have several values: two masters do not contradict each other."""


class Input(EntityInput):
    """The envelope, for the kinds of entities this interrogation knows."""

    entity_type: Literal["character", "planet", "starship", "organization", "species", "droid"]


class Fact(BaseModel):
    """One fact about the entity, with the words of the evidence that prove it."""

    model_config = ConfigDict(extra="forbid")

    confidence: Annotated[int, Field(ge=0, le=100)]
    evidence_ids: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=5)
    ]
    fact_key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$", max_length=60)]
    quote: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    value: Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Output(BaseModel):
    """All facts the evidence states about the entity; none is a valid answer."""

    model_config = ConfigDict(extra="forbid")

    facts: Annotated[list[Fact], Field(max_length=MAX_FACTS)]
