"""Looks up a file's dedupe keys before it is queued: which are held, and which repeat.

A prediction: held keys may change before the file is queued; only the queue's answers are final.
"""

from array import array
from collections import defaultdict
from hashlib import blake2b
from itertools import pairwise
from typing import BinaryIO

from derive.contracts import JobInput
from derive.sql.held_keys import MOST_KEYS, held_keys

_MARK_BYTES = 8
"""Length of a key's hash: in a file of half a million, two keys collide once in a hundred million files."""


class KeyLookup:
    """Takes jobs as they are checked; ``held`` counts those whose key is held. Hashes of free keys go to a file.

    Raises QueueError.
    """

    def __init__(self, marks: BinaryIO) -> None:
        self.held = 0
        self._marks = marks
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def add(self, job: JobInput) -> None:
        """Add a job."""
        if job.dedupe_key is None:
            return
        waiting = self._waiting[job.interrogation_key]
        waiting.append(job.dedupe_key)
        if len(waiting) == MOST_KEYS:
            self._look(job.interrogation_key)

    def end(self) -> None:
        """Look up the keys added last."""
        for interrogation_key in list(self._waiting):
            self._look(interrogation_key)

    def _look(self, interrogation_key: str) -> None:
        keys = self._waiting.pop(interrogation_key)
        held = held_keys(interrogation_key, sorted(set(keys)))
        free = [key for key in keys if key not in held]
        self.held += len(keys) - len(free)
        self._marks.writelines(_mark(interrogation_key, key) for key in free)


def count_repeated(marks: BinaryIO) -> int:
    """Return how many free keys repeat an earlier one."""
    marks.seek(0)
    numbers = array("Q", marks.read())
    ordered = sorted(numbers)
    return sum(one == next_one for one, next_one in pairwise(ordered))


def _mark(interrogation_key: str, dedupe_key: str) -> bytes:
    return blake2b(f"{interrogation_key}\0{dedupe_key}".encode(), digest_size=_MARK_BYTES).digest()
