"""Frozen models of what a derivation delivers to: a table of the system of record, and what goes into its columns."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from derive.strict_types import Frozen
from derive.table_names import ColumnName, TableName

WhenRetired = Literal["mark", "remove", "keep"]
"""What becomes of a subject's row when the subject is gone."""
MAX_COLUMNS = 100
_OWN_SCHEMAS = frozenset({"llm", "pg_catalog", "information_schema", "sys"})


def _value(text: str) -> str:
    kind, _, name = text.partition(":")
    is_path = kind == "answer" and all(name.split("."))
    is_fact = kind in {"fact", "facts"} and name.strip() == name != ""
    if not (is_path or is_fact) or len(text) > 400:
        raise ValueError("write fact:KEY, facts:KEY (all values, as JSON) or answer:path.to.member")
    return text


def _not_our_own(name: str) -> str:
    if name.partition(".")[0].casefold() in _OWN_SCHEMAS:
        raise ValueError("name a table of your own: those of this schema are written by nobody else")
    return name


TargetValue = Annotated[str, AfterValidator(_value)]
"""``fact:KEY``, ``facts:KEY`` or ``answer:path``."""


class TargetKey(Frozen):
    """The columns that name a row's subject; without ``entity_type`` all subjects are of one type."""

    entity_id: ColumnName
    entity_type: ColumnName | None = None


class Target(Frozen):
    """A table, with a row for each subject.

    ``columns`` maps its columns to values, ``run_id`` is a column for the run that the row's values are of.
    ``retired_column`` is where ``mark`` writes when the subject was retired: a time, or true if it is boolean.
    """

    table: Annotated[TableName, AfterValidator(_not_our_own)]
    key: TargetKey
    columns: dict[ColumnName, TargetValue] = Field(min_length=1, max_length=MAX_COLUMNS)
    run_id: ColumnName | None = None
    retired: WhenRetired = "keep"
    retired_column: ColumnName | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.retired == "mark") != (self.retired_column is not None):
            raise ValueError('retired_column: write it with retired = "mark", and only then')
        twice = [name for name, times in Counter(map(str.casefold, self.names)).items() if times > 1]
        if twice:
            raise ValueError(f"{twice[0]}: two values would go into this column")
        return self

    @property
    def key_names(self) -> tuple[str, ...]:
        """The key's columns; the values in the same order are those of ``TargetKey``'s members."""
        return tuple(one for one in (self.key.entity_id, self.key.entity_type) if one is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Every column that is written."""
        others = (one for one in (self.run_id, self.retired_column) if one is not None)
        return (*self.key_names, *self.columns, *others)
