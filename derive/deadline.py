"""A time limit that long work checks between its steps."""

import math
import time


class Deadline:
    """A time limit that long work checks between its steps; ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the work must stop."""
        return time.monotonic() >= self._until


NO_DEADLINE = Deadline(math.inf)
