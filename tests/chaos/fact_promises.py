"""Rows of facts: of each SUCCEEDED run what judging its files in the lake gives, once, and no others."""

import json
from collections import Counter
from typing import Any

from derive.evidence.contracts import EvidenceBundle
from derive.facts.judging import judge_facts
from derive.interrogations.registry import Registry
from derive.states import RunStatus
from tests.chaos.history import FactRow, History, RunRow
from tests.chaos.lake_files import LakeFiles
from tests.chaos.promises import Broken


def a_succeeded_runs_facts_are_what_its_artifacts_give_exactly_once(history: History, lake: LakeFiles) -> Broken:
    for run in history.runs.values():
        rows = history.facts_of.get(run.run_id, [])
        stored = Counter(_stored(row) for row in rows)
        wanted = Counter(_given(history, lake, run)) if run.status == RunStatus.SUCCEEDED else Counter()
        for fact, times in (stored - wanted).items():
            yield run.job_id, f"fact {fact[0]} of run {run.run_id} is stored {times} times too often"
        for fact, times in (wanted - stored).items():
            yield run.job_id, f"fact {fact[0]} of run {run.run_id} is stored {times} times too seldom"
        for row in rows:
            if row.job_id != run.job_id:
                yield run.job_id, f"fact {row.fact_index} of run {run.run_id} is of job {row.job_id}"
    for run_id in history.facts_of.keys() - history.runs.keys():
        yield None, f"facts of run {run_id} are stored, and there is no such run"


def _stored(row: FactRow) -> tuple[Any, ...]:
    return row.fact_index, row.value, row.quote, row.evidence_id, row.quote_start, row.quote_end, row.verdict


def _given(history: History, lake: LakeFiles, run: RunRow) -> list[tuple[Any, ...]]:
    folder = lake.folders.get(run.run_id)
    if folder is None:
        return []
    evidence, output = (lake.path(f"{folder}/{name}") for name in ("evidence.json", "output.json"))
    if not (evidence.exists() and output.exists()):
        # Another promise's loss.
        return []
    definition = Registry.load(None).get(history.jobs[run.job_id].interrogation_key).definition
    bundle = EvidenceBundle.model_validate_json(evidence.read_bytes())
    facts = judge_facts(json.loads(output.read_bytes()), bundle, definition.fact_rules).facts
    return [
        (one.fact_index, one.value, one.quote, one.evidence_id, one.quote_start, one.quote_end, one.verdict.value)
        for one in facts
    ]
