"""A PostgreSQL of a test's own, which it may stop hard and start again; reached by a DATABASE_URL."""

import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from holocron.embedded_postgres import keeper
from holocron.embedded_postgres.account import become, choose_account, give_access
from holocron.embedded_postgres.keeper import DATABASE_NAME
from holocron.embedded_postgres.layout import DATABASE_USER, PORT, Layout, make_socket_folder
from holocron.embedded_postgres.programs import find_programs

DEADLINE_SECONDS = 60
PASSWORD = "canary-in-the-database-url"
"""Asked for by nobody on a private socket; it stands in the address so that tests find it where it must not be."""


class OwnPostgres:
    """One server, with the durability of a real one. Raises NoProgramsError where the wheel does not exist.

    Its cluster is a copy of the given one, or a new one that holds nothing.
    """

    def __init__(self, folder: Path, *, cluster: Path | None = None) -> None:
        self._programs = find_programs()
        self._layout = Layout(folder)
        folder.mkdir(parents=True)
        account = choose_account()
        if account.is_switched:
            folder.chmod(0o711)
        self._account = give_access(account, folder=folder, programs=self._programs)
        if cluster is None:
            keeper._make_cluster(self._layout, programs=self._programs, account=self._account)
        else:
            copy_cluster(cluster, folder)
        self.socket_folder = make_socket_folder(self._layout, owner=(self._account.uid, self._account.gid))
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address, for DATABASE_URL."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{DATABASE_USER}:{PASSWORD}@/{DATABASE_NAME}?host={host}&port={PORT}"

    @property
    def data_folder(self) -> Path:
        """The cluster, whose configuration may be changed before the start."""
        return self._layout.data

    @property
    def log(self) -> str:
        """What the server has said."""
        return self._layout.log.read_text("utf-8", "replace")

    def start(self) -> None:
        options = {**keeper.SERVER_OPTIONS, "unix_socket_directories": f'"{self.socket_folder}"'}
        with self._layout.log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._layout.data),
                    *(f"-c{name}={value}" for name, value in options.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=keeper._environment(),
                # Only system calls run between fork and exec, whatever threads there are.
                preexec_fn=become(self._account, signal_at_parents_death=signal.SIGINT),  # noqa: PLW1509
            )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self._layout.log.read_text()
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT breaks the connections and ends in good order, SIGQUIT at once, as a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(DEADLINE_SECONDS)
            self._server = None

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.socket_folder), port=PORT, user=DATABASE_USER, dbname=DATABASE_NAME, autocommit=True
        )


def copy_cluster(cluster: Path, folder: Path) -> None:
    """Copy the files of a cluster whose server has stopped into a server's folder, with their owner and modes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", cluster, folder / "data"], check=True)  # noqa: S607
