"""The rule ``choice``: the quote contains an enum's value in its own words or as a declared synonym."""

from derive.proofs.judgement import Context, Judgement, refuted, shown, supported, undecided
from derive.proofs.polarity import is_denied, judge_polarity, truth_of
from derive.proofs.reading import Reading, read
from derive.proofs.stems import root, stem
from derive.proofs.word_classes import classes_of

_MOST = 200
_MOST_WORDS = 20


def judge_choice(value: str, quote: str, context: Context) -> Judgement:
    """Judge a value of a closed list."""
    if truth_of(value) is not None and len(context.choices) < 2:
        return judge_polarity(value, quote, context)
    reading = read(quote)
    wanted = value.strip()
    choices = dict(list(context.choices.items())[:_MOST])
    choices.setdefault(wanted, ())
    found = _choices_in(reading, choices)
    asserted = {choice for choice, _, is_asserted in found if is_asserted}
    if wanted in asserted:
        rivals = asserted - {wanted}
        if not rivals or _is_last_word(reading, found, wanted):
            return supported(f"The quote says so for {shown(wanted)}.")
        if _is_left(reading, found, wanted):
            return refuted(f"The quote says that {shown(wanted)} became {shown(sorted(rivals)[0])}.")
        return undecided(f"The quote speaks of {shown(wanted)} and of {shown(sorted(rivals)[0])}.")
    if asserted:
        return refuted(f"The quote says {shown(sorted(asserted)[0])}, not {shown(wanted)}.")
    denied = {choice for choice, _, is_asserted in found if not is_asserted}
    if wanted in denied:
        return refuted(f"The quote denies {shown(wanted)}.")
    if len(denied) == 1 and len(choices) == 2:
        return supported(f"The quote denies {shown(next(iter(denied)))}, which leaves {shown(wanted)}.")
    return _by_class(reading, wanted, context)


def _choices_in(reading: Reading, choices: dict[str, tuple[str, ...]]) -> list[tuple[str, tuple[int, int], bool]]:
    """Return each choice in the quote with its position and whether it is asserted; longer ones hide shorter ones."""
    stems = [stem(word) for word in reading.low]
    found: list[tuple[str, tuple[int, int]]] = []
    for choice, synonyms in choices.items():
        for name in (choice, *synonyms):
            words = [stem(word) for word in read(name.replace("_", " ").replace("-", " ")).low if word[0].isalnum()]
            words = words[:_MOST_WORDS]
            found += [(choice, place) for place in _places(stems, words)]
    whole = [
        (choice, (start, end))
        for choice, (start, end) in found
        if not any(first <= start and end <= last and (last - first) > (end - start) for _, (first, last) in found)
    ]
    return [(choice, place, not is_denied(reading, place[0])) for choice, place in whole[:_MOST]]


def _places(stems: list[str], words: list[str]) -> list[tuple[int, int]]:
    if not words:
        return []
    places = []
    first = words[0]
    base = root(first)
    for at, word in enumerate(stems):
        if word != first and not (len(words) == 1 and len(base) > 3 and root(word) == base):
            continue
        end, matched = at + 1, 1
        while matched < len(words) and end < len(stems):
            if stems[end] == words[matched]:
                matched += 1
            elif stems[end] not in {"-", "the", "of", "a"}:
                break
            end += 1
        if matched == len(words):
            places.append((at, end))
        if len(places) == 8:
            break
    return places


def _is_last_word(reading: Reading, found: list[tuple[str, tuple[int, int], bool]], wanted: str) -> bool:
    """Whether the quote describes a change to this choice ("from open to closed", "was open, now closed")."""
    for choice, (start, _), is_asserted in found:
        if choice == wanted and is_asserted:
            before = reading.low[max(0, start - 3) : start]
            if not {"to", "now", "became", "become", "into", "currently", "today", "is"}.isdisjoint(before):
                others = [place for other, place, _ in found if other != wanted]
                return all(
                    not {"now", "currently", "today", "is"} & set(reading.low[max(0, first - 3) : first])
                    for first, _ in others
                )
    return False


def _is_left(reading: Reading, found: list[tuple[str, tuple[int, int], bool]], wanted: str) -> bool:
    """Whether the quote describes a change away from this choice."""
    places = [place for choice, place, _ in found if choice == wanted]
    return all(
        not {"from", "was", "were", "formerly", "previously", "originally", "initially", "until", "used"}.isdisjoint(
            reading.low[max(0, start - 3) : start]
        )
        for start, _ in places
    ) and any(_is_last_word(reading, found, choice) for choice, _, _ in found if choice != wanted)


def _by_class(reading: Reading, wanted: str, context: Context) -> Judgement:
    """Decide by words that exclude one another, if the quote contains none of the list's own."""
    ours = [kind for word in read(wanted.replace("_", " ")).low for kind in classes_of(stem(word))]
    for at, word in enumerate(reading.low):
        for kind, line in classes_of(stem(word)):
            for our_kind, our_line in ours:
                if kind == our_kind and not is_denied(reading, at):
                    if line == our_line:
                        return supported(f"The quote says “{shown(word)}”.")
                    return refuted(f"The quote says “{shown(word)}”, not {shown(wanted)}.")
    if truth_of(wanted) is not None:
        return judge_polarity(wanted, reading.text, context)
    return undecided(f"The quote names none of the choices, {shown(wanted)} among them.")
