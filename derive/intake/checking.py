"""Turns one record into one job: the parameters of ``usp_enqueue_job``, checked as far as possible before it runs."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from derive.contracts import JobInput
from derive.errors import ConfigurationError, RunError
from derive.evidence.references import parse_evidence_refs, problems_in_words
from derive.evidence.sources import inline_sources
from derive.interrogations.envelope import EntityInput
from derive.interrogations.registry import Registry
from derive.strict_types import check_storable, parse_json

STANDS_FOR = {"input": "input_json", "evidence_ref": "evidence_ref_json"}
PARAMETERS = frozenset({*JobInput.model_fields, "actor"})
_NUMBERS = ("priority", "max_attempts")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,10}")
_MAX_ACTOR_CHARACTERS = 200


class RecordRefused(ValueError):
    """The record is not a valid job; the message says why, without its values."""


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A valid job, and the actor its record names.

    ``lacks_evidence``: its run would end with ``evidence_missing``, whatever the lake contains.
    """

    job: JobInput
    actor: str | None
    lacks_evidence: bool = False


class RecordCheck:
    """Checks records against the procedure's parameters, the registry, and each interrogation's input contract.

    A job without a ``job_id`` gets ``import_id`` plus its line number: a repeated line is not stored twice, and
    neighbours in a file are neighbours in the index. With a ``sender`` no record may name another actor.
    ``asked_keys`` are the interrogations of the valid records.
    """

    def __init__(self, registry: Registry, *, import_id: UUID, sender: str | None = None) -> None:
        self._registry = registry
        self._import_number = import_id.int
        self._sender = sender
        self.asked_keys: set[str] = set()

    def check(self, values: dict[str, Any], *, line: int) -> CheckedJob:
        """Return the job a record asks for; raise RecordRefused."""
        given = {name: value for name, value in values.items() if value is not None}
        actor = _actor(given.pop("actor", None))
        if self._sender is not None and actor not in {None, self._sender}:
            raise RecordRefused("actor: is not who sends this; leave it out")
        if not given.keys() <= PARAMETERS:
            given = _without_stand_ins(given)
        for name in _NUMBERS:
            if name in given:
                given[name] = _whole_number(name, given[name])
        if not isinstance(given.get("available_utc", ""), str):
            raise RecordRefused("available_utc: must be text such as 2030-01-31T12:00:00Z")
        if "job_id" not in given:
            given["job_id"] = UUID(int=self._import_number + line)
        try:
            job = JobInput.model_validate(given)
            read = self._registry.check(job)
        except ValidationError as error:
            raise RecordRefused(problems_in_words(error)) from None
        except RunError as error:
            raise RecordRefused(f"{error.kind}: {error}") from None
        except ConfigurationError as error:
            raise RecordRefused(str(error)) from None
        _refuse_inner_members(job)
        self.asked_keys.add(job.interrogation_key)
        return CheckedJob(job, actor, _lacks_evidence(job, read))


def _refuse_inner_members(job: JobInput) -> None:
    """Raise RecordRefused for what only this program may write: such a job would store no facts, or have no parent."""
    refs = parse_evidence_refs(job.evidence_ref_json)
    for name, given, whose in (("trial", refs.trial, "experiments"), ("part", refs.part, "parts of long jobs")):
        if given is not None:
            raise RecordRefused(f"evidence_ref_json: {name} is only for {whose}; leave it out")


def _lacks_evidence(job: JobInput, read: BaseModel) -> bool:
    """Whether there is no text and no reference to any; a repetition has its run's evidence."""
    if job.repeats_run_id is not None:
        return False
    for ref in parse_evidence_refs(job.evidence_ref_json).items:
        if ref.lake_uri or ref.run_id or (ref.text or "").strip():
            return False
    if isinstance(read, EntityInput):
        return not any(one.text.strip() for one in read.extra_params.evidence)
    try:
        return not any(one.text.strip() for one in inline_sources(parse_json(job.input_json)))
    except RunError:
        # What a custom interrogation calls evidence is only known when it runs.
        return False


def _without_stand_ins(given: dict[str, Any]) -> dict[str, Any]:
    """Replace ``input`` and ``evidence_ref`` by their JSON texts; refuse any unknown name."""
    named: dict[str, Any] = {}
    for name, value in given.items():
        parameter = STANDS_FOR.get(name, name)
        if parameter not in PARAMETERS:
            raise RecordRefused(f"unknown key {name[:60]!r}{_hint(name)}")
        if parameter != name:
            if parameter in given:
                raise RecordRefused(f"gives both {name} and {parameter}")
            value = _json_text(name, value)  # noqa: PLW2901  what stands there from here on
        named[parameter] = value
    return named


def _hint(name: str) -> str:
    near = get_close_matches(name, [*STANDS_FOR, *sorted(PARAMETERS)], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _json_text(name: str, value: Any) -> str:
    """Return an object as JSON text; text (a CSV cell) must already be JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise RecordRefused(f"{name}: must be a JSON object")
    try:
        text = to_json(value).decode()
    except (PydanticSerializationError, UnicodeEncodeError):
        raise RecordRefused(f"{name}: holds half of a surrogate pair, which is no character") from None
    return text


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if type(value) is not int:
        raise RecordRefused(f"{name}: must be a whole number")
    return value


def _actor(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_ACTOR_CHARACTERS:
        raise RecordRefused(f"actor: must be text of 1 to {_MAX_ACTOR_CHARACTERS} characters")
    try:
        return check_storable(value)
    except ValueError as error:
        raise RecordRefused(f"actor: {error}") from None
