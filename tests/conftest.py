"""What every test shares. One run knows one engine: the one that DATABASE_URL names, the embedded one without it."""

from collections.abc import Iterator

import pytest
import pytest_django
from django.db import connection

# Children before parents: there are foreign keys from artifact to run and from run to job.
OWN_TABLES = (
    "artifact",
    "run",
    "job_event",
    "job",
    "worker",
    "interrogation",
    "lake_deletion",
)


@pytest.fixture
def empty_queue(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[None]:
    """An empty queue, in a test whose transactions are real.

    Django flushes only the tables it manages, and none of ``llm`` is: they are emptied here, after the test as well, so
    that no other test finds a row. Django's own tables are not flushed, which takes half a second: a test that writes
    to those asks for ``transactional_db`` too.
    """
    with django_db_blocker.unblock():
        empty_own_tables()
        yield
        empty_own_tables()


def empty_own_tables() -> None:
    """Delete every row of the schema ``llm``, but for the installed scripts' hashes."""
    with connection.cursor() as cursor:
        for table in OWN_TABLES:
            cursor.execute(f"DELETE FROM llm.{table}")
