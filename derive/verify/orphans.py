"""Orphans: lake folders without a manifest row."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from derive.lake import Lake
from derive.states import RunStatus
from derive.verify.findings import Orphan
from derive.verify.reading import KnownRun, Shard, known_runs, purged_runs
from derive.verify.stored import LEFT_NOTHING

BATCH_FOLDERS = 500


def find_orphans(lake: Lake, since: datetime | None, shard: Shard | None = None) -> Iterator[Orphan]:
    """Yield all orphans since the UTC day of ``since``, or a shard of them; raises LakeUnavailable and QueueError.

    A run that handed in its files but lacks rows is a finding, not an orphan.
    """
    folders = lake.run_folders(since)
    named = ((UUID(folder.rpartition("/")[2]), folder) for folder in folders)
    wanted = (one for one in named if shard is None or shard.holds(one[0]))
    while by_run := list(islice(wanted, BATCH_FOLDERS)):
        known = known_runs([run_id for run_id, _ in by_run])
        purged = purged_runs([run_id for run_id, _ in by_run if run_id not in known])
        for run_id, folder in by_run:
            why = _why_orphan(folder, known.get(run_id), was_purged=run_id in purged)
            if why is not None:
                yield Orphan(run_id, folder, why)


def _why_orphan(folder: str, known: KnownRun | None, *, was_purged: bool) -> str | None:
    if known is None:
        return "its job was purged, and the folder waits to be deleted" if was_purged else "SQL does not know this run"
    if known.manifest_uri is not None:
        recorded = known.manifest_uri.rpartition("/")[0]
        return None if recorded == folder else f"SQL says that the files of this run are in {recorded}"
    if known.status == RunStatus.RUNNING or known.error_kind not in LEFT_NOTHING:
        return None
    return f"the run ended {known.status} ({known.error_kind}) before its files were handed in"
