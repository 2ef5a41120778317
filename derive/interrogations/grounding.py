"""Holds every cited fact of an answer against the evidence it cites.

A cited fact is any object, anywhere in the answer, that has both ``evidence_ids`` and ``quote``. Each id must exist,
and the quote, white space normalised, must be a slice of at least one item it cites.
"""

from collections.abc import Iterator
from typing import Any

from derive.contracts import EvidenceBundle
from derive.interrogations.report import Detail, excerpt_of, path_of

MAX_PROBLEMS = 10
_MAX_IDS_SHOWN = 10
_MAX_ID_CHARACTERS = 60


def normalise_space(text: str) -> str:
    """Return the text with every run of white space (Unicode's) as one space, and none at its ends."""
    return " ".join(text.split())


def find_ungrounded(answer: Any, bundle: EvidenceBundle) -> tuple[Detail, ...]:
    """Return what is wrong with the answer's cited facts, at most ten problems; empty: all of it is grounded."""
    texts = {item.evidence_id: _Text(item.text) for item in bundle.items}
    problems: list[Detail] = []
    for path, fact in cited_facts(answer):
        problem = _fault(fact, texts, path)
        if problem is not None:
            problems.append(problem)
        if len(problems) == MAX_PROBLEMS:
            break
    return tuple(problems)


def cited_facts(answer: Any) -> Iterator[tuple[tuple[int | str, ...], dict[str, Any]]]:
    """Yield every cited fact with its path, in the answer's order and without recursion."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), answer)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if "evidence_ids" in value and "quote" in value:
                yield path, value
            waiting.extend(((*path, name), member) for name, member in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*path, place), value[place]) for place in reversed(range(len(value))))


class _Text:
    """An item's text, whose white space is normalised when a quote does not stand in it as it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._normalised: str | None = None

    def __contains__(self, wanted: str) -> bool:
        # A normalised quote that stands in the text stands in the normalised text too: nothing in it would change.
        if wanted in self._text:
            return True
        if self._normalised is None:
            self._normalised = normalise_space(self._text)
        return wanted in self._normalised


def _fault(fact: dict[str, Any], texts: dict[str, _Text], path: tuple[int | str, ...]) -> Detail | None:
    ids, quote = fact["evidence_ids"], fact["quote"]
    if not isinstance(ids, list) or not ids or not all(isinstance(name, str) for name in ids):
        return Detail(path=path_of((*path, "evidence_ids")), problem="must name the evidence the quote stands in")
    unknown = [name for name in ids if name not in texts]
    if unknown:
        problem = f"names evidence that does not exist; there is: {_some_ids(texts)}"
        return Detail(path=path_of((*path, "evidence_ids")), problem=problem, excerpt=excerpt_of(unknown[0]))
    quote_path = (*path, "quote")
    if not isinstance(quote, str) or not (wanted := normalise_space(quote)):
        return Detail(path=path_of(quote_path), problem="is empty: it must be copied from the evidence")
    if any(wanted in texts[name] for name in ids):
        return None
    elsewhere = [name for name, text in texts.items() if wanted in text]
    problem = f"does not stand in the evidence it cites ({_some_ids(ids)})"
    if elsewhere:
        problem += f"; it stands in {_some_ids(elsewhere)}, which is not cited"
    else:
        problem += ": it must be copied character by character"
    return Detail(path=path_of(quote_path), problem=problem, excerpt=excerpt_of(quote))


def _some_ids(ids: Any) -> str:
    shown = [name[:_MAX_ID_CHARACTERS] for name in list(ids)[:_MAX_IDS_SHOWN]]
    return ", ".join(shown) + (", …" if len(ids) > _MAX_IDS_SHOWN else "")
