"""The demo's sample jobs, and what each is expected to come to.

``samples.jsonl`` holds one sample a line, written for this project: ``sample_id``, ``title``, ``job`` (the
parameters of ``usp_enqueue_job``, with ``input`` and ``evidence_ref`` as objects), ``straight`` (true: goes to the
procedure as somebody's SQL would, past the checks of the commands) and ``expect``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from derive.contracts import JobInput
from derive.errors import ErrorKind
from derive.states import JobStatus
from derive.strict_types import parse_json

SAMPLES_FILE = "samples.jsonl"
JUDGEMENTS = ("state", "error_kind", "runs", "fact_keys", "no_facts", "absent", "cut_items", "redacted_items")
"""What can be expected of a sample; ``depends_on_model`` names those that a real model is not judged by."""


class SampleInvalid(ValueError):
    """A line of the samples is not what it should be; the message names the line."""


@dataclass(frozen=True)
class Expectation:
    """How a sample should end.

    ``runs`` is how many attempts it takes. ``fact_keys`` must be among the answer's facts, with ``no_facts`` there
    must be none. ``absent`` are texts that must stand neither in the prompt's answer nor in the stored evidence
    where ``redacted_items`` are named, else not in the answer. ``cut_items`` and ``redacted_items`` are the ids of
    the evidence that was cut and redacted. ``depends_on_model`` names the judgements that only the stand-in's
    answers can be held to.
    """

    state: JobStatus
    error_kind: ErrorKind | None
    runs: int
    fact_keys: frozenset[str]
    no_facts: bool
    absent: tuple[str, ...]
    cut_items: frozenset[str]
    redacted_items: frozenset[str]
    depends_on_model: frozenset[str]


@dataclass(frozen=True)
class Sample:
    """One sample job. ``straight``: queued through the procedure without the checks that commands make."""

    sample_id: str
    title: str
    straight: bool
    job: JobInput
    expect: Expectation


@cache
def load_samples() -> tuple[Sample, ...]:
    """Return every sample in the file's order; raise SampleInvalid, naming the line, when one is not right."""
    text = files(__package__).joinpath(SAMPLES_FILE).read_text(encoding="utf-8")
    return read_samples(text)


def read_samples(text: str) -> tuple[Sample, ...]:
    """Read samples from JSONL; blank lines are passed over. Raises SampleInvalid."""
    samples: dict[str, Sample] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            sample = _sample(parse_json(line))
        except (KeyError, TypeError, ValueError) as error:
            raise SampleInvalid(f"line {number}: {error}") from error
        if sample.sample_id in samples:
            raise SampleInvalid(f"line {number}: the sample {sample.sample_id!r} stands there twice")
        samples[sample.sample_id] = sample
    return tuple(samples.values())


def _sample(row: dict[str, Any]) -> Sample:
    _refuse_unknown(row, {"sample_id", "title", "straight", "job", "expect"})
    return Sample(
        sample_id=row["sample_id"],
        title=row["title"],
        straight=row.get("straight", False),
        job=_job(row["job"]),
        expect=_expectation(row["expect"]),
    )


def _job(row: Mapping[str, Any]) -> JobInput:
    parameters = dict(row)
    parameters["input_json"] = _compact(parameters.pop("input"))
    if "evidence_ref" in parameters:
        parameters["evidence_ref_json"] = _compact(parameters.pop("evidence_ref"))
    return JobInput(**parameters)


def _expectation(row: Mapping[str, Any]) -> Expectation:
    _refuse_unknown(row, {*JUDGEMENTS, "depends_on_model"})
    depends_on_model = frozenset(row["depends_on_model"])
    _refuse_unknown(depends_on_model, JUDGEMENTS)
    return Expectation(
        state=JobStatus(row["state"]),
        error_kind=ErrorKind(row["error_kind"]) if "error_kind" in row else None,
        runs=row.get("runs", 1),
        fact_keys=frozenset(row.get("fact_keys", ())),
        no_facts=row.get("no_facts", False),
        absent=tuple(row.get("absent", ())),
        cut_items=frozenset(row.get("cut_items", ())),
        redacted_items=frozenset(row.get("redacted_items", ())),
        depends_on_model=depends_on_model,
    )


def _refuse_unknown(names: Any, known: Any) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
