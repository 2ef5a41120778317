"""Applies the run's derivation again and again, a few subjects a call, until it is killed.

What it meets that another time mends, such as a database that is away, is logged; anything else ends it.
"""

import json
import os
import sys
import threading

import django

KEY = "letters"
SUBJECTS_A_CALL = 3
"""So few that a kill leaves an application half-way."""
PAUSE_SECONDS = 0.3
APPLYING, ENDED = "applier.applying", "applier.ended"


def main() -> int:
    django.setup()
    from derive.derivations import applying
    from derive.derivations.applying import NotApplied, apply_derivation
    from derive.derivations.declarations import find_declared
    from derive.errors import DatabaseUnavailable
    from derive.queue import JobQueue

    vars(applying)["SUBJECTS_AT_ONCE"] = SUBJECTS_A_CALL
    queue, actor, pause = JobQueue(), f"applier-{os.getpid()}", threading.Event()
    while True:
        _say(APPLYING)
        try:
            applied = apply_derivation(find_declared(KEY), queue, actor=actor)
            _say(ENDED, queued=applied.queued, retired=applied.retired, left=applied.left)
        except (DatabaseUnavailable, NotApplied) as error:
            _say(ENDED, error=f"{type(error).__name__}: {error} {error.__cause__}")
        pause.wait(PAUSE_SECONDS)


def _say(event: str, **more: object) -> None:
    print(json.dumps({"event": event, **more}), flush=True)  # noqa: T201 - its log


if __name__ == "__main__":
    sys.exit(main())
