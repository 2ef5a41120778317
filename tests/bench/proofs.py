"""Judged facts a second on one core: the planted pairs, each quote read anew in every round."""

import time
from typing import Any

from derive.proofs import judge
from derive.proofs.date_reading import dates
from derive.proofs.judging import _rule_by_form
from derive.proofs.quantities import quantities
from derive.proofs.reading import read
from tests.proofs.planted import read_pairs

ROUNDS = 10
MIN_FACTS_A_SECOND = 20_000


def measure() -> dict[str, Any]:
    """Return the facts judged a second of processor time, in the best round, and in microseconds each."""
    pairs = read_pairs("planted.jsonl")
    best = min(_seconds(pairs) for _ in range(ROUNDS))
    facts_a_second = round(len(pairs) / best)
    return {
        "name": f"proofs, {len(pairs)} planted facts",
        "facts_a_second": facts_a_second,
        "microseconds_each": round(1e6 * best / len(pairs), 1),
        "target": f">= {MIN_FACTS_A_SECOND:,} facts/s",
        "met": facts_a_second >= MIN_FACTS_A_SECOND,
    }


def _seconds(pairs: list[Any]) -> float:
    for cached in (read, quantities, dates, _rule_by_form):
        cached.cache_clear()
    started = time.process_time()
    for _, _, value, quote, context in pairs:
        judge(value, quote, context)
    return time.process_time() - started
