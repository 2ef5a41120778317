"""Locates the quotes of an answer in the evidence they cite.

A cited fact is any object in the answer that has both ``evidence_ids`` and ``quote``. Each id must exist, and the
quote must occur in at least one of the cited items once white space is normalised. If it does not, it is compared
again with typography folded on both sides (``derive.evidence.folding``). A quote needs two letters or digits, unless
the item itself has fewer.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from derive.evidence.contracts import EvidenceBundle
from derive.evidence.folding import Folded, count_word_characters, fold
from derive.interrogations.report import Detail, excerpt_of, path_of

MIN_WORD_CHARACTERS = 2
"""Minimum for a quote: a single letter occurs in nearly any text, so it proves nothing."""
MAX_LOOKED_FOR_ELSEWHERE = 20
"""Quotes not found in the items they cite that are searched for in all other items, which is expensive."""
_MAX_IDS_SHOWN = 10
_MAX_ID_CHARACTERS = 60
_GAP = re.compile(r"\s\s+|\A\s")
"""White space that takes more characters than when normalised: several in a row, or any at the beginning."""

Path = tuple[int | str, ...]


class QuotePlace(NamedTuple):
    """Where a quote was found: the first cited item that contains it, and the first of its ``occurrences`` there.

    ``start`` and ``end`` (exclusive) count code points of the item's text. ``is_folded`` means the quote was found
    only with typography folded.
    """

    evidence_id: str
    start: int
    end: int
    occurrences: int
    is_folded: bool = False


def is_cited_fact(value: dict[str, Any]) -> bool:
    """Whether an object of an answer cites evidence."""
    return "evidence_ids" in value and "quote" in value


def cited_facts(answer: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every cited fact with its path, in the answer's order, without recursion."""
    waiting: list[tuple[Path, Any]] = [((), answer)] if isinstance(answer, dict | list) else []
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if is_cited_fact(value):
                yield path, value
            members: Iterable[tuple[int | str, Any]] = reversed(value.items())
        else:
            members = zip(reversed(range(len(value))), reversed(value), strict=True)
        waiting.extend([((*path, name), member) for name, member in members if isinstance(member, dict | list)])


class Grounds:
    """The evidence of one answer, which is searched for its quotes."""

    def __init__(self, bundle: EvidenceBundle) -> None:
        self._texts = {item.evidence_id: _Text(item.text) for item in bundle.items}
        self._looks_left = MAX_LOOKED_FOR_ELSEWHERE

    def place_of(self, fact: dict[str, Any], path: Path) -> QuotePlace | Detail:
        """Return where a cited fact's quote occurs, or what is wrong with it."""
        ids, texts = fact["evidence_ids"], self._texts
        if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
            return Detail(path=path_of((*path, "evidence_ids")), problem="must name the evidence the quote stands in")
        unknown = [name for name in ids if name not in texts]
        if unknown:
            problem = f"names evidence that does not exist; there is: {_some_ids(texts)}"
            return Detail(path=path_of((*path, "evidence_ids")), problem=problem, excerpt=excerpt_of(unknown[0]))
        return self._place_of_quote(fact["quote"], ids, path)

    def text_of(self, evidence_id: str) -> str:
        """Return the text of an item, which must exist."""
        return self._texts[evidence_id].text

    def _place_of_quote(self, written: Any, ids: list[str], path: Path) -> QuotePlace | Detail:
        quote = _Quote(written) if isinstance(written, str) else None
        if quote is None or quote.is_empty:
            return Detail(path=path_of((*path, "quote")), problem="is empty: it must be copied from the evidence")
        provable = {name: self._texts[name] for name in ids if self._texts[name].is_proven_by(quote)}
        if not provable:
            problem = f"has fewer than {MIN_WORD_CHARACTERS} letters or digits, which proves nothing: quote whole words"
            return Detail(path=path_of((*path, "quote")), problem=problem, excerpt=excerpt_of(written))
        for name, text in provable.items():
            found = text.place_of(quote)
            if found is not None:
                return QuotePlace(name, *found)
        for name, text in provable.items():
            found = text.folded_place_of(quote)
            if found is not None:
                return QuotePlace(name, *found, is_folded=True)
        problem = f"does not stand in the evidence it cites ({_some_ids(ids)})"
        elsewhere = self._items_with(quote)
        if elsewhere:
            problem += f"; it stands in {_some_ids(elsewhere)}, which is not cited"
        else:
            problem += ": it must be copied character by character"
        return Detail(path=path_of((*path, "quote")), problem=problem, excerpt=excerpt_of(written))

    def _items_with(self, quote: "_Quote") -> list[str]:
        if self._looks_left == 0:
            return []
        self._looks_left -= 1
        return [name for name, text in self._texts.items() if text.place_of(quote) or text.folded_place_of(quote)]


class _Quote:
    """A quote as written, with white space normalised, and folded on demand."""

    def __init__(self, written: str) -> None:
        self._written = written
        self.spaced = " ".join(written.split())

    @cached_property
    def folded(self) -> Folded:
        return fold(self._written)

    @cached_property
    def word_characters(self) -> int:
        return count_word_characters(self._written)

    @property
    def is_empty(self) -> bool:
        """Whether the quote has no visible characters."""
        return not self.word_characters and not self.folded.text


class _Text:
    """An item's text with white space normalised; folded only when a quote is not found in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._spaced = " ".join(text.split())

    @cached_property
    def _folded(self) -> Folded:
        return fold(self.text)

    @cached_property
    def _word_characters(self) -> int:
        return count_word_characters(self.text)

    @cached_property
    def _gaps(self) -> tuple[list[int], list[int]]:
        """Where the text goes on after each long gap once normalised, and how far that is behind the original."""
        places, behind = [0], [0]
        for match in _GAP.finditer(self.text):
            end = match.end()
            kept = 1 if match.start() else 0
            places.append(match.start() - behind[-1] + kept)
            behind.append(end - places[-1])
        return places, behind

    def place_of(self, quote: _Quote) -> tuple[int, int, int] | None:
        """Return the quote's first place (start, end) and number of occurrences, with white space normalised."""
        wanted = quote.spaced
        start = self._spaced.find(wanted)
        if start < 0:
            return None
        occurrences = self._spaced.count(wanted)
        return self._in_text(start), self._in_text(start + len(wanted) - 1) + 1, occurrences

    def _in_text(self, place: int) -> int:
        """Return the position in the original text of a character that is not white space."""
        if len(self._spaced) == len(self.text):
            return place
        places, behind = self._gaps
        return place + behind[bisect_right(places, place) - 1]

    def folded_place_of(self, quote: _Quote) -> tuple[int, int, int] | None:
        """Return the quote's first place (start, end) and number of occurrences, with typography folded."""
        found = list(self._folded.find_all(quote.folded))
        return (*found[0], len(found)) if found else None

    def is_proven_by(self, quote: _Quote) -> bool:
        """Whether the quote is long enough to prove anything about this text."""
        return quote.word_characters >= MIN_WORD_CHARACTERS or quote.word_characters >= self._word_characters


def _some_ids(ids: Any) -> str:
    shown = [name[:_MAX_ID_CHARACTERS] for name in list(ids)[:_MAX_IDS_SHOWN]]
    return ", ".join(shown) + (", …" if len(ids) > _MAX_IDS_SHOWN else "")
