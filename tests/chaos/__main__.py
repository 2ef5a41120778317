"""``python -m tests.chaos``: everything goes wrong for a while, and then every promise is judged.

Exit codes: 0 every promise was kept, 1 one was broken; the folder with the workers' logs is then kept and named.
"""

import argparse
import os
import sys
from random import Random, SystemRandom

from tests.chaos.world import chaos_world
from tests.own_pgbouncer import PROGRAM, WHY_SKIPPED


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="of chaos, before all is drained and judged")
    parser.add_argument("--workers", type=int, default=4, help="worker processes")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    parser.add_argument("--keep", action="store_true", help="keep the folder with database, lake and logs")
    given = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    _say(f"seed {seed}")
    rng = Random(seed)
    if PROGRAM is None:
        _say(WHY_SKIPPED)
    with chaos_world(rng, keep=given.keep) as world:
        # Django meets this world's database and no other.
        os.environ.update(world.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "holocron.settings"
        import django

        django.setup()
        from tests.chaos.report import lines_of, summary_of
        from tests.chaos.run import run_chaos

        report = run_chaos(world, rng, seconds=given.seconds, workers=given.workers)
        for line in lines_of(report, seed=seed):
            _say(line)
        _say(summary_of(report, seed=seed))
        if report.violations:
            _say(f"logs, lake and database are kept: {world.folder.parent}")
            world.is_kept = True
    return 1 if report.violations else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
