"""What a new connection to SQL Server is told is T-SQL; nothing else can be judged without one."""

import os
import subprocess
from pathlib import Path

import sqlfluff

from derive.sql.sessions import _SQLSERVER_SESSION


def test_the_batch_for_sql_server_is_t_sql(tmp_path: Path) -> None:
    assert "unparsable" not in str(sqlfluff.parse(_SQLSERVER_SESSION, dialect="tsql"))
    checker = os.environ.get("TSQL_CHECK")
    if checker:
        path = tmp_path / "session.sql"
        path.write_text(_SQLSERVER_SESSION, "utf-8")
        subprocess.run([checker, path], check=True, timeout=120)
