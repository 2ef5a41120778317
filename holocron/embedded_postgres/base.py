"""The backend's DatabaseWrapper, in the module where Django expects it."""

import time
from pathlib import Path
from typing import Any

from django.db import OperationalError
from django.db.backends.postgresql import base as postgresql

from holocron.embedded_postgres.client import DatabaseClient
from holocron.embedded_postgres.keeper import POLL_SECONDS, START_SECONDS
from holocron.embedded_postgres.layout import DATABASE_USER, PORT
from holocron.embedded_postgres.server import EmbeddedServerError, answers, ensure_running


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """PostgreSQL on a private socket, in ``EMBEDDED_FOLDER``; started by the first connection."""

    client_class = DatabaseClient

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Start the server if necessary and connect; raise OperationalError if that fails."""
        folder = Path(self.settings_dict["EMBEDDED_FOLDER"])
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket_folder = ensure_running(folder)
            except EmbeddedServerError as error:
                raise OperationalError(str(error)) from error
            try:
                return super().get_new_connection(
                    # Everything that the user's PG* variables could otherwise change.
                    {**conn_params, "host": socket_folder, "port": PORT, "user": DATABASE_USER}
                )
            except self.Database.OperationalError as error:
                # The server was killed between the check and the connection, or is stopping because its keeper was
                # killed.
                has_gone = not answers(folder) or "the database system is" in str(error)
                if not has_gone or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)
