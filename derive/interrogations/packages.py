"""Loads one interrogation from its package: ``prompt.md``, ``rubric.md``, and ``output.py`` or ``schema.json``.

``output.py`` declares ``VERSION = "1.0.0"`` and ``class Output(BaseModel)``; optionally ``class Input(BaseModel)``
(the envelope by default), ``BOUNDS = Bounds(…)``, ``ON_BAD_FACT = "ask_again"``, ``LONG_EVIDENCE = "cut"``,
``ON_FAILED_PART = "fail"`` and ``MANY = {"alias"}``. Instead of it there may be ``schema.json`` and, with the same in
small letters, ``interrogation.toml``. Every fault raises ConfigurationError that names the file.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import rfc8785
from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from derive.contracts import Bounds
from derive.errors import ConfigurationError
from derive.facts.rules import MANY
from derive.facts.terms import OnBadFact
from derive.interrogations.definition import Definition
from derive.interrogations.envelope import EntityInput
from derive.interrogations.fact_lint import lint_facts, list_of_facts
from derive.interrogations.lint import LintFinding, lint_order, lint_prompt, lint_schema
from derive.interrogations.loaded_interrogation import LoadedInterrogation, LongEvidence, OnFailedPart
from derive.interrogations.patterns import wire_pattern
from derive.interrogations.plain_folder import SCHEMA, SETTINGS, input_model_of, read_schema, read_settings

KEY = re.compile(r"[a-z][a-z0-9_]{0,199}\Z")
VERSION = re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}\Z")
CODE = "output.py"
FILES = frozenset({CODE, SCHEMA, SETTINGS, "prompt.md", "rubric.md"})
_MAX_VERSION_CHARACTERS = 40

Choice = TypeVar("Choice", bound=StrEnum)


class _NoBytecodeLoader(SourceFileLoader):
    """Does not write ``__pycache__`` into the user's folder, where a stale file could also hide a change."""

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        """Discard the bytecode."""


def load_from_module(name: str) -> LoadedInterrogation:
    """Load the package with this dotted name; the name's last part is the interrogation's key."""
    folder = files(_import(name, where=name))
    return _build(name.rpartition(".")[2], folder, _declared_in_code(_import(f"{name}.output", where=name), folder))


def load_from_folder(folder: Path) -> LoadedInterrogation:
    """Load a folder that is not part of an installed package; its name is the interrogation's key.

    With ``@VERSION`` behind the key, several versions are installed side by side.
    """
    key, at, version = folder.name.partition("@")
    loaded = _load_folder(key, folder)
    if at and loaded.version != version:
        raise ConfigurationError(f"{folder}: its version is {loaded.version}: call it {key}@{loaded.version}")
    return loaded


def _load_folder(key: str, folder: Path) -> LoadedInterrogation:
    output_file = folder / CODE
    if (folder / SCHEMA).is_file():
        if output_file.is_file():
            raise ConfigurationError(f"{folder} holds both {CODE} and {SCHEMA}: keep one of them")
        return _build(key, folder, _declared_in_files(folder))
    if not output_file.is_file():
        raise ConfigurationError(
            f"interrogation {folder.name!r}: {output_file} is missing, and so is {SCHEMA}, which may stand in its place"
        )
    path_hash = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    module_name = f"holocron_interrogation_{path_hash}"
    loader = _NoBytecodeLoader(module_name, str(output_file))
    spec = importlib.util.spec_from_loader(module_name, loader)
    if spec is None:
        raise ConfigurationError(f"interrogation {folder.name!r}: {output_file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # Pydantic resolves the annotations of a module's classes through sys.modules.
    sys.modules[module_name] = module
    try:
        loader.exec_module(module)
    except Exception as error:  # runs the user's code, which may raise anything
        del sys.modules[module_name]
        raise _broken(str(output_file), error) from error
    return _build(key, folder, _declared_in_code(module, folder))


def _import(name: str, *, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # runs the user's code, which may raise anything
        raise _broken(where, error) from error


def _broken(where: str, error: Exception) -> ConfigurationError:
    line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
    return ConfigurationError(f"{where} cannot be loaded: {type(error).__name__}: {error}{line}")


@dataclass(frozen=True)
class _Declared:
    """What an interrogation declares: its ``values`` by the names of ``output.py``, wherever they stand in ``file``."""

    file: Traversable
    values: Mapping[str, Any]
    schema: Any
    output_model: type[BaseModel] | None
    input_model: type[BaseModel]
    input_names: Collection[str]


def _declared_in_code(module: ModuleType, folder: Traversable) -> _Declared:
    file = folder / CODE
    output_model = _model(module, "Output", file)
    input_model = _model(module, "Input", file) if hasattr(module, "Input") else EntityInput
    schema = _schema(output_model, file)
    return _Declared(file, vars(module), schema, output_model, input_model, input_model.model_fields)


def _declared_in_files(folder: Traversable) -> _Declared:
    settings = read_settings(folder)
    schema = _for_the_wire(read_schema(folder))
    own = settings.input
    input_model = EntityInput if own is None else input_model_of(own, folder)
    names = EntityInput.model_fields if own is None else own["properties"]
    return _Declared(folder / SETTINGS, settings.declarations(), schema, None, input_model, names)


def _build(key: str, folder: Traversable, declared: _Declared) -> LoadedInterrogation:
    where = str(folder)
    if not KEY.match(key):
        raise ConfigurationError(f"{where}: {key!r} is no key: small letters, digits and _, a letter first")
    prompt = _read(folder, "prompt.md")
    bounds = declared.values.get("BOUNDS", Bounds())
    if not isinstance(bounds, Bounds):
        raise ConfigurationError(f"{declared.file}: BOUNDS is no derive.contracts.Bounds")
    schema = declared.schema
    many = _many(declared)
    if many:
        # Kept in the schema because a run stores its definition's schema, not its code.
        schema[MANY] = many
    prompt_findings = lint_prompt(prompt, input_names=declared.input_names)
    long_evidence = _one_of(LongEvidence, "LONG_EVIDENCE", LongEvidence.CUT, declared)
    if long_evidence is LongEvidence.SPLIT:
        _refuse_split_of_no_list(schema, declared.file)
    findings = (*lint_schema(schema), *lint_facts(schema), *prompt_findings)
    _refuse_errors(findings, where)
    definition = Definition(
        interrogation_key=key,
        version=_version(declared),
        prompt_template=prompt,
        output_schema_json=_canonical(schema, declared.file),
        rubric=_read(folder, "rubric.md"),
    )
    _ = definition.answer_schema, definition.definition_sha256  # raises now if they are invalid, not when a job runs
    return LoadedInterrogation(
        definition=definition,
        input_model=declared.input_model,
        output_model=declared.output_model,
        bounds=bounds,
        on_bad_fact=_one_of(OnBadFact, "ON_BAD_FACT", OnBadFact.ASK_AGAIN, declared),
        long_evidence=long_evidence,
        on_failed_part=_one_of(OnFailedPart, "ON_FAILED_PART", OnFailedPart.FAIL, declared),
        warnings=(*findings, *lint_order(*definition.constant_tokens)),
        where=where,
    )


def _read(folder: Traversable, name: str) -> str:
    file = folder / name
    try:
        # Reading as text normalises line endings, so the hash does not depend on how a checkout writes them.
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{file} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    if not text.strip() or "\x00" in text:
        raise ConfigurationError(f"{file} is empty, or holds U+0000")
    return text


def _version(declared: _Declared) -> str:
    version = declared.values.get("VERSION")
    if not isinstance(version, str) or not VERSION.match(version) or len(version) > _MAX_VERSION_CHARACTERS:
        raise ConfigurationError(f'{declared.file}: VERSION must be a text like "1.0.0", not {version!r}')
    return version


def _model(module: ModuleType, name: str, file: Traversable) -> type[BaseModel]:
    model = getattr(module, name, None)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise ConfigurationError(f"{file}: there must be a class {name}(pydantic.BaseModel)")
    return model


def _one_of(values: type[Choice], name: str, default: Choice, declared: _Declared) -> Choice:
    """Return a declared value, one of an enumeration's."""
    given = str(declared.values.get(name, default))
    if given not in list(values):
        one_of = ", ".join(values)
        raise ConfigurationError(f"{declared.file}: {name} must be one of {one_of}, not {given!r}")
    return values(given)


def _refuse_split_of_no_list(schema: Any, file: Traversable) -> None:
    """Refuse ``LONG_EVIDENCE = "split"`` unless the answer is one list of cited facts: other parts cannot be joined."""
    if list_of_facts(schema) is None:
        raise ConfigurationError(
            f"{file}: LONG_EVIDENCE 'split' needs an Output whose only member is a list of objects "
            "with evidence_ids and quote: answers of another form cannot be joined"
        )


def _many(declared: _Declared) -> list[str]:
    """Return the fact keys that may have several values, in alphabetical order."""
    given: object = declared.values.get("MANY", ())
    if not isinstance(given, set | frozenset | list | tuple) or not all(isinstance(key, str) and key for key in given):
        raise ConfigurationError(f"{declared.file}: MANY must be a set of fact keys, not {given!r}")
    return sorted(set(given))


def _schema(output_model: type[BaseModel], file: Traversable) -> Any:
    try:
        return _for_the_wire(output_model.model_json_schema())
    except PydanticUserError as error:
        raise ConfigurationError(f"{file}: Output has no JSON schema: {error.message}") from error


def _for_the_wire(node: Any, *, names: bool = False) -> Any:
    r"""Drop the titles Pydantic adds, which would cost tokens in each prompt, and rewrite patterns for the server.

    A property named ``title`` or ``pattern`` is kept. ``\d`` becomes ``[0-9]``.
    """
    if isinstance(node, list):
        return [_for_the_wire(member) for member in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for name, member in node.items():
        if names or not isinstance(member, str):
            kept[name] = _for_the_wire(member, names=not names and name in {"properties", "$defs"})
        elif name != "title":
            kept[name] = wire_pattern(member) if name == "pattern" else member
    return kept


def _canonical(schema: Any, file: Traversable) -> str:
    """Return the schema as canonical JSON, with its members sorted.

    One of Ollama's code paths sorts them anyway. Sorting here makes the hash cover exactly what is sent, and the model
    write in the same order on every path.
    """
    try:
        return rfc8785.dumps(schema).decode()
    except rfc8785.CanonicalizationError as error:
        raise ConfigurationError(f"{file}: Output: {error}") from error


def _refuse_errors(findings: tuple[LintFinding, ...], where: str) -> None:
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise ConfigurationError(f"{where}: " + "; ".join(str(finding) for finding in errors))
