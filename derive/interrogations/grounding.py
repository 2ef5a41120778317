"""Holds every cited fact of an answer against the evidence it cites.

A cited fact is any object, anywhere in the answer, that has both ``evidence_ids`` and ``quote``. Each id must exist,
and the quote must be a slice of at least one item it cites, white space normalised. A quote that is none is compared
once more with typography folded on both sides (``derive.evidence.folding``), and the report names such quotes. A quote
needs two letters or digits, unless the item itself has fewer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from derive.evidence.contracts import EvidenceBundle
from derive.evidence.folding import Folded, count_word_characters, fold
from derive.interrogations.report import Detail, excerpt_of, path_of

MAX_PROBLEMS = 10
MAX_FOLDED_TOLD = 100
MIN_WORD_CHARACTERS = 2
"""Of a quote: one letter stands in nearly any text, so it proves nothing."""
_MAX_IDS_SHOWN = 10
_MAX_ID_CHARACTERS = 60

Path = tuple[int | str, ...]


@dataclass(frozen=True)
class Grounding:
    """How an answer's quotes stand: what is wrong, and where quotes stand only once typography is folded."""

    problems: tuple[Detail, ...]
    folded_quotes: tuple[str, ...]


def check_grounding(answer: Any, bundle: EvidenceBundle) -> Grounding:
    """Judge the answer's cited facts; at most ten problems are told, and the paths of a hundred folded quotes."""
    texts = {item.evidence_id: _Text(item.text) for item in bundle.items}
    problems: list[Detail] = []
    folded: list[str] = []
    for path, fact in cited_facts(answer):
        found = _judge(fact, texts, path)
        if isinstance(found, Detail):
            problems.append(found)
        elif found and len(folded) < MAX_FOLDED_TOLD:
            folded.append(path_of((*path, "quote")))
        if len(problems) == MAX_PROBLEMS:
            break
    return Grounding(problems=tuple(problems), folded_quotes=tuple(folded))


def cited_facts(answer: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every cited fact with its path, in the answer's order and without recursion."""
    waiting: list[tuple[Path, Any]] = [((), answer)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if "evidence_ids" in value and "quote" in value:
                yield path, value
            waiting.extend(((*path, name), member) for name, member in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*path, place), value[place]) for place in reversed(range(len(value))))


def normalise_space(text: str) -> str:
    """Return the text with every run of white space (Unicode's) as one space, and none at its ends."""
    return " ".join(text.split())


class _Quote:
    """A quote as written, with white space normalised, and folded if that is asked for."""

    def __init__(self, written: str) -> None:
        self._written = written
        self.spaced = normalise_space(written)

    @cached_property
    def folded(self) -> Folded:
        return fold(self._written)

    @cached_property
    def word_characters(self) -> int:
        return count_word_characters(self._written)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be seen in it."""
        return not self.word_characters and not self.folded.text


class _Text:
    """An item's text; it is normalised and folded only for a quote that does not stand in it as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _spaced(self) -> str:
        return normalise_space(self._text)

    @cached_property
    def _folded(self) -> Folded:
        return fold(self._text)

    def has(self, quote: _Quote) -> bool:
        """Whether the quote stands here, white space normalised."""
        # A normalised quote that stands in the text stands in the normalised text too: nothing in it would change.
        return quote.spaced in self._text or quote.spaced in self._spaced

    def has_folded(self, quote: _Quote) -> bool:
        """Whether the quote stands here once typography is folded."""
        return self._folded.find(quote.folded) is not None

    def is_proven_by(self, quote: _Quote) -> bool:
        """Whether the quote holds enough to prove anything of this text."""
        if quote.word_characters >= MIN_WORD_CHARACTERS:
            return True
        return quote.word_characters >= count_word_characters(self._text)


def _judge(fact: dict[str, Any], texts: dict[str, _Text], path: Path) -> Detail | bool:
    """Return what is wrong with a cited fact, or else whether its quote stands only once typography is folded."""
    ids = fact["evidence_ids"]
    if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
        return Detail(path=path_of((*path, "evidence_ids")), problem="must name the evidence the quote stands in")
    unknown = [name for name in ids if name not in texts]
    if unknown:
        problem = f"names evidence that does not exist; there is: {_some_ids(texts)}"
        return Detail(path=path_of((*path, "evidence_ids")), problem=problem, excerpt=excerpt_of(unknown[0]))
    return _judge_quote(fact["quote"], ids, texts, path_of((*path, "quote")))


def _judge_quote(written: Any, ids: list[str], texts: dict[str, _Text], path: str) -> Detail | bool:
    quote = _Quote(written) if isinstance(written, str) else None
    if quote is None or quote.is_empty:
        return Detail(path=path, problem="is empty: it must be copied from the evidence")
    provable = [texts[name] for name in ids if texts[name].is_proven_by(quote)]
    if not provable:
        problem = f"has fewer than {MIN_WORD_CHARACTERS} letters or digits, which proves nothing: quote whole words"
        return Detail(path=path, problem=problem, excerpt=excerpt_of(written))
    stands = any(text.has(quote) for text in provable)
    if stands or any(text.has_folded(quote) for text in provable):
        return not stands
    elsewhere = [name for name, text in texts.items() if text.has(quote) or text.has_folded(quote)]
    problem = f"does not stand in the evidence it cites ({_some_ids(ids)})"
    if elsewhere:
        problem += f"; it stands in {_some_ids(elsewhere)}, which is not cited"
    else:
        problem += ": it must be copied character by character"
    return Detail(path=path, problem=problem, excerpt=excerpt_of(written))


def _some_ids(ids: Any) -> str:
    shown = [name[:_MAX_ID_CHARACTERS] for name in list(ids)[:_MAX_IDS_SHOWN]]
    return ", ".join(shown) + (", …" if len(ids) > _MAX_IDS_SHOWN else "")
