"""One ``[[source]]`` table as its kind receives it, and the types that the kinds' keys share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from derive.sources.contract import Source

ReadDatabaseUrl = Callable[[str], dict[str, Any]]
"""Returns the entry of Django's DATABASES for a URL; raises ValueError, without the URL's secrets."""


@dataclass(frozen=True, slots=True)
class SourceDeclaration:
    """The name and the kind of a source, and the keys that its kind reads.

    ``folder`` is that of the file, which relative paths start from; ``environment`` has the variables that keys ending
    in ``_env`` name.
    """

    name: str
    kind: str
    keys: Mapping[str, Any] = field(repr=False)
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    lake_url: str = field(repr=False)
    read_database_url: ReadDatabaseUrl = field(repr=False)
    most_seconds: int | None = None
    """The longest time of one statement, where the reader is less patient than the declaration."""

    def seconds_of(self, declared: int) -> int:
        """Return the time limit of a statement."""
        return declared if self.most_seconds is None else min(declared, self.most_seconds)


OpenSource = Callable[[SourceDeclaration], Source]
"""Opens a source without reading it; raises ValueError, which is pydantic's ValidationError too, for wrong keys."""


def _entity_type(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,98}[A-Za-z0-9_.-]|[A-Za-z0-9_]", text):
        raise ValueError("write at most 100 letters, digits, dots, blanks, underscores and hyphens")
    return text


def as_list(value: Any) -> Any:
    """Return one text as a list of it, for keys that take one or several."""
    return [value] if isinstance(value, str) else value


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", text):
        raise ValueError("write the name of an environment variable that holds the value, not the value")
    return text


VariableName = Annotated[str, AfterValidator(_variable)]
EntityType = Annotated[str, AfterValidator(_entity_type)]
