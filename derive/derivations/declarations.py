"""What is declared: the ``[[derivation]]`` tables of the file that ``HOLOCRON_SOURCES`` names, and the admin's rows.

For example::

    [[derivation]]
    key = "contract-terms"              # its name in commands and pages
    source = "contracts"                # a [[source]] of the same file
    interrogation = "contract_terms_v1"
    schedule = "0 * * * *"              # optional; cron, UTC
    depth_limit = 1000                  # optional; and the other members of ``Declaration``
    [derivation.target]                 # optional; see ``target_contracts``

The file's word stands: a derivation that it declares cannot be changed in the admin.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import TypeAdapter, ValidationError

from derive.derivation_contracts import Declaration, DerivationKey
from derive.errors import ConfigurationError
from derive.evidence.references import problems_in_words
from derive.models import Derivation
from derive.queue import JobQueue
from derive.sources.registry import tables_in
from derive.sql.reading import reading

_KEY: TypeAdapter[str] = TypeAdapter(DerivationKey)


@dataclass(frozen=True, slots=True)
class Declared:
    """One derivation: ``row`` is None until it was first applied; ``broken`` says why it cannot be used, if so."""

    key: str
    declaration: Declaration | None
    declared_in: str
    row: Derivation | None
    broken: str | None = None

    def usable(self) -> Declaration:
        """Return the declaration; raise ConfigurationError if it is broken."""
        if self.declaration is None:
            raise ConfigurationError(self.broken or f"{self.key} is not declared")
        return self.declaration


def all_declared() -> list[Declared]:
    """Return every derivation, by key; one that is broken stops no other. Raises ConfigurationError, QueueError."""
    every: list[Derivation] = reading(partial(list, Derivation.objects.all()))
    rows = {row.derivation_key: row for row in every}
    found = {one.key: one for one in _declared_in_file(settings.SOURCES_FILE, rows)}
    for key, row in rows.items():
        if key not in found:
            found[key] = _of_row(row)
    return sorted(found.values(), key=lambda one: one.key)


def find_declared(key: str) -> Declared:
    """Return the derivation of this key; raise ConfigurationError if there is none."""
    every = {one.key: one for one in all_declared()}
    if key in every:
        return every[key]
    near = get_close_matches(key, every, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigurationError(
        f"there is no derivation {key[:60]!r}{hint} (known: {', '.join(list(every)[:20]) or 'none'})"
    )


def check_declaration(values: dict[str, Any]) -> Declaration:
    """Return the declaration of these members; raise ConfigurationError with each member and reason."""
    try:
        return Declaration.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(problems_in_words(error)) from None


def record(declared: Declared, queue: JobQueue, *, actor: str) -> Derivation:
    """Bring the row of a derivation to what is declared, and return it. Raises ConfigurationError, QueueError."""
    declaration = declared.usable()
    queue.declare_derivation(declared.key, declaration, declared_in=declared.declared_in, actor=actor)
    return reading(partial(Derivation.objects.get, derivation_key=declared.key))


def _declared_in_file(file: Path | None, rows: dict[str, Derivation]) -> Iterator[Declared]:
    if file is None:
        return
    seen: set[str] = set()
    for place, table in enumerate(tables_in(file, "derivation"), start=1):
        values = dict(table)
        name, why, declaration = f"derivation {place}", None, None
        try:
            name = _KEY.validate_python(values.pop("key", None))
            if name in seen:
                raise ConfigurationError("two derivations have this key: give each a key of its own")
            declaration = check_declaration(values)
        except ValidationError:
            why = "key: write at most 60 letters, digits, dots, underscores and hyphens"
        except ConfigurationError as error:
            why = str(error)
        if why is not None:
            why = f"HOLOCRON_SOURCES: {file}: derivation '{name}': {why}"
            declaration = None
        seen.add(name)
        yield Declared(name, declaration, "file", rows.get(name), why)


def _of_row(row: Derivation) -> Declared:
    if row.declared_in == "file":
        return Declared(row.derivation_key, None, "file", row, f"the file of sources no longer declares {row}")
    # Targets are declared in the file alone.
    elsewhere = {"source", "interrogation", "target"}
    values = {
        "source": row.source_name,
        "interrogation": row.interrogation_key,
        **{name: getattr(row, name) for name in Declaration.model_fields if name not in elsewhere},
    }
    try:
        return Declared(row.derivation_key, check_declaration(values), "admin", row)
    except ConfigurationError as error:
        return Declared(row.derivation_key, None, "admin", row, f"{row}: {error}")
