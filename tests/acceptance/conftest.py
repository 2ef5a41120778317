"""One PostgreSQL for all tests that start workers as processes, and a fresh queue and lake for each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holocron.embedded_postgres.layout import Layout, locked
from holocron.embedded_postgres.programs import NoProgramsError, find_programs
from tests.acceptance.command_world import World
from tests.acceptance.guarded_postgres import SECRETS, GuardedPostgres, start_guarded
from tests.acceptance.worker_processes import SECRET_KEY, ProcessWorld
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.worker_world import GOOD_ANSWER, PASSAGE
from tests.own_postgres import PASSWORD, OwnPostgres


@pytest.fixture(scope="session")
def migrated_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a database that was migrated, to be copied: made once for all processes that test.

    To make a cluster and to migrate it takes three seconds of processor time, to copy one a tenth of that.
    """
    try:
        find_programs()
    except NoProgramsError as error:
        pytest.skip(f"{error}: commands as processes are tested on a PostgreSQL of their own")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / "migrated"
    with locked(shared / "migrated.lock"):
        if not made.exists():
            world = World(shared / "migrating")
            world.migrate()
            with locked(Layout(world.folder / "postgres").keeper_lock):  # the server has stopped: nobody holds it
                world.folder.rename(made)
    return made / "postgres" / "data"


@pytest.fixture(scope="session")
def own_postgres(migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    """A migrated server of the tests' own."""
    postgres = OwnPostgres(tmp_path_factory.mktemp("own") / "postgres", cluster=migrated_cluster)
    postgres.start()
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
