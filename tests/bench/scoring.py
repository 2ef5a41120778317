"""Scoring an experiment of 10,000 cases with three variants, in processor time; answers are in memory."""

import json
import random
import time
from typing import Any
from uuid import UUID

from derive.experiments.answers import TriedAnswer, score_answers
from derive.experiments.result import score
from derive.experiments.variants import Variant
from derive.facts.rules import FactRules
from derive.models import Experiment, ExperimentCase

CASES, VARIANTS = 10_000, 3
MAX_SECONDS = 10.0
GATES = ("f1>=live", "f1[height]>=live", "precision>=live-0.02")
RULES = FactRules.of_schema({"type": "object"})


def measure() -> dict[str, Any]:
    """Return what comparing the answers and drawing conclusions cost."""
    rng = random.Random(3)
    experiment = Experiment(
        experiment_id=UUID(int=1),
        set_name="bench",
        cases=CASES,
        repeats=1,
        variants_json=json.dumps({"variants": [_variant(n) for n in range(VARIANTS)]}),
        gates_json=json.dumps({"gates": GATES}),
    )
    asked = [_case(rng, n) for n in range(CASES)]
    started = time.process_time()
    scored = [score_answers(case, answers, [RULES] * VARIANTS) for case, answers in asked]
    compared = time.process_time()
    score(experiment, scored)
    seconds = time.process_time() - started
    return {
        "name": f"scoring of {CASES:,} cases with {VARIANTS} variants",
        "seconds": round(seconds, 1),
        "of_them_comparing": round(compared - started, 1),
        "target": f"<= {MAX_SECONDS} s",
        "met": seconds <= MAX_SECONDS,
    }


def _variant(n: int) -> dict[str, Any]:
    one = Variant(name=f"v{n}", interrogation_key="bench", version=str(n), definition_sha256="ab" * 32, is_live=n == 0)
    return one.model_dump(mode="json")


def _facts(rng: random.Random) -> dict[str, str]:
    return {
        "birth_year": f"{rng.randint(1, 90)} BBY",
        "height": f"{rng.randint(100, 220)} cm",
        "homeworld": rng.choice(["Tatooine", "Naboo", "Corellia", "Alderaan"]),
        "species": rng.choice(["human", "droid", "Wookiee"]),
        "affiliation": rng.choice(["Rebel Alliance", "Empire"]),
        "eye_color": rng.choice(["blue", "brown"]),
        "ship": f"T-{rng.randint(10, 99)}B",
        "rank": rng.choice(["captain", "general"]),
    }


def _case(rng: random.Random, case_no: int) -> tuple[ExperimentCase, list[list[TriedAnswer | None]]]:
    """Return a case of eight facts and its answers, in which one value of five is drawn anew."""
    expected = _facts(rng)
    answers: list[list[TriedAnswer | None]] = []
    for _ in range(VARIANTS):
        other = _facts(rng)
        found = [
            {
                "evidence_ids": ["e1"],
                "fact_key": key,
                "quote": value,
                "value": value if rng.random() < 0.8 else other[key],
            }
            for key, value in expected.items()
            if rng.random() < 0.95
        ]
        answers.append([TriedAnswer(has_ended=True, output_json=json.dumps({"facts": found}), tokens=100)])
    facts = [{"key": key, "value": value} for key, value in expected.items()]
    case = ExperimentCase(case_no=case_no, case_key=f"c{case_no}", expected_json=json.dumps({"facts": facts}))
    return case, answers
