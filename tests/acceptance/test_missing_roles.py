"""``migrate`` by who may not make roles: a notice says what to do, and later what was not granted is granted."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from derive.sql.procedures import PROCEDURES
from derive.sql.roles import ROLES
from holocron.embedded_postgres.layout import PORT
from holocron.embedded_postgres.programs import NoProgramsError
from tests.acceptance.test_pooler import manage
from tests.acceptance.worker_processes import ProcessWorld
from tests.fake_ollama import FakeOllama
from tests.own_postgres import OwnPostgres

OWNER = "poor"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[ProcessWorld]:
    """A server where nobody has migrated, and so without the roles."""
    try:
        postgres = OwnPostgres(tmp_path / "postgres")
    except NoProgramsError as error:
        pytest.skip(f"{error}: roles are tested on a PostgreSQL of their own")
    postgres.start()
    try:
        with FakeOllama() as fake:
            yield ProcessWorld(postgres, tmp_path, fake)
    finally:
        postgres.stop()


def connect(world: ProcessWorld) -> "psycopg.Connection[tuple[bool, ...]]":
    host = str(world.postgres.socket_folder)
    return psycopg.connect(host=host, port=PORT, user="postgres", dbname=OWNER, autocommit=True)


def test_roles_made_later_get_their_rights_from_the_next_migrate(bare: ProcessWorld) -> None:
    bare.sql(f"CREATE ROLE {OWNER} LOGIN")
    bare.sql(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
    url = bare.postgres.url.replace("/holocron?", f"/{OWNER}?").replace("//postgres:", f"//{OWNER}:")
    environment = bare.environment | {"DATABASE_URL": url}

    for said in ("Installed", "No migrations to apply"):
        done = manage(environment, "migrate")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        assert done.stderr.count("\n") == 1
        assert "CREATE ROLE llm_worker NOLOGIN; CREATE ROLE llm_operator NOLOGIN; CREATE ROLE llm_reader" in done.stderr

    for role in ROLES:
        bare.sql(f"CREATE ROLE {role} NOLOGIN")
    done = manage(environment, "migrate")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Installed {len(PROCEDURES)} procedure scripts" in done.stdout
    with connect(bare) as connection:
        for role, table in (("llm_worker", "artifact"), ("llm_operator", "job"), ("llm_reader", "v_entity_fact")):
            asked = "SELECT has_table_privilege(%s, %s, 'SELECT')"
            assert connection.execute(asked, [role, f"llm.{table}"]).fetchone() == (True,), role
        asked = "SELECT bool_and(has_function_privilege(%s, oid, 'EXECUTE')) FROM pg_proc WHERE proname = %s"
        for role, procedure in (("llm_worker", "usp_claim_next_job"), ("llm_operator", "usp_enqueue_job")):
            assert connection.execute(asked, [role, procedure]).fetchone() == (True,), role
    done = manage(environment, "migrate")
    assert "Installed" not in done.stdout
