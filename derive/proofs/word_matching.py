"""Finds a value's words in a quote, ignoring inflection, spelling, synonyms and demonyms."""

from collections.abc import Collection, Sequence

from derive.proofs.demonyms import COUNTRY_OF
from derive.proofs.number_words import ORDINALS, SMALL, TENS
from derive.proofs.polarity import is_denied
from derive.proofs.reading import Reading
from derive.proofs.stems import root, stem
from derive.proofs.word_classes import classes_of

GRAMMAR = frozenset(
    "a an the of in on at to for by with from and or as is was are were be been being it its his her their he she they "
    "him them this that these those who which whose also then than into about around approximately approx roughly "
    "circa "
    "some s per so mr mrs ms miss has had have i we you our my your not no never without only near least most "
    "more less "
    "over under up fewer between through until during".split()
)
_SAME = {
    "people": "person",
    "inhabitants": "person",
    "inhabitant": "person",
    "residents": "person",
    "resident": "person",
    "souls": "person",
    "staff": "employ",
    "workers": "employ",
    "worker": "employ",
    "employees": "employ",
    "employee": "employ",
    "kids": "child",
    "satellites": "moon",
}
_WITHOUT_SPACES = 0x2E80
"""From this code point on, scripts do not separate words."""


def missing_words(
    value: Reading, quote: Reading, allowed: Collection[str], spans: Sequence[tuple[int, int]] = ()
) -> list[int]:
    """Return the positions of a value's content words outside the spans that are neither in the quote nor allowed."""
    if sum(end - start for start, end in spans) == len(value):
        return []
    taken = {at for start, end in spans for at in range(start, end)}
    words = {word: at for at, word in enumerate(value.low) if at not in taken and word not in GRAMMAR and len(word) > 1}
    stems: dict[str, int] | None = None
    missing = []
    for word, at in words.items():
        if not word[0].isalpha():
            continue
        if stems is None:
            stems = stems_of(quote)
        if stem(word) not in allowed and place_of(word, stems, quote) is None:
            missing.append(at)
    return missing


def excluding_word(value: Reading, quote: Reading, missing: Sequence[int], places: Collection[int] = ()) -> int | None:
    """Return the position of a quote's word that excludes one of the value's missing words ("brown" for "blue")."""
    lines = {kind: line for at in missing for kind, line in classes_of(stem(value.low[at]))}
    if not lines:
        return None
    for place, bare in enumerate(quote.stems):
        for kind, line in classes_of(bare):
            if lines.get(kind, line) != line and place not in places and not is_denied(quote, place):
                return place
    return None


def stems_of(reading: Reading) -> dict[str, int]:
    """Return the last position of each stem and the first of each root in a text."""
    stems = {bare: at for at, bare in enumerate(reading.stems)}
    for at, base in enumerate(reading.roots):
        stems.setdefault(base, at)
    for word in _SAME.keys() & set(reading.low):
        stems.setdefault(_SAME[word], reading.low.index(word))
    return stems


def place_of(word: str, stems: dict[str, int], quote: Reading) -> int | None:
    """Return the position of a word of the value in the quote."""
    bare = stem(word)
    if bare in stems:
        return stems[bare]
    if word in _SAME and _SAME[word] in stems:
        return stems[_SAME[word]]
    base = root(bare)
    if len(base) > 3 and base in stems:
        return stems[base]
    number = SMALL.get(word) or TENS.get(word) or ORDINALS.get(word)
    if number is not None and str(number) in stems:
        return stems[str(number)]
    if ord(word[0]) >= _WITHOUT_SPACES and word in quote.text.lower():
        return 0
    return _place_of_synonym(word, bare, quote)


def _place_of_synonym(word: str, bare: str, quote: Reading) -> int | None:
    """Return the position in the quote of another form of the word's country, or of a synonym from its class."""
    country, classes = COUNTRY_OF.get(word), classes_of(bare)
    if country is None and not classes:
        return None
    for at, other in enumerate(quote.low):
        if country is not None and COUNTRY_OF.get(other) == country:
            return at
        if classes and not set(classes).isdisjoint(classes_of(quote.stems[at])):
            return at
    return None
