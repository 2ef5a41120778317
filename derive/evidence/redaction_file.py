"""A file of custom redaction patterns, in TOML.

For example::

    leave_out = ["phone"]           # default patterns to disable

    [[pattern]]                     # adds a pattern, or replaces the default one with the same name
    name = "badge"
    regex = 'TK-[0-9]{3}'           # Python re syntax; single quotes keep backslashes as they are
    replacement = "[badge]"         # optional; defaults to [redacted:badge]
"""

import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from derive.errors import ConfigurationError
from derive.evidence.redaction import Redactor
from derive.evidence.redaction_patterns import DEFAULT_PATTERNS, Pattern
from derive.evidence.references import problems_in_words
from derive.strict_types import Frozen


class _OwnPattern(Frozen):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    regex: str = Field(min_length=1, max_length=2_000)
    replacement: str | None = Field(default=None, max_length=200)


class _RedactionFile(Frozen):
    leave_out: tuple[str, ...] = ()
    pattern: tuple[_OwnPattern, ...] = ()


def read_redactor(file: Path | None) -> Redactor:
    """Return a redactor with the default patterns, as changed by the file if there is one.

    Raises ConfigurationError that names the file and the fault. A custom pattern is not checked for its run time on
    hostile evidence: nested repeats can take forever.
    """
    if file is None:
        return Redactor()
    try:
        found = _RedactionFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"the redaction patterns {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigurationError(f"the redaction patterns {file}: {problems_in_words(error)}") from None
    except ValueError as error:
        raise ConfigurationError(f"the redaction patterns {file} are not TOML: {error}") from error
    unknown = set(found.leave_out) - {pattern.name for pattern in DEFAULT_PATTERNS}
    if unknown:
        names = ", ".join(pattern.name for pattern in DEFAULT_PATTERNS)
        raise ConfigurationError(f"{file}: leave_out names {', '.join(sorted(unknown))}; the default ones: {names}")
    own = tuple(Pattern(one.name, one.regex, one.replacement) for one in found.pattern)
    replaced = set(found.leave_out) | {pattern.name for pattern in own}
    try:
        return Redactor((*(pattern for pattern in DEFAULT_PATTERNS if pattern.name not in replaced), *own))
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
