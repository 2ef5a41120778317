"""The demo's sample jobs, and the expected result of each.

``samples.jsonl`` has one sample per line, written for this project: ``sample_id``, ``title``, ``job`` (parameters of
``usp_enqueue_job``, with ``input`` and ``evidence_ref`` as objects), ``straight`` (true: queued by calling the
procedure directly, without the checks of the commands) and ``expect``.
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
"""The possible expectations of a sample; ``depends_on_model`` names those that do not apply to a real model."""


class SampleInvalid(ValueError):
    """A line of the samples is invalid; the message names the line."""


@dataclass(frozen=True)
class Expectation:
    """How a sample should end.

    ``runs`` is the number of attempts. The answer's facts must include ``fact_keys``; with ``no_facts`` there must be
    none. ``absent`` are texts that must not occur in the answer nor, if there are ``redacted_items``, in the stored
    evidence. ``cut_items`` and ``redacted_items`` are the ids of evidence that was cut or redacted.
    ``depends_on_model`` names the judgements that apply only to the stand-in's answers.
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
    """One sample job. ``straight`` means that it is queued through the procedure, without the commands' checks."""

    sample_id: str
    title: str
    straight: bool
    job: JobInput
    expect: Expectation


@cache
def load_samples() -> tuple[Sample, ...]:
    """Return all samples in the order of the file; raise SampleInvalid, which names the line, if one is invalid."""
    text = files(__package__).joinpath(SAMPLES_FILE).read_text(encoding="utf-8")
    return read_samples(text)


def read_samples(text: str) -> tuple[Sample, ...]:
    """Read samples from JSONL, skipping blank lines. Raises SampleInvalid."""
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
