"""One PostgreSQL for all tests that start workers as processes, and a fresh queue and lake for each."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holocron.embedded_postgres.programs import NoProgramsError
from holocron.settings import BASE_DIR
from tests.acceptance.guarded_postgres import SECRETS, GuardedPostgres, start_guarded
from tests.acceptance.worker_processes import SECRET_KEY, ProcessWorld
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.worker_world import GOOD_ANSWER, PASSAGE
from tests.own_postgres import PASSWORD, OwnPostgres


@pytest.fixture(scope="session")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    """A migrated server of the tests' own."""
    try:
        postgres = OwnPostgres(tmp_path_factory.mktemp("own") / "postgres")
    except NoProgramsError as error:
        pytest.skip(f"{error}: workers as processes are tested on a PostgreSQL of their own")
    postgres.start()
    with FakeOllama() as fake:
        world = ProcessWorld(postgres, tmp_path_factory.mktemp("migrate"), fake)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=BASE_DIR,
            env=world.environment,
            check=True,
            timeout=120,
        )
    yield postgres
    postgres.stop()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedPostgres]:
    """A server that asks for passwords, set up; at the end its log, which holds every statement, shows no secret."""
    try:
        guarded = start_guarded(tmp_path_factory.mktemp("guarded"))
    except NoProgramsError as error:
        pytest.skip(f"{error}: set-up is tested on a PostgreSQL of its own")
    done = guarded.set_up()
    assert done.returncode == 0, done.stderr
    yield guarded
    guarded.postgres.stop()
    for secret in SECRETS:
        assert secret not in guarded.postgres.log


@pytest.fixture
def world(own_postgres: OwnPostgres, tmp_path: Path) -> Iterator[ProcessWorld]:
    """A world whose model answers properly; whatever a test did, no worker's log holds a secret, evidence or answer."""
    with FakeOllama() as fake:
        fake.always(behaviours.answer(GOOD_ANSWER))
        world = ProcessWorld(own_postgres, tmp_path, fake)
        try:
            yield world
        finally:
            for process in world.processes:
                process.end()
        for process in world.processes:
            for word in (PASSWORD, SECRET_KEY, *PASSAGE.split(". ")):
                assert word not in process.said()
        world.empty()
