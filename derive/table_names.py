"""Names of the user's own tables and columns, as declarations give them: checked here, quoted where SQL is made."""

import re
from typing import Annotated

from pydantic import AfterValidator


def _column(name: str) -> str:
    if not re.fullmatch(r"[^\W\d][\w$ ]{0,126}", name) or name != name.rstrip():
        raise ValueError("write a column's name: letters, digits, _, $ and blanks, beginning with a letter or _")
    return name


def _table(name: str) -> str:
    try:
        schema, table = name.split(".")
        _column(schema)
        _column(table)
    except ValueError:
        raise ValueError(
            "write schema.view or schema.table, each of letters, digits, _, $ and blanks, without quotes"
        ) from None
    return name


ColumnName = Annotated[str, AfterValidator(_column)]
TableName = Annotated[str, AfterValidator(_table)]
"""Schema and table, or view."""
