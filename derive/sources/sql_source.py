"""The source ``sql``: each row of a view or table is a subject.

For example::

    [[source]]
    name = "contracts"
    kind = "sql"
    entity_type = "contract"
    view = "reporting.v_contract"   # schema.view
    entity = "contract_no"          # the column that names the subject; without duplicates
    text = "body"                   # a column, or a list of columns, each an item of the evidence
    uri = "link"                    # optional: the column with the address of the original
    change_token = "row_version"    # optional: a column that changes whenever the row does
    database_env = "CRM_URL"        # optional: the variable with the database's URL; else the system of record
    timeout_seconds = 60            # of one statement

There is no free SQL: what is to be read is a view.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from typing import Annotated

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from pydantic import BeforeValidator, Field

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef
from derive.sources.contract import (
    SkippedSubject,
    Source,
    SourceSubject,
    SubjectEvidence,
    Unreadable,
)
from derive.sources.declaration import EntityType, SourceDeclaration, VariableName, as_list
from derive.sources.row_values import MAX_ADDRESS_CHARACTERS, check_entity, checked_text, quoted, shown_uri
from derive.sources.sql_database import ROWS_AT_ONCE, Row, SqlDatabase, system_of_record
from derive.sources.sql_statements import ViewColumns
from derive.strict_types import Frozen
from derive.table_names import ColumnName, TableName

_MOST_TEXTS = 20


class SqlKeys(Frozen):
    """The keys of a source of kind ``sql``."""

    entity_type: EntityType
    view: TableName
    entity: ColumnName
    text: Annotated[tuple[ColumnName, ...], BeforeValidator(as_list), Field(min_length=1, max_length=_MOST_TEXTS)]
    uri: ColumnName | None = None
    change_token: ColumnName | None = None
    database_env: VariableName | None = None
    timeout_seconds: int = Field(default=60, ge=1, le=3600, strict=True)


class SqlSource(Source):
    """The rows of a view."""

    kind = "sql"

    def __init__(self, name: str, keys: SqlKeys, database: SqlDatabase) -> None:
        self.name = name
        self._entity_type = keys.entity_type
        self._columns = ViewColumns(keys.view, keys.entity, keys.text, keys.uri, keys.change_token)
        self._own_address = f"sql:{quoted(keys.view)}"
        self._database = database

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``."""
        for row in self._distinct(self._database.stream(self._columns, with_texts=False)):
            yield row if isinstance(row, Unreadable) else self._subject(row)

    def read_all(self) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.read_all``; by one statement."""
        for row in self._distinct(self._database.stream(self._columns, with_texts=True)):
            yield row if isinstance(row, Unreadable) else self._read(row)

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.with_evidence``; asks for a hundred subjects at a time."""
        wanted: list[list[SourceSubject]] = []

        def chunks() -> Iterator[list[str]]:
            remaining = iter(subjects)
            while chunk := list(islice(remaining, ROWS_AT_ONCE)):
                wanted.append(chunk)
                yield [subject.entity_id for subject in chunk]

        for rows in self._database.lookup(self._columns, chunks()):
            by_entity: dict[str | None, list[Row]] = {}
            for row in rows:
                by_entity.setdefault(row[0], []).append(row)
            for subject in wanted.pop():
                yield self._of(subject, by_entity.get(subject.entity_id, []))

    def _of(self, subject: SourceSubject, rows: list[Row]) -> SubjectEvidence | Unreadable:
        if len(rows) == 1:
            return self._read(rows[0])
        reason = _twice(len(rows)) if rows else "it is no longer in the view"
        return Unreadable(subject.address, reason, subject)

    def _distinct(self, rows: Iterator[Row]) -> Iterator[Row | Unreadable]:
        """Yield the rows whose entity no other row has, and an ``Unreadable`` for each entity that several have.

        Rows come in the order of their entities, and a collation may hold entities as equal that differ in case.
        """
        for _, same in groupby(rows, key=_folded):
            group = iter(same)
            first, second = next(group), next(group, None)
            if second is None and first[0] is not None:
                yield first
            else:
                yield from self._alike(chain([first], [] if second is None else [second], group))

    def _alike(self, rows: Iterable[Row]) -> Iterator[Row | Unreadable]:
        first: dict[str | None, tuple[Row, int]] = {}
        for row in rows:
            found, count = first.get(row[0], (row, 0))
            first[row[0]] = (found, count + 1)
        for entity, (row, count) in first.items():
            if entity is None:
                yield Unreadable(self._address(None), f"{count:,} rows have no {self._columns.entity} (NULL)")
            else:
                yield row if count == 1 else Unreadable(self._address(entity), _twice(count))

    def _subject(self, row: Row) -> SourceSubject | Unreadable:
        entity, token, uri = row[:3]
        address = shown_uri(uri) or self._address(entity)
        try:
            return SourceSubject(self._entity_type, check_entity(entity, column=self._columns.entity), token, address)
        except SourceError as error:
            return Unreadable(address, str(error))

    def _read(self, row: Row) -> SubjectEvidence | Unreadable:
        subject = self._subject(row)
        if isinstance(subject, Unreadable):
            return subject
        try:
            items = tuple(
                EvidenceRef(evidence_id=column, source_uri=subject.address, text=text)
                for column, found in zip(self._columns.texts, row[3:], strict=True)
                if (text := checked_text(found, column=column)) is not None
            )
        except SourceError as error:
            return Unreadable(subject.address, str(error), subject)
        if not items:
            return Unreadable(subject.address, f"it has no text: {' and '.join(self._columns.texts)} is empty", subject)
        return SubjectEvidence(subject, items)

    def _address(self, entity: str | None) -> str:
        if entity is None:
            return self._own_address
        address = f"{self._own_address}/{quoted(entity, safe='')}"
        return address if len(address) <= MAX_ADDRESS_CHARACTERS else f"{address[: MAX_ADDRESS_CHARACTERS - 1]}…"


def _folded(row: Row) -> str | None:
    return None if row[0] is None else row[0].casefold().rstrip()


def _twice(count: int) -> str:
    return f"{count:,} rows have this entity, and none of them is read: let the view have one row for each"


def open_sql(declaration: SourceDeclaration) -> SqlSource:
    """Return the declared source; raises as ``OpenSource``."""
    keys = SqlKeys.model_validate(declaration.keys)
    seconds = declaration.seconds_of(keys.timeout_seconds)
    if keys.database_env is None:
        return SqlSource(declaration.name, keys, system_of_record(seconds))
    url = declaration.environment.get(keys.database_env, "").strip()
    if not url:
        raise ValueError("the variable that database_env names is not set: set it to the database's URL")
    entry = declaration.read_database_url(url)

    def connect() -> BaseDatabaseWrapper:
        return ConnectionHandler({DEFAULT_DB_ALIAS: entry}).create_connection(DEFAULT_DB_ALIAS)

    return SqlSource(declaration.name, keys, SqlDatabase(connect, timeout_seconds=seconds))
