"""A compiled JSON schema (Draft 2020-12) that checks answers in bounded time and describes their faults briefly."""

from collections.abc import Callable, Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, FancyRegexOptions, RegexOptions, ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from derive.errors import ConfigurationError
from derive.interrogations.report import Detail, excerpt_of, path_of

MAX_PROBLEMS = 10
MAX_BACKTRACKS = 100_000
"""Limit for patterns with look-around or backreferences (a few milliseconds). Other patterns run in linear time."""
_MAX_RULE_CHARACTERS = 200


class AnswerSchema:
    r"""A compiled schema. Only references within it are followed, never one to a file or an address.

    Patterns follow ECMA 262, as the model server reads them: ``$`` matches only the end of the text, ``\d`` only ASCII
    digits. Raises ConfigurationError if the schema is invalid or refers to something outside itself.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = _compile(dict(schema))

    def find_faults(self, answer: Any) -> tuple[Detail, ...]:
        """Return at most ten ways in which the answer breaks the schema.

        For an array with too many items, only that is reported.
        """
        if self._validator.is_valid(answer):
            return ()
        found: list[ValidationError] = []
        overfull: list[list[str | int]] = []
        for error in self._validator.iter_errors(answer):
            if isinstance(error.kind, Kind.MaxItems):
                overfull.append(error.instance_path)
                found.append(error)
            elif len(found) < MAX_PROBLEMS or not overfull:
                found.append(error)
        kept = [error for error in found if not _is_inside(error.instance_path, overfull)]
        return tuple(_detail(error) for error in kept[:MAX_PROBLEMS])


def _compile(schema: dict[str, Any]) -> Draft202012Validator:
    try:
        return Draft202012Validator(schema, offline=True, pattern_options=RegexOptions())
    except ValidationError:
        pass
    try:
        # Patterns with look-around or backreferences need the backtracking engine; other faults fail again here.
        return Draft202012Validator(
            schema, offline=True, pattern_options=FancyRegexOptions(backtrack_limit=MAX_BACKTRACKS)
        )
    except ValidationError as error:
        where = path_of(tuple(error.instance_path))
        raise ConfigurationError(f"not a JSON schema: at {where}: {error.message[:200]}") from error


def _is_inside(path: list[str | int], arrays: list[list[str | int]]) -> bool:
    return any(len(path) > len(array) and path[: len(array)] == array for array in arrays)


_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "type": lambda kind, _: f"must be of type {' or '.join(kind.types)}",
    "required": lambda kind, _: f"lacks {kind.property}",
    "additionalProperties": lambda *_: "has members that the schema does not name",
    "enum": lambda kind, _: f"must be one of {', '.join(map(str, kind.options))}",
    "const": lambda kind, _: f"must be {kind.expected_value}",
    "minimum": lambda kind, _: f"must be at least {kind.limit}",
    "maximum": lambda kind, _: f"must be at most {kind.limit}",
    "minItems": lambda kind, value: f"has {len(value)} items, at least {kind.limit} are wanted",
    "maxItems": lambda kind, value: f"has {len(value)} items, at most {kind.limit} are allowed",
    "minLength": lambda kind, value: f"has {len(value)} characters, at least {kind.limit} are wanted",
    "maxLength": lambda kind, value: f"has {len(value)} characters, at most {kind.limit} are allowed",
    "pattern": lambda kind, _: f"does not match {getattr(kind, 'pattern', 'its pattern in bounded time')}",
    "anyOf": lambda *_: "fits none of the forms allowed",
    "oneOf": lambda *_: "does not fit exactly one of the forms allowed",
}


def _detail(error: ValidationError) -> Detail:
    say = _WORDS.get(error.kind.name)
    problem = say(error.kind, error.instance) if say else f"breaks the rule {error.kind.name}"
    return Detail(
        path=path_of(tuple(error.instance_path)),
        problem=problem[:_MAX_RULE_CHARACTERS],
        excerpt=excerpt_of(error.instance),
    )
