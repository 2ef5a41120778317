"""A golden case, and an experiment whose variant has a hostile name."""

import json
from typing import Any
from uuid import uuid4

from derive.batch_contracts import BatchInput
from derive.experiments.opening import find_experiment
from derive.golden_contracts import CaseInput
from derive.models import Experiment, GoldenCase
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE
from tests.contract.scenes import ACTOR

KEY = "sw_entity_facts_v1"
SECRET = "1.72 m tall"


def a_case(queue: JobQueue, **values: Any) -> GoldenCase:
    given: dict[str, Any] = {
        "set_name": "heights",
        "case_key": "luke",
        "interrogation_key": KEY,
        "input_json": json.dumps({"entity_type": "character", "entity_id": "luke"}),
        "evidence_json": json.dumps({"items": [{"evidence_id": "e1", "text": f"Luke is {SECRET}. {HOSTILE}"}]}),
        "expected_json": json.dumps({"facts": [{"key": "height", "value": "172 cm", "quote": SECRET}]}),
    }
    queue.save_golden_cases([CaseInput(**given | values)], actor=ACTOR)
    case: GoldenCase = GoldenCase.objects.order_by("-case_seq")[0]
    return case


def an_experiment(
    queue: JobQueue,
    *,
    reason: str = "why",
    gates: tuple[str, ...] = ("f1>=live",),
    variant: str = HOSTILE,
    **case: Any,
) -> Experiment:
    a_case(queue, **case)
    experiment_id = uuid4()
    batch = queue.open_batch(BatchInput(name=f"experiment {experiment_id}"), actor=ACTOR)
    asked: dict[str, Any] = {
        "interrogation_key": KEY,
        "version": "1",
        "definition_sha256": "ab" * 32,
        "options": {},
        "model": None,
    }
    variants = [
        {**asked, "name": "live", "is_live": True},
        {**asked, "name": variant, "is_live": False},
    ]
    queue.open_experiment(
        experiment_id,
        set_name="heights",
        batch_id=batch.batch_id,
        variants=variants,
        gates=gates,
        actor=ACTOR,
        reason=reason,
    )
    return find_experiment(experiment_id)
