"""Strips words of inflection and regional spelling, so that "colours" matches "color" and "flew" matches "fly".

Snowball's stemmer was rejected because it gives "organ" and "organization" the same stem; a wrong match is worse here
than a missed one, which only leads to a review by a person.
"""

import unicodedata
from functools import lru_cache

_IRREGULAR = """
be am is are was were been being
have has had having
do does did done doing
go goes went gone
child children
man men
woman women
person people persons
foot feet
tooth teeth
mouse mice
goose geese
wife wives
life lives
knife knives
wolf wolves
leaf leaves
half halves
ox oxen
crisis crises
analysis analyses
diagnosis diagnoses
basis bases
datum data
medium media
bacterium bacteria
criterion criteria
phenomenon phenomena
begin began begun
break broke broken
bring brought
build built
buy bought
catch caught
choose chose chosen
come came
die died dying
draw drew drawn
drive drove driven
eat ate eaten
fall fell fallen
fight fought
find found
fly flew flown
forget forgot forgotten
get got gotten
give gave given
grow grew grown
hold held
keep kept
know knew known
lead led
leave left
lose lost
make made
meet met
pay paid
rise rose risen
run ran
say said
see saw seen
sell sold
send sent
shoot shot
sing sang sung
sink sank sunk
sit sat
sleep slept
speak spoke spoken
spend spent
stand stood
steal stole stolen
swim swam swum
take took taken
teach taught
tell told
think thought
throw threw thrown
understand understood
wear wore worn
win won
write wrote written
marry married marries marriage
good better best
grey gray
aluminium aluminum
tyre tire
plough plow
programme program
storey story
defence defense
licence license
offence offense
cheque check
mould mold
"""
_STEMS = {word: line.split()[0] for line in _IRREGULAR.strip().splitlines() for word in line.split()}
_DERIVED: tuple[str, ...] = (
    "able",
    "ible",
    "abl",
    "ibl",
    "ations",
    "ation",
    "isms",
    "ings",
    "ions",
    "ists",
    "ment",
    "ance",
    "ence",
    "ness",
    "ing",
    "ion",
    "ism",
)
_DERIVED += ("ist", "ers", "ors", "ity", "ian", "ies", "ive", "al", "ed", "er", "or", "es", "ic", "ly", "y", "e", "s")


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """Return the word in lower case without possessive, plural, -ed, -ing, accents and regional spelling."""
    if word.isascii():
        return _english(word)
    bare = "".join(mark for mark in unicodedata.normalize("NFKD", word) if not unicodedata.combining(mark))
    if bare.isascii():
        return _english(bare)
    # Case endings of Greek, Cyrillic and the like.
    return word[:-2] if len(word) > 6 and word.isalpha() and _has_case(word) else word


def _has_case(word: str) -> bool:
    return word.upper() != word


def _english(word: str) -> str:
    word = word.replace("'s", "").replace("s'", "s").replace("'", "")
    if word in _STEMS:
        return _STEMS[word]
    if len(word) < 4:
        return word
    word = _singular(word)
    word = _STEMS.get(word, word)
    word = _regional(_without_tense(word))
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_tense(word: str) -> str:
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("eed", "thing")):
            bare = word[: -len(ending)]
            if not any(vowel in bare for vowel in "aeiouy"):
                return word
            if len(bare) > 3 and bare[-1] == bare[-2] and bare[-1] not in "sz":
                bare = bare[:-1]
            return bare
    return word


def _regional(word: str) -> str:
    if len(word) > 4 and word.endswith("our"):
        return word[:-3] + "or"
    if len(word) > 4 and word.endswith("tre"):
        return word[:-2] + "er"
    if word.endswith(("ise", "yse")) and len(word) > 5:
        return word[:-2] + "ze"
    if word.endswith("is") and len(word) > 5:
        return word[:-1] + "z"
    return (
        word.replace("isation", "ization").replace("aemia", "emia").replace("oedema", "edema").replace("our", "or")
        if len(word) > 6
        else word
    )


@lru_cache(maxsize=16_384)
def root(word: str) -> str:
    """Return the word without derivational suffixes (teacher, teaching → teach), keeping at least four letters."""
    word = _STEMS.get(word, word)
    if word.endswith("mission") and len(word) > 8:
        return word[:-6] + "it"
    for ending in _DERIVED:
        if word.endswith(ending) and len(word) - len(ending) >= 4 and not word.endswith(("ee", "ees")):
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] in "yie" else word
