"""What a worker does while the database is away: it waits, as long as the lease may still stand."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from derive.errors import DatabaseUnavailable

Result = TypeVar("Result")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
_rng = Random()  # noqa: S311 - spreads retries, guards nothing


async def until_database_answers(call: Callable[[], Awaitable[Result]]) -> Result:
    """Make a repeatable call again and again until the database answers it; cancelling ends the wait.

    No limit in time: a lease that was lost meanwhile is found out by the answer, or by the next heartbeat, which
    cancels a run that has nothing to hand in yet.
    """
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except DatabaseUnavailable:
            await asyncio.sleep(pause_seconds * _rng.uniform(0.7, 1.3))
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
