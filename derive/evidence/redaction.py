r"""Redacts what no model, lake or page should see: addresses, keys, tokens and telephone numbers.

Extend or replace the default patterns by passing your own:
``Redactor((*DEFAULT_PATTERNS, Pattern("badge", r"TK-\d{3}")))``. The defaults are in ``redaction_patterns``.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from derive.errors import ConfigurationError
from derive.evidence.redaction_patterns import DEFAULT_PATTERNS, Pattern

__all__ = ["DEFAULT_PATTERNS", "Pattern", "Redacted", "Redactor"]

_MAX_PASSES = 4
"""A replacement can create a new match, so passes repeat until nothing changes. The second is usually the last."""


@dataclass(frozen=True)
class Redacted:
    """A redacted text with the number of replacements per pattern; never the replaced text."""

    text: str
    counts: Mapping[str, int]


class Redactor:
    """Replaces every match of its patterns, in the order given.

    Redacting a second time changes nothing. Raises ConfigurationError for a pattern that does not compile, matches
    the empty string, or has the same name as another.
    """

    def __init__(self, patterns: tuple[Pattern, ...] = DEFAULT_PATTERNS) -> None:
        self._compiled = tuple((pattern, _compile(pattern)) for pattern in patterns)
        names = Counter(pattern.name for pattern in patterns)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ConfigurationError(f"two redaction patterns are called {twice[0]!r}")

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Its patterns in order: two redactors with equal ones redact alike."""
        return tuple(pattern for pattern, _regex in self._compiled)

    def redact(self, text: str) -> Redacted:
        """Return the text with every match replaced, in time linear in its length."""
        counts: Counter[str] = Counter()
        for _ in range(_MAX_PASSES):
            before, lowered = text, text.lower()
            for pattern, regex in self._compiled:
                if pattern.needs and not any(word in lowered for word in pattern.needs):
                    continue
                text, count = regex.subn(pattern.written_instead, text)
                if count:
                    counts[pattern.name] += count
            if text == before:
                break
        return Redacted(text=text, counts=MappingProxyType(dict(counts)))


def _compile(pattern: Pattern) -> re.Pattern[str]:
    try:
        regex = re.compile(pattern.regex)
        regex.sub(pattern.written_instead, "")  # fails now if it refers to a group that does not exist
    except (re.error, IndexError) as error:
        raise ConfigurationError(f"redaction pattern {pattern.name!r}: {error}") from error
    if regex.match(""):
        raise ConfigurationError(f"redaction pattern {pattern.name!r} matches the empty text")
    return regex
