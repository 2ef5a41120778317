"""The rule ``words``: the quote contains each content word of the value undenied, ignoring inflection and case."""

from derive.proofs.date import judge_date
from derive.proofs.demonyms import COUNTRY_OF
from derive.proofs.judgement import Context, Judgement, refuted, shown, supported, undecided
from derive.proofs.keys import key_of
from derive.proofs.names import TITLES, name_runs
from derive.proofs.number import judge_number
from derive.proofs.polarity import is_denied, is_negation
from derive.proofs.quantities import quantities
from derive.proofs.reading import Reading, read
from derive.proofs.stems import stem
from derive.proofs.word_matching import GRAMMAR, excluding_word, place_of, stems_of

_NAME_KEYS = frozenset("name alias full_name fullname title person called nickname known".split())
_PLACE_KEYS = frozenset("country nationality citizenship continent".split())


def judge_words(value: str, quote: str, context: Context) -> Judgement:
    """Judge a name or phrase."""
    if len(value) > 1 and value.strip() == quote.strip():
        return supported("The value is the quote.")
    reading, wanted = read(quote), read(value)
    # Each word once, at its last position.
    content = sorted({word: at for at, word in enumerate(wanted.low) if _is_content(word)}.values())
    if not content:
        return _without_content(wanted, reading)
    run = _find_run(reading, wanted.low) if len(wanted) > 1 else None
    if (
        run is not None
        and not any(is_negation(wanted, at) for at in range(len(wanted)))
        and not is_denied(reading, run)
    ):
        return supported("The quote says so.")
    numbers = _judge_numbers(value, quote, context)
    if numbers is not None:
        return numbers
    stems = stems_of(reading)
    numeric = (
        {at for one in quantities(value) for at in range(one.start, one.end)}
        if any(map(_has_digit, wanted.low))
        else frozenset()
    )
    places: list[int] = []
    missing: list[int] = []
    for at in content:
        if at in numeric:
            continue
        place = place_of(wanted.low[at], stems, reading)
        if place is None:
            missing.append(at)
        else:
            places.append(place)
    if not missing:
        return _judge_denial(wanted, reading, places, value)
    return _judge_missing(wanted, reading, missing, places, context)


def _has_digit(word: str) -> bool:
    return word[0].isdigit()


def _is_content(word: str) -> bool:
    return word not in GRAMMAR and (word[0].isalnum())


def _without_content(wanted: Reading, reading: Reading) -> Judgement:
    if wanted.low and _find_run(reading, wanted.low) is not None:
        return supported("The quote says so.")
    return undecided("The value holds no word that could be looked for.")


def _judge_numbers(value: str, quote: str, context: Context) -> Judgement | None:
    """Compare the numbers of a mixed value with those of the quote; None if they agree or there are none."""
    ours = [one for one in quantities(value) if one.kind not in {"none", "group", "times"} and not one.is_weak]
    if not ours:
        return None
    if any(
        one.kind == "year" or (one.kind == "" and one.unit is None and one.low and 1000 <= one.low <= 2199)
        for one in ours
    ):
        by_date = judge_date(value, quote, context)
        if by_date.verdict == "REFUTED":
            return by_date
    judged = judge_number(value, quote, context)
    if judged.verdict == "REFUTED":
        return judged
    return judged if judged.verdict == "NOT_ENOUGH_INFO" and "not “" not in judged.why else None


def _judge_denial(wanted: Reading, reading: Reading, places: list[int], value: str) -> Judgement:
    """Compare what the value and the quote deny."""
    value_denies = any(is_negation(wanted, at) for at in range(len(wanted)))
    if not places:
        return supported("The quote says so.")
    first = min(places)
    denied = [at for at in places if is_denied(reading, at)]
    is_quote_denying = bool(denied) and (places[-1] in denied or first in denied)
    if value_denies and not is_quote_denying and not any(is_negation(reading, at) for at in range(len(reading))):
        return refuted(f"The quote does not deny it; the value says “{shown(value)}”.")
    if is_quote_denying and not value_denies and not _stands_undenied(reading, wanted, places):
        return refuted(f"The quote denies “{shown(value)}”.")
    return supported(
        f"The quote says “{shown(reading.slice(first, first + 1))}”."
        if len(places) == 1
        else "The quote has each of its words."
    )


def _stands_undenied(reading: Reading, wanted: Reading, places: list[int]) -> bool:
    """Whether the quote contains the words a second time, undenied."""
    stems = {stem(wanted.low[at]) for at in range(len(wanted)) if _is_content(wanted.low[at])}
    return any(
        stem(word) in stems and not is_denied(reading, at) for at, word in enumerate(reading.low) if at not in places
    )


def _judge_missing(
    wanted: Reading, reading: Reading, missing: list[int], places: list[int], context: Context
) -> Judgement:
    """Decide whether the quote says something else in place of the value's missing words."""
    first = shown(wanted.raw[missing[0]])
    other = excluding_word(wanted, reading, missing, places)
    if other is not None:
        return refuted(f"The quote says “{shown(reading.raw[other])}”, not “{first}”.")
    if _is_initialism(wanted, reading) or _is_entity(wanted, missing, context):
        return supported("The quote names it in another form.")
    if _is_misspelled(wanted, reading, missing):
        return undecided(f"The quote spells “{first}” otherwise.")
    contrary = _other_name(wanted, reading, missing, places, context)
    if contrary is not None:
        return refuted(f"The quote names “{shown(reading.slice(*contrary))}”, not “{shown(wanted.text)}”.")
    unmarked = _opposite_by_prefix(wanted, reading, missing)
    if unmarked is not None:
        if is_denied(reading, unmarked):
            return supported(f"The quote denies “{shown(reading.raw[unmarked])}”.")
        return refuted(f"The quote says “{shown(reading.raw[unmarked])}”, the opposite of “{first}”.")
    return undecided(f"The quote does not say “{first}”.")


def _opposite_by_prefix(wanted: Reading, reading: Reading, missing: list[int]) -> int | None:
    for at in missing:
        target = stem(wanted.low[at])
        if len(target) < 4:
            continue
        for place, word in enumerate(reading.low):
            ours = stem(word)
            for longer, shorter in ((ours, target), (target, ours)):
                if (
                    len(shorter) > 3
                    and longer.endswith(shorter)
                    and longer[: -len(shorter)] in {"un", "in", "im", "il", "ir", "non", "dis"}
                ):
                    return place
    return None


def _is_initialism(wanted: Reading, reading: Reading) -> bool:
    letters = wanted.text.replace(".", "").strip()
    if not (2 <= len(letters) <= 8 and letters.isupper() and letters.isalpha()):
        return False
    for start, end in name_runs(reading):
        initials = "".join(reading.raw[at][0] for at in range(start, end) if reading.raw[at][0].isupper())
        if letters in initials:
            return True
    return False


def _is_entity(wanted: Reading, missing: list[int], context: Context) -> bool:
    """Whether the missing words are the entity's own name, for a key that asks for a name."""
    if not context.entity or _NAME_KEYS.isdisjoint(key_of(context.key).words):
        return False
    own = set(map(stem, read(context.entity).low))
    return all(stem(wanted.low[at]) in own for at in missing)


def _is_misspelled(wanted: Reading, reading: Reading, missing: list[int]) -> bool:
    """Whether the quote contains each missing word with one letter added, dropped or changed."""
    return len(missing) <= 3 and all(
        len(wanted.low[at]) > 4
        and any(
            _differs_by_one(wanted.low[at], word) and wanted.raw[at][0].isupper() is reading.raw[place][0].isupper()
            for place, word in enumerate(reading.low)
        )
        for at in missing
    )


def _differs_by_one(first: str, second: str) -> bool:
    if abs(len(first) - len(second)) > 1 or first[0] != second[0]:
        return False
    if len(first) > len(second):
        first, second = second, first
    at = next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), len(first))
    return first[at:] == second[at + 1 :] or first[at + 1 :] == second[at + 1 :] or first[at + 1 :] == second[at + 2 :]


def _other_name(
    wanted: Reading, reading: Reading, missing: list[int], places: list[int], context: Context
) -> tuple[int, int] | None:
    """Return the name that the quote has in place of the value's name."""
    lost = [at for at in missing if wanted.raw[at][0].isupper() and wanted.low[at] not in TITLES]
    if not lost or not _same_script(wanted, reading):
        return None
    runs = name_runs(reading)
    own = set(map(stem, read(context.entity).low)) if context.entity else set()
    if any(reading.raw[place][0].isupper() for place in places):
        return _other_given_name(wanted, reading, runs, places)
    is_place = not _PLACE_KEYS.isdisjoint(key_of(context.key).words) or any(
        COUNTRY_OF.get(wanted.low[at]) == wanted.low[at] for at in lost
    )
    for start, end in reversed(runs):
        words = reading.low[start:end]
        if own and all(stem(word) in own or not word[0].isalpha() for word in words):
            continue
        if not own and reading.starts_sentence(start):
            continue
        if is_place and not any(word in COUNTRY_OF for word in words):
            continue
        if all(word in TITLES or len(word) == 1 for word in words):
            continue
        return start, end
    return None


def _other_given_name(
    wanted: Reading, reading: Reading, runs: list[tuple[int, int]], places: list[int]
) -> tuple[int, int] | None:
    """Find "Luke Skywalker" in the quote for the value "Leia Skywalker"."""
    stems = {stem(word) for word in wanted.low}
    for start, end in runs:
        if not any(start <= place < end for place in places):
            continue
        for at in range(start, end):
            word = reading.low[at]
            if (
                word not in TITLES
                and stem(word) not in stems
                and word[0].isalpha()
                and len(word) > 1
                and len(wanted) > 1
            ):
                initials = {other for other in wanted.low if len(other) == 1}
                if word[0] not in initials:
                    return start, end
    return None


def _same_script(wanted: Reading, reading: Reading) -> bool:
    return any(character.isascii() and character.isalpha() for character in reading.text) or not wanted.text.isascii()


def _find_run(reading: Reading, words: list[str]) -> int | None:
    """Return the position of the words in the quote, unchanged and adjacent."""
    low, count = reading.low, len(words)
    starts = (at for at, word in enumerate(low) if word == words[0])
    return next((at for _, at in zip(range(20), starts, strict=False) if low[at : at + count] == words), None)
