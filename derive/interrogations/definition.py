"""A definition: one version of an interrogation, by its hash.

It is made from a registered interrogation or from a stored row of ``llm.interrogation``, so that old runs can be
rendered and validated again when their code is long gone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import rfc8785
from pydantic import BaseModel

from derive.errors import ConfigurationError
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.tokens import KnownLines, TokenRates, make_up_of
from derive.facts.rules import FactRules
from derive.facts.terms import Terms
from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.correction import Correction, correction_after
from derive.interrogations.rendering import constant_beginning, render_prompt
from derive.interrogations.report import Detail, Validation, ValidationCheck
from derive.interrogations.validation import validate_answer
from derive.strict_types import parse_json

__all__ = ["Correction", "Definition", "Detail", "Validation", "ValidationCheck", "correction_after"]


class ConstantTokens(NamedTuple):
    """Estimated tokens: of what every prompt of a definition begins with, and of all its template, schema, rubric.

    A server reads the first once and finds it in its prompt cache for the next job; the rest of its own text it
    reads again for each.
    """

    beginning: int
    own: int

    @property
    def share(self) -> float:
        """The share of its own text that comes first, 0 to 1."""
        return min(1.0, self.beginning / self.own) if self.own else 1.0


@dataclass(frozen=True)
class Definition:
    """What is asked, in which form the answer is wanted, and by which rules.

    Members are the columns of ``llm.interrogation``. What cannot be a definition raises ConfigurationError where it
    is first used: a schema that is not one, numbers that canonical JSON does not have.
    """

    interrogation_key: str
    version: str
    prompt_template: str
    output_schema_json: str
    rubric: str

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON schema that is sent as ``format``, its members in the order of ``output_schema_json``."""
        try:
            schema = parse_json(self.output_schema_json)
        except ValueError as error:
            raise ConfigurationError(f"{self}: the output schema is not JSON: {error}") from error
        if not isinstance(schema, dict):
            raise ConfigurationError(f"{self}: the output schema is not a JSON object")
        return schema

    @cached_property
    def plain_schema_json(self) -> str:
        """The schema as Python's json writes it, its members in their order."""
        return json.dumps(self.output_schema)

    @cached_property
    def definition_sha256(self) -> str:
        """SHA-256 of the RFC 8785 canonical JSON of key, version, template, schema and rubric."""
        try:
            canonical = rfc8785.dumps(
                {
                    "interrogation_key": self.interrogation_key,
                    "version": self.version,
                    "prompt_template": self.prompt_template,
                    "output_schema": self.output_schema,
                    "rubric": self.rubric,
                }
            )
        except rfc8785.CanonicalizationError as error:
            raise ConfigurationError(f"{self}: {error}") from error
        return hashlib.sha256(canonical).hexdigest()

    @cached_property
    def canonical_schema_json(self) -> str:
        """The schema as a prompt shows it: what the hash covers, whatever became of the white space in a column."""
        return rfc8785.dumps(self.output_schema).decode()

    @cached_property
    def known_lines(self) -> KnownLines:
        """The lines of its own that its prompts hold, for estimates of their tokens."""
        return KnownLines(self.prompt_template, self.rubric.strip(), self.canonical_schema_json)

    @cached_property
    def constant_tokens(self) -> ConstantTokens:
        """How much of its prompts a model server can keep from one job to the next."""
        beginning = constant_beginning(self.prompt_template, schema_json=self.canonical_schema_json, rubric=self.rubric)
        own = f"{self.prompt_template}\n{self.rubric}\n{self.canonical_schema_json}"
        return ConstantTokens(beginning=_estimated_tokens(beginning), own=_estimated_tokens(own))

    @cached_property
    def answer_schema(self) -> AnswerSchema:
        """The schema compiled, once a definition."""
        return AnswerSchema(self.output_schema)

    def render(
        self,
        *,
        input: Mapping[str, Any],  # noqa: A002 - called as the template calls it
        bundle: EvidenceBundle,
        correction: Correction | None = None,
    ) -> str:
        """Return the prompt: equal arguments give equal text, byte for byte.

        ``input`` is the parsed ``input_json``, named as the template's ``$input`` is.
        """
        return render_prompt(
            template=self.prompt_template,
            schema_json=self.canonical_schema_json,
            rubric=self.rubric,
            job_input=input,
            bundle=bundle,
            correction=correction,
        )

    @cached_property
    def fact_rules(self) -> FactRules:
        """How the facts of its answers are judged, as the schema declares it."""
        return FactRules.of_schema(self.output_schema)

    def validate(
        self,
        content: str,
        bundle: EvidenceBundle,
        *,
        output_model: type[BaseModel] | None = None,
        entity: str = "",
        terms: Terms = Terms(),  # noqa: B008 (frozen)
    ) -> Validation:
        """Return the report on an answer, its facts judged; nothing the model can write makes this raise.

        ``entity`` is the name of what the answer is about; ``terms`` say whether it stands though some facts do not.
        """
        return validate_answer(
            content,
            schema=self.answer_schema,
            bundle=bundle,
            output_model=output_model,
            fact_rules=self.fact_rules,
            entity=entity,
            terms=terms,
        )

    def __str__(self) -> str:
        return f"{self.interrogation_key} {self.version}"


def _estimated_tokens(text: str) -> int:
    return TokenRates().estimate(make_up_of(text), model="").expected
