"""The registry of the interrogations this process knows, which also checks a job's input against them."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pydantic import BaseModel, ValidationError

from derive.contracts import JobInput
from derive.errors import ConfigurationError, InvalidInput, UnknownInterrogation
from derive.evidence.references import parse_evidence_refs, problems_in_words
from derive.interrogations.loaded_interrogation import LoadedInterrogation
from derive.interrogations.packages import load_from_folder, load_from_module

__all__ = ["ENTRY_POINT_GROUP", "LoadedInterrogation", "Registry"]

ENTRY_POINT_GROUP = "holocron.interrogations"
_BUILT_IN = ("derive.interrogations.sw_entity_facts_v1",)
_MAX_KEYS_SHOWN = 20


class Registry:
    """Interrogations by key. A job gets the live version of its key: the promoted one, or else the highest.

    ``promoted`` maps keys to the hash of the promoted definition. ``broken`` maps the key of each that cannot be used
    to the reason, which names the file; ``lacking`` those whose promoted version is not installed here. Raises
    ConfigurationError if two have the same key and version.
    """

    def __init__(
        self,
        interrogations: Iterable[LoadedInterrogation],
        *,
        broken: Mapping[str, str] | None = None,
        promoted: Mapping[str, str] | None = None,
    ) -> None:
        self.broken: Mapping[str, str] = MappingProxyType(dict(broken or {}))
        self._all = tuple(sorted(interrogations, key=_order))
        for one, next_one in zip(self._all, self._all[1:], strict=False):
            if _order(one) == _order(next_one):
                raise _twice(one, next_one)
        # Sorted by version, so the last one of a key wins.
        by_key = {one.key: one for one in self._all}
        lacking = {}
        for key, sha256 in (promoted or {}).items():
            live = self.with_definition(sha256)
            if live is not None:
                by_key[key] = live
            elif key in by_key:
                versions = ", ".join(one.version for one in self._all if one.key == key)
                lacking[key] = f"its live version is not installed here (installed: {versions})"
        self._by_key: Mapping[str, LoadedInterrogation] = MappingProxyType(by_key)
        self.lacking: Mapping[str, str] = MappingProxyType(lacking)

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """Load the built-in interrogations, those of installed packages, and those in a folder.

        An entry point of the group ``holocron.interrogations`` names a package that contains the three files; each
        subfolder of ``folder`` is one interrogation. One that is broken stops no other. Raises ConfigurationError
        if ``folder`` itself cannot be read.
        """
        loading: list[tuple[str, Callable[[], LoadedInterrogation]]] = [
            (entry_point.name, partial(_load_entry_point, entry_point))
            for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP))
        ]
        if folder is not None:
            loading += [(one.name, partial(load_from_folder, one)) for one in _folders_in(folder)]
        found = {_order(one): one for one in _built_in()}
        broken: dict[str, str] = {}
        for key, load in loading:
            try:
                loaded = load()
                if _order(loaded) in found:
                    raise _twice(found[_order(loaded)], loaded)
                found[_order(loaded)] = loaded
            except ConfigurationError as error:
                broken[key] = str(error)
        return cls(found.values(), broken=broken)

    def with_promoted(self, promoted: Mapping[str, str]) -> "Registry":
        """Return a registry of the same interrogations with these promoted definitions, by key."""
        return Registry(self._all, broken=self.broken, promoted=promoted)

    def live(self) -> tuple[LoadedInterrogation, ...]:
        """Return the live version of each key that has it here."""
        return tuple(one for key, one in self._by_key.items() if key not in self.lacking)

    def all(self) -> tuple[LoadedInterrogation, ...]:
        """Return all versions of every interrogation, ordered by key and version."""
        return self._all

    def get(self, key: str) -> LoadedInterrogation:
        """Return the live version of an interrogation.

        Raises UnknownInterrogation, which lists the known keys, and ConfigurationError for a broken one, or one whose
        live version is not installed here.
        """
        if key in self.broken:
            raise ConfigurationError(f"the interrogation {key!r} is broken: {self.broken[key]}")
        if key in self.lacking:
            raise ConfigurationError(f"the interrogation {key!r} cannot be used: {self.lacking[key]}")
        found = self._by_key.get(key)
        if found is not None:
            return found
        near = get_close_matches(key, self._by_key, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        keys = list(self._by_key)
        known = ", ".join(keys[:_MAX_KEYS_SHOWN]) + (", …" if len(keys) > _MAX_KEYS_SHOWN else "")
        raise UnknownInterrogation(f"there is no interrogation {key[:200]!r}{hint} (known: {known or 'none'})")

    def with_definition(self, definition_sha256: str) -> LoadedInterrogation | None:
        """Return the interrogation with this definition, or None if its code has since changed."""
        return next((one for one in self._all if one.definition.definition_sha256 == definition_sha256), None)

    def check(self, job: JobInput, interrogation: LoadedInterrogation | None = None) -> BaseModel:
        """Return a job's input as its interrogation's model; raise InvalidInput with each field and reason.

        Without ``interrogation`` it is the live version of the job's key; raises what ``get`` raises too. Evidence
        is not read, since it may only exist by the time the job runs.
        """
        interrogation = interrogation or self.get(job.interrogation_key)
        parse_evidence_refs(job.evidence_ref_json)
        try:
            return interrogation.input_model.model_validate_json(job.input_json)
        except ValidationError as error:
            raise InvalidInput(f"input of {interrogation.key}: {problems_in_words(error)}") from None


def _twice(one: LoadedInterrogation, other: LoadedInterrogation) -> ConfigurationError:
    both = f"{one.where} and {other.where}"
    return ConfigurationError(
        f"two interrogations are {one.definition}: {both}: raise the version of one, or rename it"
    )


def _order(interrogation: LoadedInterrogation) -> tuple[str, tuple[int, ...]]:
    return interrogation.key, tuple(int(part) for part in interrogation.version.split("."))


@cache
def _built_in() -> tuple[LoadedInterrogation, ...]:
    """Load the built-in interrogations once per process: they do not change, and pages and tasks ask often."""
    return tuple(load_from_module(name) for name in _BUILT_IN)


def _load_entry_point(entry_point: EntryPoint) -> LoadedInterrogation:
    if entry_point.attr:
        raise ConfigurationError(
            f"entry point {entry_point.name!r} of {ENTRY_POINT_GROUP}: {entry_point.value!r} must name a package"
        )
    interrogation = load_from_module(entry_point.module)
    if interrogation.key != entry_point.name:
        raise ConfigurationError(
            f"entry point {entry_point.name!r} of {ENTRY_POINT_GROUP} must be called as its package, "
            f"{interrogation.key!r}"
        )
    return interrogation


def _folders_in(folder: Path) -> list[Path]:
    try:
        members = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"the folder of interrogations {folder} cannot be read: {error.strerror}") from error
    return [member for member in members if member.is_dir() and not member.name.startswith((".", "_"))]
