"""Checks that the lake at ``LAKE_URL`` is the one with this database's files.

The lake has an id at its root (``lake.json``), and SQL stores the same id (``llm.lake``). If either is missing, the
lake is accepted only if nothing can be lost: SQL records no files, or the lake contains the newest ones (a lake of an
earlier version). Any other root is refused, because an unmounted share or a moved folder looks like an empty lake.
"""

from uuid import UUID, uuid4

from django.db import connection

from derive.errors import LakeConflict, LakeError, LakeUnavailable
from derive.lake import Lake
from derive.lake_stores.identity import IDENTITY_NAME, WHAT_TO_DO
from derive.lake_stores.paths import is_run_folder
from derive.models import Artifact, LakeDeletion
from derive.queue import JobQueue
from derive.sql.reading import reading

SAMPLE_FILES = 20
"""Number of the newest files that are looked up in a lake without an id; most of them must exist."""


def open_own_lake(url: str) -> Lake:
    """Return the lake at a URL after ``settle_lake``. Raises ConfigurationError, LakeUnavailable, QueueError."""
    lake = Lake.open(url)
    settle_lake(lake)
    return lake


def settle_lake(lake: Lake) -> None:
    """Make sure that the lake belongs to this database, and write its id where that is missing.

    Afterwards this ``Lake`` refuses any other root. Several processes may call this at once. Raises LakeUnavailable if
    the lake is missing or a different one, and QueueError.
    """
    queue = JobQueue()
    recorded, newest = queue.record_lake(), _newest_files()
    if not newest:
        # Nothing was ever stored, so the root may have to be created first.
        lake.probe()
    held = lake.read_identity()
    if held is None or held != recorded:
        _check_may_take(lake, held, recorded, newest)
        held = _record(lake, queue, held, recorded)
    lake.require_identity(held)


def check_lake_identity(lake: Lake) -> None:
    """Raise LakeUnavailable unless ``settle_lake`` would accept the lake; only reads. Raises QueueError."""
    newest = _newest_files()
    if newest:
        held, recorded = lake.read_identity(), reading(_id_on_record)
        if held is None or held != recorded:
            _check_may_take(lake, held, recorded, newest)


def take_lake(lake: Lake) -> UUID:
    """Assign the lake to this database whatever it contains, and return its id; only on an operator's request.

    Raises LakeUnavailable if the lake cannot be written, and QueueError.
    """
    queue = JobQueue()
    recorded = queue.record_lake()
    lake.probe()
    held = lake.read_identity()
    if held is not None and held == recorded:
        return held
    # Not the recorded id: the lake with that id may come back, and is a different one.
    return _record(lake, queue, held or uuid4(), recorded)


def _record(lake: Lake, queue: JobQueue, held: UUID | None, recorded: UUID | None) -> UUID:
    """Record an id in SQL, then in the lake; after a crash in between, the next call finishes."""
    wanted = held or recorded or uuid4()
    settled = queue.record_lake(wanted, replaces=recorded)
    if settled is None or (held is not None and settled != held):
        raise LakeUnavailable(f"The lake was given another id ({settled}) by another process at the same moment.")
    try:
        lake.write_identity(settled)
    except LakeConflict as error:
        raise LakeUnavailable(f"The lake's {IDENTITY_NAME} appeared at the same moment, with another id.") from error
    return settled


def _id_on_record() -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT lake_id FROM llm.lake")
        row = cursor.fetchone()
    return UUID(str(row[0])) if row else None


def _check_may_take(lake: Lake, held: UUID | None, recorded: UUID | None, newest: list[str]) -> None:
    if not newest:
        return
    if held is not None and recorded is not None:
        raise LakeUnavailable(
            f"The lake is not this database's: its {IDENTITY_NAME} names {held}, SQL knows {recorded}; {WHAT_TO_DO}."
        )
    found = sum(1 for uri in newest if _holds(lake, uri))
    if 2 * found <= len(newest):
        lacks = f"has no {IDENTITY_NAME}" if held is None else f"has an id that SQL does not know ({held})"
        raise LakeUnavailable(
            f"The lake is not this database's: it {lacks} and holds {found} of the newest {len(newest)} files that "
            f"SQL knows; {WHAT_TO_DO}."
        )


def _holds(lake: Lake, uri: str) -> bool:
    try:
        lake.open_file(uri).close()
    except LakeError:
        return False
    return True


def _newest_files() -> list[str]:
    """Return the newest artifacts or, if all are purged, those whose files are still to be deleted."""
    newest = Artifact.objects.order_by("-artifact_seq").values_list("lake_uri", flat=True)
    waiting = LakeDeletion.objects.filter(deleted_utc__isnull=True).order_by("-deletion_seq")
    of_purged = waiting.values_list("lake_uri", flat=True)
    known = reading(lambda: list(newest[:SAMPLE_FILES]) or list(of_purged[:SAMPLE_FILES]))
    # The folder of a run without artifacts may never have been created.
    return [uri for uri in known if not is_run_folder(uri)]
