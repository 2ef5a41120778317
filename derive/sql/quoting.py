"""Names in SQL, quoted for the engine."""

from derive.sql.tables import Engine


def quoted_name(engine: Engine, name: str) -> str:
    """Return one name, quoted."""
    return f"[{name.replace(']', ']]')}]" if engine is Engine.SQLSERVER else '"' + name.replace('"', '""') + '"'


def quoted_path(engine: Engine, path: str) -> str:
    """Return schema.table, each quoted."""
    return ".".join(quoted_name(engine, part) for part in path.split("."))
