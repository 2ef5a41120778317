"""``manage.py dbshell`` for the embedded server, with the wheel's own psql."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db.backends.postgresql import client as postgresql

from holocron.embedded_postgres.layout import DATABASE_USER, PORT
from holocron.embedded_postgres.programs import find_programs
from holocron.embedded_postgres.server import ensure_running


class DatabaseClient(postgresql.DatabaseClient):
    """Starts psql on the server's socket; the server runs at least as long as psql."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Start the server and return psql's command line and environment."""
        socket_folder = ensure_running(Path(settings_dict["EMBEDDED_FOLDER"]))
        reached = {**settings_dict, "HOST": socket_folder, "PORT": PORT, "USER": DATABASE_USER}
        arguments, environment = super().settings_to_cmd_args_env(reached, parameters)
        return [str(find_programs() / "psql"), *arguments[1:]], environment
