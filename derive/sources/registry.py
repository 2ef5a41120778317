"""The file of sources, in TOML, which ``HOLOCRON_SOURCES`` names.

For example::

    [[source]]
    name = "contracts"                  # its name in commands, pages and derivations
    kind = "files"                      # or another kind; each has keys of its own
    entity_type = "contract"
    folder = "contracts"                # relative to this file
    globs = ["**/*.md"]

A package adds a kind by an entry point of the group ``holocron.sources``: its name is the kind, and it names a function
``(declaration: SourceDeclaration) -> Source`` that raises ValueError or pydantic's ValidationError for wrong keys.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, ValidationError

from derive.errors import ConfigurationError, HolocronError
from derive.evidence.references import problems_in_words
from derive.sources.contract import Source
from derive.sources.declaration import OpenSource, ReadDatabaseUrl, SourceDeclaration
from derive.sources.files import open_files
from derive.sources.job_answers import DEFAULT_TIMEOUT_SECONDS, open_jobs
from derive.sources.ruled_source import RuledSource
from derive.sources.rules import MAX_RULES, SourceRule
from derive.sources.sql_database import system_of_record
from derive.sources.sql_source import open_sql
from derive.strict_types import Frozen

ENTRY_POINT_GROUP = "holocron.sources"
_SETTING = "HOLOCRON_SOURCES"
_MOST_SOURCES = 1000


_BUILT_IN: Mapping[str, OpenSource] = MappingProxyType({"files": open_files, "jobs": open_jobs, "sql": open_sql})


class SourceRegistry:
    """The declared sources by name. ``broken`` maps the name of each that cannot be used to the reason."""

    def __init__(self, sources: Iterable[Source], *, broken: Mapping[str, str] | None = None) -> None:
        self._by_name: Mapping[str, Source] = MappingProxyType({one.name: one for one in sources})
        self.broken: Mapping[str, str] = MappingProxyType(dict(broken or {}))

    @classmethod
    def load(
        cls,
        file: Path | None,
        *,
        environment: Mapping[str, str],
        lake_url: str,
        read_database_url: ReadDatabaseUrl,
        most_seconds: int | None = None,
        known_interrogations: Callable[[], Collection[str]] | None = None,
    ) -> Self:
        """Load the sources that a file declares; none without a file. One that is broken stops no other.

        With ``known_interrogations`` a rule may route to those alone. Raises ConfigurationError, with one line that
        contains no secret, if the file as a whole cannot be read.
        """
        if file is None:
            return cls(())
        here = f"{_SETTING}: {file}"
        tables = tables_in(file, "source")
        sources: list[Source] = []
        broken: dict[str, str] = {}
        check_routes = _route_check(file, known_interrogations)
        names = Counter(table.get("name") for table in tables if isinstance(table.get("name"), str))
        for place, table in enumerate(tables, start=1):
            name = table.get("name")
            known_name = name if isinstance(name, str) and _is_name(name) else f"source {place}"
            try:
                if known_name != name:
                    raise ValueError("name: write at most 60 letters, digits, dots, underscores and hyphens")
                if names[name] > 1:
                    raise ValueError("two sources have this name: give each a name of its own")
                given = SourceDeclaration(
                    known_name, "", table, file.parent, environment, lake_url, read_database_url, most_seconds
                )
                sources.append(_open(given, check_routes))
            except ValidationError as error:
                broken[known_name] = f"{here}: source '{known_name}': {_in_words(error)}"
            except (ValueError, HolocronError) as error:
                broken[known_name] = f"{here}: source '{known_name}': {error}"
            except Exception as error:  # noqa: BLE001 (a package's own kind: its fault is told as that source's)
                broken[known_name] = f"{here}: source '{known_name}': its package failed ({type(error).__name__})"
        return cls(sources, broken=broken)

    def all(self) -> tuple[Source, ...]:
        """Return every source that can be used, in the file's order."""
        return tuple(self._by_name.values())

    def get(self, name: str) -> Source:
        """Return the source of this name; raise ConfigurationError if it is unknown or broken."""
        if name in self.broken:
            raise ConfigurationError(self.broken[name])
        found = self._by_name.get(name)
        if found is None:
            near = get_close_matches(name, self._by_name, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            known = ", ".join(list(self._by_name)[:20])
            raise ConfigurationError(f"{_SETTING} declares no source {name[:60]!r}{hint} (known: {known or 'none'})")
        return found


def load_sources(*, most_seconds: int | None = None) -> SourceRegistry:
    """Return the sources of this process's settings; raises as ``SourceRegistry.load``.

    With ``most_seconds`` no statement takes longer, whatever the file says.
    """
    import os

    from django.conf import settings

    def known_interrogations() -> Collection[str]:
        from derive.interrogations.registry import Registry

        return {one.key for one in Registry.load(settings.INTERROGATIONS_FOLDER).all()}

    return SourceRegistry.load(
        settings.SOURCES_FILE,
        environment=os.environ,
        lake_url=settings.LAKE_URL,
        read_database_url=settings.READ_DATABASE_URL,
        most_seconds=most_seconds,
        known_interrogations=known_interrogations,
    )


def tables_in(file: Path, kind: Literal["source", "derivation"]) -> list[dict[str, Any]]:
    """Return the ``[[source]]`` or ``[[derivation]]`` tables of a file of sources; raise ConfigurationError."""
    here = f"{_SETTING}: {file}"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{here} cannot be read ({error.strerror}): name a file that can") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{here} is not UTF-8: save it so") from None
    except tomllib.TOMLDecodeError as error:
        # Its message quotes at most one character of the file.
        raise ConfigurationError(f"{here} is not TOML: {error}") from None
    unknown = [key for key in content if key not in {"source", "derivation"}]
    if unknown:
        shown = "".join(one for one in unknown[0][:60] if one.isprintable())
        raise ConfigurationError(f"{here}: {shown} is not known: write [[source]] and [[derivation]] tables")
    tables = content.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError(f"{here}: write each {kind} as a [[{kind}]] table")
    if len(tables) > _MOST_SOURCES:
        raise ConfigurationError(f"{here}: {len(tables)} {kind}s; at most {_MOST_SOURCES}")
    return tables


def _in_words(error: ValidationError) -> str:
    words = problems_in_words(error).removeprefix("the whole: ")
    words = words.replace("Extra inputs are not permitted", "is not a key of this kind")
    return words.replace("Field required", "is missing: write it")


def _route_check(
    file: Path, known_interrogations: Callable[[], Collection[str]] | None
) -> Callable[[Iterable[SourceRule]], None]:
    """Return what raises ValueError, with the line where it stands, for a rule that routes to nowhere."""

    def check(rules: Iterable[SourceRule]) -> None:
        routed = [rule for rule in rules if rule.route is not None]
        if not routed or known_interrogations is None:
            return
        known = known_interrogations()
        for rule in routed:
            if rule.route not in known:
                near = get_close_matches(str(rule.route), known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                where = _line_of_route(file, str(rule.route))
                raise ValueError(f"{where}rule '{rule.name}' routes to '{rule.route}', which no interrogation is{hint}")

    return check


def _line_of_route(file: Path, route: str) -> str:
    """Return the line of the first rule that routes there, to be written before what is wrong with it."""
    written = re.compile(rf"""^[^#]*\broute\s*=\s*["']{re.escape(route)}["']""")
    lines = file.read_text(encoding="utf-8").splitlines()
    places = [place for place, line in enumerate(lines, start=1) if written.search(line)]
    return f"line {places[0]}: " if places else ""


def _open(given: SourceDeclaration, check_routes: Callable[[Iterable[SourceRule]], None]) -> Source:
    kind, open_source = _find_kind(given.keys.get("kind"))
    keys = {key: value for key, value in given.keys.items() if key not in {"name", "kind", "rule"}}
    rules = _RulesOfSource.model_validate({"rule": given.keys.get("rule", ())}).rule
    check_routes(rules)
    source = open_source(replace(given, kind=kind, keys=keys))
    return RuledSource(source, rules, system_of_record(DEFAULT_TIMEOUT_SECONDS)) if rules else source


class _RulesOfSource(Frozen):
    rule: Annotated[tuple[SourceRule, ...], Field(max_length=MAX_RULES)] = ()


def _find_kind(kind: Any) -> tuple[str, OpenSource]:
    if isinstance(kind, str) and kind in _BUILT_IN:
        return kind, _BUILT_IN[kind]
    installed = {one.name: one for one in entry_points(group=ENTRY_POINT_GROUP)}
    if not isinstance(kind, str) or kind not in installed:
        raise ValueError(f"kind: write {' or '.join(sorted({*_BUILT_IN, *installed}))}")
    try:
        return kind, cast(OpenSource, installed[kind].load())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the package of kind '{kind}' cannot be loaded: {error}") from error


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", name) is not None
