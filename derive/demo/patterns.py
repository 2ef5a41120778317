"""Finds short texts that match the simple regular expressions of JSON schemas.

Literals, escapes, classes, groups, alternatives and quantifiers are supported; anything else (look-around,
backreferences, negated classes) is refused, just as a model server refuses what its grammar cannot express.
"""

import re

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_LITERAL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_QUANTIFIER = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_EXCLUDED_CANDIDATES = "aA0 -_.b"


class PatternRefused(ValueError):
    """The pattern is not supported."""


def shortest_match(pattern: str, *, min_length: int = 0) -> str:
    """Return a short text that matches the pattern, with ``min_length`` characters if its repeats allow that.

    Raises PatternRefused if the pattern is not supported, or no such text was found.
    """
    for repeats in (0, 1, min_length):
        reader = _Reader(pattern, repeats)
        text = reader.alternatives()
        if reader.at < len(pattern):
            raise PatternRefused(f"pattern not understood at {reader.at}: {pattern!r}")
        if len(text) < min_length and not pattern.endswith("$"):
            text = text.ljust(min_length, "a")
        if len(text) >= min_length and re.search(pattern, text):
            return text
    raise PatternRefused(f"found no text for the pattern {pattern!r}")


class _Reader:
    """Reads a pattern from left to right and returns a text that matches it."""

    def __init__(self, pattern: str, repeats: int) -> None:
        self.pattern = pattern
        self.at = 0
        self.repeats = repeats

    def alternatives(self) -> str:
        first = self.sequence()
        while self.peek() == "|":
            self.at += 1
            self.sequence()
        return first

    def sequence(self) -> str:
        parts: list[str] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom()))
        return "".join(parts)

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        taken = self.peek()
        self.at += 1
        return taken

    def atom(self) -> str:
        char = self.take()
        if char in "^$":
            return ""
        if char == ".":
            return "a"
        if char == "\\":
            return self.escape()
        if char == "[":
            return self.char_class()
        if char == "(":
            return self.group()
        if char in "*+?":
            raise PatternRefused(f"nothing to repeat in {self.pattern!r}")
        return char

    def escape(self) -> str:
        char = self.take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _LITERAL_ESCAPES:
            return _LITERAL_ESCAPES[char]
        if not char or char.isalnum():
            raise PatternRefused(f"escape not understood in {self.pattern!r}")
        return char

    def char_class(self) -> str:
        start = self.at
        self.at += self.peek() == "^"
        self.at += self.peek() == "]"
        while self.peek() != "]":
            if not self.peek():
                raise PatternRefused(f"a class is not closed in {self.pattern!r}")
            self.at += 2 if self.peek() == "\\" else 1
        body = self.pattern[start : self.at]
        self.at += 1
        try:
            found = re.compile(f"[{body}]")
        except re.error as error:
            raise PatternRefused(f"a class is not understood in {self.pattern!r}") from error
        candidates = _EXCLUDED_CANDIDATES if body.startswith("^") else body + _EXCLUDED_CANDIDATES
        for char in candidates:
            if found.match(char):
                return char
        raise PatternRefused(f"a class excludes everything tried in {self.pattern!r}")

    def group(self) -> str:
        if self.peek() == "?":
            if self.pattern[self.at : self.at + 2] != "?:":
                raise PatternRefused(f"group not understood in {self.pattern!r}")
            self.at += 2
        inner = self.alternatives()
        if self.take() != ")":
            raise PatternRefused(f"a group is not closed in {self.pattern!r}")
        return inner

    def repeated(self, text: str) -> str:
        char = self.peek()
        if char in {"*", "?"}:
            least, most = 0, 1 if char == "?" else None
        elif char == "+":
            least, most = 1, None
        elif match := _QUANTIFIER.match(self.pattern, self.at):
            least = int(match[1])
            most = least if match[2] is None else int(match[2]) if match[2] else None
            self.at = match.end() - 1
        else:
            return text
        self.at += 1
        if self.peek() == "?":
            self.at += 1
        wanted = max(least, self.repeats)
        return text * (wanted if most is None else min(wanted, most))
