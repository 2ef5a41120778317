"""Retry a database call with backoff until it succeeds."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from derive.errors import QueueError

Result = TypeVar("Result")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
_rng = Random()  # noqa: S311 - spreads retries, guards nothing


async def until_database_answers(
    call: Callable[[], Awaitable[Result]], *, on_failure: Callable[[QueueError], object] = lambda _: None
) -> Result:
    """Retry a repeatable call until the database answers; cancelling ends the wait.

    Raises a QueueError only for bad content: any other error may be temporary, whether the database is unavailable,
    full, slow, being migrated, or refuses the login during a password change. ``on_failure`` receives each error. There
    is no time limit: a lost lease shows in the answer, or in the next heartbeat, which cancels a run without an
    outcome.
    """
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except QueueError as error:
            if error.is_about_content:
                raise
            on_failure(error)
            await asyncio.sleep(pause_seconds * _rng.uniform(0.7, 1.3))
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
