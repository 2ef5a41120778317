"""A PgBouncer of a test's own, in front of a PostgreSQL on a socket; Debian's package ``pgbouncer`` brings it."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from holocron.embedded_postgres.account import Account, become
from holocron.embedded_postgres.layout import DATABASE_USER, PORT

DEADLINE_SECONDS = 30
POOLER_PORT = 6432
PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
WHY_SKIPPED = "pgbouncer is not installed (apt-get install pgbouncer): nothing is tested behind a real pooler"


class OwnPgBouncer:
    """One pooler on a socket in its folder, with so few server connections that clients have to share them."""

    def __init__(
        self, folder: Path, *, server_folder: Path, account: Account, mode: str = "transaction", pool_size: int = 4
    ) -> None:
        assert PROGRAM is not None, WHY_SKIPPED
        self.folder = folder
        self._account = account
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        os.chown(folder, account.uid, account.gid)
        self._config, users = folder / "pgbouncer.ini", folder / "users.txt"
        users.write_text(f'"{DATABASE_USER}" ""\n', "ascii")
        self._config.write_text(
            "[databases]\n"
            f"* = host={server_folder} port={PORT}\n"
            "[pgbouncer]\n"
            "listen_addr =\n"
            f"listen_port = {POOLER_PORT}\n"
            f"unix_socket_dir = {folder}\n"
            "auth_type = trust\n"
            f"auth_file = {users}\n"
            f"admin_users = {DATABASE_USER}\n"
            f"pool_mode = {mode}\n"
            f"default_pool_size = {pool_size}\n"
            "max_client_conn = 500\n"
            # The server's log-in is tried again at once: tests crash servers.
            "server_login_retry = 1\n"
            f"logfile = {folder / 'pgbouncer.log'}\n",
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """The address, for DATABASE_URL."""
        host = quote(str(self.folder), safe="")
        return f"postgresql://{DATABASE_USER}@/{quote(database, safe='')}?host={host}&port={POOLER_PORT}"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "pgbouncer.log").read_text("utf-8", "replace")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(PROGRAM), "-q", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Only system calls run between fork and exec, whatever threads there are.
            preexec_fn=become(self._account, signal_at_parents_death=signal.SIGKILL),  # noqa: PLW1509
        )
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                psycopg.connect(host=str(self.folder), port=POOLER_PORT, user=DATABASE_USER, dbname="pgbouncer").close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log
                time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; clients and servers find their connections broken."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_SECONDS)
            self._process = None
