"""The rule ``polarity`` for values that mean yes or no, and the detection of denials in a quote."""

from derive.proofs.judgement import Context, Judgement, refuted, shown, supported, undecided
from derive.proofs.keys import key_of
from derive.proofs.reading import Reading, read
from derive.proofs.stems import root, stem
from derive.proofs.word_classes import classes_of

_NEGATIONS = frozenset(
    "not no never neither nor none nobody nothing nowhere without cannot denied denies deny denying lacks lacked "
    "lacking "
    "refused refuses declined declines excluding excludes excluded except unlike hardly barely scarcely rejected "
    "rejects "
    "disputed disputes negative unable avoid avoids avoided nicht kein keine".split()
)
_PHRASES = {
    ("no", "longer"): 2,
    ("instead", "of"): 2,
    ("rather", "than"): 2,
    ("other", "than"): 2,
    ("ruled", "out"): 2,
    ("rules", "out"): 2,
    ("free", "of"): 2,
    ("free", "from"): 2,
    ("absence", "of"): 2,
    ("failed", "to"): 2,
    ("fails", "to"): 2,
    ("failure", "to"): 2,
    ("far", "from"): 2,
    ("anything", "but"): 2,
    ("ceased", "to"): 2,
    ("opposed", "to"): 0,
    ("yet", "to"): 2,
}
_NOT_NEGATIONS = {
    ("not", "only"),
    ("not", "just"),
    ("not", "merely"),
    ("not", "simply"),
    ("not", "until"),
    ("not", "least"),
    ("not", "without"),
    ("no", "doubt"),
    ("no", "fewer"),
    ("no", "less"),
    ("no", "more"),
    ("no", "other"),
    ("none", "other"),
    ("nothing", "but"),
    ("no", "sooner"),
    ("no", "matter"),
    ("no", "later"),
    ("no", "one"),
    ("no", "."),
    ("not", "fewer"),
    ("not", "less"),
    ("not", "more"),
    ("not", "exceed"),
    ("not", "to"),
    ("never", "before"),
    ("never", "again"),
    ("no", "surprise"),
    ("no", "stranger"),
}
_POSITIVE_AFTER_NEGATION = frozenset(
    "forget forgot forgotten leave left lost lose stop stopped cease ceased fail failed doubt doubted deny denied "
    "abandon "
    "abandoned missed miss gave regret regretted hid hide tire tired ashamed doubted question questioned fully "
    "entirely "
    "necessarily wavered waver quite all every always strayed far knew".split()
)
_SCOPE_ENDS = frozenset(
    ". ; ! ? but however although though whereas while yet who which that because since when where until so hence "
    "therefore only instead".split()
)
_REACH = 7
_TRUE = frozenset({"true", "yes", "y", "t", "1"})
_FALSE = frozenset({"false", "no", "n", "f", "0", "none", "never", "not"})
_LONGEST_TRUTH = 5
_PREFIXES = ("un", "in", "im", "il", "ir", "non", "dis")
_SMALL_WORDS = frozenset("is has was are have had does did do can a an the of to it been be with in on s".split())


def is_negation(reading: Reading, at: int) -> bool:
    """Whether a negation begins at this token."""
    word = reading.low[at]
    if word.endswith("n't"):
        return True
    following = reading.word(at + 1)
    if word == "non":
        return True
    if (word, following) in _PHRASES:
        return _PHRASES[word, following] > 0
    if word not in _NEGATIONS:
        return False
    return (word, following) not in _NOT_NEGATIONS and following not in _POSITIVE_AFTER_NEGATION


def is_denied(reading: Reading, at: int) -> bool:
    """Whether a negation earlier in the same part of the sentence applies to this token."""
    commas = 0
    for place in range(at - 1, max(-1, at - 1 - _REACH), -1):
        word = reading.low[place]
        if word == ",":
            commas += 1
            if commas > 1 or is_negation(reading, place + 1):
                continue
            if not _is_list(reading, place):
                return False
        elif word in _SCOPE_ENDS:
            return False
        elif is_negation(reading, place):
            return _not_twice(reading, place)
        elif word in _POSITIVE_AFTER_NEGATION:
            return False
    return _is_denied_after(reading, at)


def _not_twice(reading: Reading, place: int) -> bool:
    return not (place and is_negation(reading, place - 1) and reading.low[place - 1] in {"not", "never", "cannot"})


def _is_list(reading: Reading, comma: int) -> bool:
    """Whether the comma joins a list of words such as "no fever, cough or rash"."""
    after = reading.low[comma + 1 : comma + 5]
    return "or" in after or "nor" in after


def _is_denied_after(reading: Reading, at: int) -> bool:
    """Read "X was ruled out", "X is not present", "X: none"."""
    for place in range(at + 1, min(len(reading), at + 4)):
        word, following = reading.low[place], reading.word(place + 1)
        if word in {"was", "were", "is", "are", "has", "been", "have", "being"}:
            if following in {"ruled", "excluded", "denied", "absent", "rejected"} and following != "rejected":
                return following != "ruled" or reading.word(place + 2) == "out"
            continue
        if word == ":":
            return following in {"none", "no", "negative", "absent", "denied", "nil"}
        if word in {"absent", "-"} and following in {"", "negative", "free"}:
            return (word == "-" and following in {"negative", "free"}) or word == "absent"
        if word in {",", "-", ".", "and", "or", "("}:
            return False
    return False


def truth_of(value: str) -> bool | None:
    """Return whether a value means yes or no; None for any other value."""
    if len(value) > _LONGEST_TRUTH and not value[-1:].isspace() and not value[:1].isspace() and value[-1:] != ".":
        return None
    word = value.strip().lower().rstrip(".")
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def judge_polarity(value: str, quote: str, context: Context) -> Judgement:
    """Judge a yes or no by whether the quote asserts or denies what the key names."""
    truth = truth_of(value)
    if truth is None:
        return undecided("The value is neither yes nor no.")
    reading = read(quote)
    if truth_of(quote) is not None:
        is_same = truth_of(quote) is truth
        return (
            supported("The quote says so.")
            if is_same
            else refuted(f"The quote says {shown(quote)}, not {shown(value)}.")
        )
    asserted = _asserts(reading, context)
    if asserted is None:
        return undecided(f"The quote does not speak of {shown(context.key) or 'what the value is about'}.")
    says = "says so" if asserted else "denies it"
    if asserted is truth:
        return supported(f"The quote {says}.")
    return refuted(f"The quote {says}; the value says {'yes' if truth else 'no'}.")


def _asserts(reading: Reading, context: Context) -> bool | None:
    """Whether the quote asserts what the key names; None if it does not mention it."""
    words = [word for word in key_of(context.key).content if word not in _SMALL_WORDS]
    flipped = bool(words) and words[0] in {"no", "not", "non", "never", "without"}
    wanted = [word for word in words if word not in {"no", "not", "non", "never", "without", "ever", "currently"}]
    for word in reversed(wanted):
        found = _find_word(reading, word)
        if found is not None:
            at, is_opposite = found
            return (is_denied(reading, at) is is_opposite) is not flipped
    return None


def _find_word(reading: Reading, word: str) -> tuple[int, bool] | None:
    """Return the position of a key's word or its opposite, and whether it is the opposite."""
    target, base = stem(word), root(stem(word))
    classes = classes_of(target)
    opposite: int | None = None
    for at, token in enumerate(reading.low):
        ours = stem(token)
        if ours == target or (len(base) > 3 and root(ours) == base):
            return at, False
        if any(ours == prefix + target or root(ours) == prefix + base for prefix in _PREFIXES):
            opposite = at
        for kind, line in classes_of(ours):
            for our_kind, our_line in classes:
                if kind == our_kind:
                    if line == our_line:
                        return at, False
                    opposite = at
    return None if opposite is None else (opposite, True)
