"""Finds names in a text: runs of capitalised words."""

from derive.proofs.reading import Reading

_OPENERS = frozenset(
    "the a an in on at by for from with after before when while since until although though because if then later "
    "however moreover this that these those it he she they we i you his her its their our my your there here as "
    "of and or "
    "but to not no never yesterday today tomorrow both all some many most each every one two three once only also "
    "according during under over between among despite unlike like who what where which why how was is are were "
    "has had "
    "have be been did does do will would can could may might must shall should see note yes".split()
)
TITLES = frozenset(
    "mr mrs ms miss dr prof professor sir dame lord lady captain general admiral colonel major commander lieutenant "
    "sergeant president king queen prince princess emperor senator judge justice chancellor minister father sister "
    "brother pope saint st master count duke baron agent officer detective doctor chief councillor".split()
)
_MONTHS = frozenset(
    "january february march april may june july august september october november december jan feb mar apr "
    "jun jul aug "
    "sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday bby aby bc bce ad ce am pm "
    "utc".split()
)
_JOINERS = frozenset({"of", "de", "van", "von", "der", "la", "le", "du", "al", "bin", "the", "-", ".", "&", "'"})


def name_runs(reading: Reading) -> list[tuple[int, int]]:
    """Return the runs of capitalised words, each as a pair of tokens, without sentence openers, months and numbers."""
    runs: list[tuple[int, int]] = []
    at, count = 0, len(reading)
    while at < count:
        if not is_name_word(reading, at):
            at += 1
            continue
        end = at + 1
        while end < count:
            if is_name_word(reading, end):
                end += 1
            elif reading.low[end] in _JOINERS and end + 1 < count and is_name_word(reading, end + 1) and end - at < 8:
                if reading.raw[end] == "." and len(reading.raw[end - 1]) > 3:
                    break
                end += 2
            else:
                break
        runs.append((at, end))
        at = end
    return runs


def is_name_word(reading: Reading, at: int) -> bool:
    """Whether a token is capitalised and may be (part of) a name."""
    raw = reading.raw[at]
    if not raw[0].isupper():
        return False
    word = reading.low[at]
    return word not in _OPENERS and word not in _MONTHS
