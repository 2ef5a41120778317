"""The backoff before a job is retried."""

from random import Random

FIRST_SECONDS = 30
MAX_SECONDS = 3600
JITTER = 0.2
_MAX_DOUBLINGS = 7
"""30 * 2**7 already exceeds the maximum; a larger exponent would only risk an overflow."""


def backoff_seconds(attempt_count: int, rng: Random) -> int:
    """Return the seconds to wait after the ``attempt_count``-th counted attempt (1, 2, 3 …).

    ``min(3600, 30 * 2**(attempt_count - 1))`` with jitter of up to 20 % either way, so that jobs that failed together
    are not retried together.
    """
    doublings = min(max(attempt_count - 1, 0), _MAX_DOUBLINGS)
    seconds = min(MAX_SECONDS, FIRST_SECONDS << doublings)
    return round(seconds * rng.uniform(1 - JITTER, 1 + JITTER))
