"""A JSON schema (Draft 2020-12), compiled once, that judges answers in bounded time and says what is wrong briefly."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from derive.errors import ConfigurationError
from derive.interrogations.report import Detail, excerpt_of, path_of
from derive.interrogations.schema_inlining import with_definitions_in_place
from derive.interrogations.sure_fit import MAX_MATCHED_CHARACTERS, sure_fit, to_the_end

MAX_PROBLEMS = 10
_MAX_RULE_CHARACTERS = 200


class AnswerSchema:
    """A compiled schema. Only references inside it are followed, never one to a file or an address.

    Raises ConfigurationError for what is no schema, or refers to something that is not in it.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            where = path_of(tuple(error.absolute_path))
            raise ConfigurationError(f"not a JSON schema: at {where}: {error.message[:200]}") from error
        # An empty registry: nothing is ever retrieved.
        inlined = with_definitions_in_place(schema)
        self._validator = _BoundedValidator(inlined, registry=Registry())
        self._fits = sure_fit(inlined)

    def find_faults(self, answer: Any) -> tuple[Detail, ...]:
        """Return what in the answer breaks the schema, at most ten problems."""
        if self._fits is not None and self._fits(answer):
            return ()
        try:
            errors = list(islice(self._validator.iter_errors(answer), MAX_PROBLEMS))
        except RecursionError:
            return (Detail(path="the answer", problem="is nested too deeply"),)
        except Unresolvable as error:
            raise ConfigurationError(f"the schema refers to {error.ref!r}, which is not in it") from error
        return tuple(_detail(error) for error in errors)


def _match_bounded(validator: Any, pattern: str, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Match a pattern, but no longer text than the schema allows: what is too long is reported by ``maxLength``."""
    if not validator.is_type(instance, "string"):
        return
    if len(instance) > schema.get("maxLength", MAX_MATCHED_CHARACTERS):
        if "maxLength" not in schema:
            yield ValidationError("too long")
        return
    if not re.search(to_the_end(pattern), instance):
        yield ValidationError("no match")


def _items_bounded(validator: Any, items: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Judge the items, unless there are more than allowed, which ``maxItems`` reports: the work stays bounded."""
    if validator.is_type(instance, "array") and len(instance) > schema.get("maxItems", len(instance)):
        return
    yield from Draft202012Validator.VALIDATORS["items"](validator, items, instance, schema)


_BoundedValidator = extend(  # type: ignore[no-untyped-call]  # the stubs leave its arguments without types
    Draft202012Validator, {"pattern": _match_bounded, "items": _items_bounded}
)

_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "type": lambda rule, _: f"must be of type {' or '.join(rule) if isinstance(rule, list) else rule}",
    "required": lambda rule, value: f"lacks {', '.join(name for name in rule if name not in value)}",
    "additionalProperties": lambda *_: "has members that the schema does not name",
    "enum": lambda rule, _: f"must be one of {', '.join(map(str, rule))}",
    "const": lambda rule, _: f"must be {rule}",
    "minimum": lambda rule, _: f"must be at least {rule}",
    "maximum": lambda rule, _: f"must be at most {rule}",
    "minItems": lambda rule, value: f"has {len(value)} items, at least {rule} are wanted",
    "maxItems": lambda rule, value: f"has {len(value)} items, at most {rule} are allowed",
    "minLength": lambda rule, value: f"has {len(value)} characters, at least {rule} are wanted",
    "maxLength": lambda rule, value: f"has {len(value)} characters, at most {rule} are allowed",
    "pattern": lambda rule, _: f"does not match {rule}",
    "anyOf": lambda *_: "fits none of the forms allowed",
    "oneOf": lambda *_: "does not fit exactly one of the forms allowed",
}


def _detail(error: ValidationError) -> Detail:
    say = _WORDS.get(str(error.validator))
    problem = say(error.validator_value, error.instance) if say else f"breaks the rule {error.validator}"
    return Detail(
        path=path_of(tuple(error.absolute_path)),
        problem=problem[:_MAX_RULE_CHARACTERS],
        excerpt=excerpt_of(error.instance),
    )
