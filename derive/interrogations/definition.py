"""A definition: one version of an interrogation, identified by its hash.

A definition is built from a registered interrogation or from a stored row of ``llm.interrogation``, so that old runs
can be rendered and validated again long after their code is gone.
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
    """Estimated tokens of the text that begins every prompt of a definition, and of all its own text.

    The definition's own text is its template, schema and rubric. A server finds the common beginning in its prompt
    cache for the next job, and reads the rest again for each job.
    """

    beginning: int
    own: int

    @property
    def share(self) -> float:
        """The share of the definition's own text that is in the common beginning, 0 to 1."""
        return min(1.0, self.beginning / self.own) if self.own else 1.0


@dataclass(frozen=True)
class Definition:
    """The question, the form of its answer, and the rules for answering.

    The members are the columns of ``llm.interrogation``. An invalid schema, or numbers that canonical JSON cannot
    represent, raise ConfigurationError on first use.
    """

    interrogation_key: str
    version: str
    prompt_template: str
    output_schema_json: str
    rubric: str

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON schema sent as ``format``, with its members in the order of ``output_schema_json``."""
        try:
            schema = parse_json(self.output_schema_json)
        except ValueError as error:
            raise ConfigurationError(f"{self}: the output schema is not JSON: {error}") from error
        if not isinstance(schema, dict):
            raise ConfigurationError(f"{self}: the output schema is not a JSON object")
        return schema

    @cached_property
    def plain_schema_json(self) -> str:
        """The schema as Python's ``json`` writes it, with its members in their own order."""
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
        """The schema as prompts show it and the hash covers it, whatever white space the column has."""
        return rfc8785.dumps(self.output_schema).decode()

    @cached_property
    def known_lines(self) -> KnownLines:
        """The definition's own lines in its prompts, for estimates of their tokens."""
        return KnownLines(self.prompt_template, self.rubric.strip(), self.canonical_schema_json)

    @cached_property
    def constant_tokens(self) -> ConstantTokens:
        """How much of each prompt a model server can keep in its cache from one job to the next."""
        beginning = constant_beginning(self.prompt_template, schema_json=self.canonical_schema_json, rubric=self.rubric)
        own = f"{self.prompt_template}\n{self.rubric}\n{self.canonical_schema_json}"
        return ConstantTokens(beginning=_estimated_tokens(beginning), own=_estimated_tokens(own))

    @cached_property
    def answer_schema(self) -> AnswerSchema:
        """The compiled schema; compiled once per definition."""
        return AnswerSchema(self.output_schema)

    def render(
        self,
        *,
        input: Mapping[str, Any],  # noqa: A002 - named as in the template
        bundle: EvidenceBundle,
        correction: Correction | None = None,
    ) -> str:
        """Return the prompt; equal arguments give equal text, byte for byte.

        ``input`` is the parsed ``input_json``, named after the template's ``$input``.
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
        """The rules the schema declares for judging the facts of an answer."""
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
        """Return the report on an answer and its facts; nothing a model can write makes this raise.

        ``entity`` names the subject of the answer; ``terms`` decide whether the answer is kept although facts failed.
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
